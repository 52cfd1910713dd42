"""The table of Celery's import paths: what each module has, where that lives here, or why it does not.

Everything that Celery 5.7 documents, or lists in an `__all__`, has a place. When a part of celeriac arrives, its names
move from `no(...)` to `at(...)`; then run ``python -m celeriac.compat.stubs src/celeriac-stubs``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple


class Home(NamedTuple):
    """Name the module and attribute where something lives."""

    module: str
    attribute: str


class Missing(NamedTuple):
    """Say why something is not there, and what to do instead; completes a sentence that begins with its name."""

    why: str


Names = Mapping[str, Home | Missing]


def at(module: str, names: str) -> Names:
    """Say where names live; ``theirs=ours`` when they are called otherwise there."""
    return {name: Home(module, ours or name) for name, _, ours in (each.partition("=") for each in names.split())}


def no(why: Missing, names: str) -> Names:
    """Say why names are missing."""
    return dict.fromkeys(names.split(), why)


def all_of(package: str, modules: str, why: Missing) -> Mapping[str, Missing]:
    """Say why modules of a package are missing."""
    return {f"{package}.{module}": why for module in modules.split()}


def _later(part: str, meanwhile: str = "") -> Missing:
    return Missing(
        f"comes with {part}, which this version of celeriac does not have yet{meanwhile and '; '}{meanwhile}"
    )


def _never(why: str) -> Missing:
    return Missing(f"does not exist in celeriac: {why}")


def _instead(what: str) -> Missing:
    return Missing(f"does not exist in celeriac; use {what}")


# --- parts that are to come ---

BEAT: Final = _later("schedules and beat", "until then have cron or a systemd timer run `celeriac call`")
KOMBU: Final = _never(
    "there are no kombu connections, producers and consumers. A call opens and keeps what it needs; "
    "queues are named in `task_routes` and `apply_async(queue=…)`"
)
SECURITY: Final = _later("signed messages")
DJANGO: Final = _later("the Django integration", "until then set the app up in a module of your own")
DAEMONS: Final = _later("`celeriac multi`", "until then let a service manager keep the worker running")
POOLS: Final = _never("a pool is chosen by its name: `worker_pool`, or `celeriac worker -P`")
WORKER: Final = _never("the parts of a worker are no API. What happens in one is told by signals (celeriac.signals)")
BOOTSTEPS: Final = _never(
    "a worker is not built of bootsteps; add steps of your own to `app.steps`, or connect to worker_init, worker_ready "
    "and worker_shutdown in celeriac.signals"
)
BACKENDS: Final = _never(
    "a result backend is chosen by the scheme of `result_backend`; one of your own is a "
    "celeriac.backends.base.ResultBackend"
)
COMMANDS: Final = _never("the command line is not to be imported; run `celeriac`, or `python -m celeriac`")
REMOVED: Final = Missing(
    "was removed from Celery in version 5: write `from celeriac import shared_task`, or `@app.task`; a class derives "
    "from `celeriac.Task`"
)
INTERNAL: Final = _never("it is about the inside of Celery")

# --- things of Celery's utilities that something else does as well ---

KINDS_OF_DICT: Final = _instead("a dict, or collections.ChainMap")
BUFFERS: Final = _instead("collections.deque(maxlen=…)")
TEXTWRAP: Final = _instead("the modules textwrap and pprint")
CONTEXTVARS: Final = _instead("contextvars.ContextVar, or threading.local")
MEASURING: Final = _instead("psutil, tracemalloc or py-spy")
PICKLING: Final = _instead("celeriac.exceptions.RemoteError, which stands for an exception whose class is not here")
AWARE: Final = _instead("aware datetimes and zoneinfo")
OS_MODULE: Final = _instead("the modules os and signal")
LOGGING: Final = _instead("`app.log`, the module logging, and the signals setup_logging and after_setup_logger")
SCHEDULING: Final = _later("schedules")

_SIGNALS: Final = """
    before_task_publish after_task_publish task_sent task_prerun task_postrun task_success task_retry task_failure
    task_internal_error task_received task_revoked task_rejected task_unknown celeryd_init celeryd_after_setup
    import_modules worker_init worker_ready worker_before_create_process worker_process_init worker_process_shutdown
    worker_shutting_down worker_shutdown heartbeat_sent setup_logging after_setup_logger after_setup_task_logger
    beat_init beat_embedded_init eventlet_pool_started eventlet_pool_preshutdown eventlet_pool_postshutdown
    eventlet_pool_apply user_preload_options
"""

PATHS: Final[Mapping[str, Names | Missing]] = {
    "celeriac": {
        **at("celeriac.compat.version", "VERSION version_info version_info_t VERSION_BANNER SERIES"),
        **at("celeriac.canvas.signature", "maybe_subtask"),
        **no(POOLS, "maybe_patch_concurrency"),
    },
    "celeriac._state": {
        **at(
            "celeriac.app.current",
            "current_app=current_app_proxy current_task=current_task_proxy get_current_app=current_app set_default_app "
            "_get_current_app=current_app _set_current_app=set_current_app",
        ),
        **at("celeriac.app.context", "get_current_task=running_task"),
        **at("celeriac.app.joining", "task_join_will_block"),
        **no(INTERNAL, "get_current_worker_task connect_on_app_finalize"),
    },
    # --- app ---
    "celeriac.app": {
        **at("celeriac.app.application", "Celery"),
        **at("celeriac.app.current", "app_or_default default_app=current_app_proxy"),
        **at("celeriac.app.shared", "shared_task"),
        **at("celeriac.app.reporting", "bugreport"),
        **no(INTERNAL, "AppPickler enable_trace disable_trace push_current_task pop_current_task"),
    },
    "celeriac.app.amqp": {
        **at("celeriac.app.amqp", "AMQP"),
        **at("celeriac.brokers.queues", "Queues"),
        **no(_instead("`app.send_task`, or the tasks' own `apply_async`"), "task_message"),
    },
    "celeriac.app.annotations": INTERNAL,
    "celeriac.app.autoretry": INTERNAL,
    "celeriac.app.backends": BACKENDS,
    "celeriac.app.base": {
        **at("celeriac.app.application", "Celery"),
        **at("celeriac.app.config", "PendingConfiguration=Settings"),
    },
    "celeriac.app.builtins": INTERNAL,
    "celeriac.app.control": {
        **at("celeriac.app.control", "Control"),
        **at("celeriac.app.inspecting", "Inspect flatten_reply"),
    },
    "celeriac.app.defaults": {
        **at("celeriac.app.config", "NAMESPACES=SETTINGS"),
        **no(_instead("`app.conf`, or the table celeriac.app.config.SETTINGS"), "Option flatten find"),
    },
    "celeriac.app.events": at("celeriac.app.events.events", "Events"),
    "celeriac.app.log": {
        **at("celeriac.compat.logs", "TaskFormatter"),
        **at("celeriac.app.log_setup", "Logging"),
    },
    "celeriac.app.registry": at("celeriac.app.registry", "TaskRegistry=Registry"),
    "celeriac.app.routes": {
        **at("celeriac.brokers.routing", "MapRoute Router prepare=compile_routes"),
        **no(_instead("`task_routes`, which takes dotted paths"), "expand_router_string"),
    },
    "celeriac.app.task": {
        **at("celeriac.app.context", "Context"),
        **at("celeriac.app.task", "BaseTask=Task"),
        **at("builtins", "TaskType=type"),
    },
    "celeriac.app.trace": no(
        INTERNAL, "TraceInfo build_tracer trace_task setup_worker_optimizations reset_worker_optimizations"
    ),
    "celeriac.app.utils": {
        **at("celeriac.app.config", "Settings"),
        **at("celeriac.app.reporting", "bugreport"),
        **at("celeriac.masking", "sanitize_url=masked_url"),
        **no(INTERNAL, "appstr"),
        **no(_instead("`app.conf.table(censored=True)`"), "filter_hidden_settings"),
        **no(_instead("`-A` on the command line; a program imports its app"), "find_app"),
    },
    "celeriac.apps": {},
    "celeriac.apps.beat": BEAT,
    "celeriac.apps.multi": DAEMONS,
    "celeriac.apps.worker": at("celeriac.worker.instance", "Worker"),
    # --- backends ---
    "celeriac.backends": {},
    "celeriac.backends.base": {
        **at("types", "DisabledBackend=NoneType"),  # what `app.backend` is of where no results are kept
        **no(
            BACKENDS,
            "BaseBackend BaseDictBackend BaseKeyValueStoreBackend Backend KeyValueStoreBackend SyncBackendMixin",
        ),
    },
    "celeriac.backends.redis": no(BACKENDS, "SentinelBackend"),
    "celeriac.backends.rpc": no(BACKENDS, "BacklogLimitExceeded RPCBackend"),
    **all_of(
        "celeriac.backends",
        "arangodb asynchronous azureblockblob cache cassandra consul cosmosdbsql couchbase couchdb database dynamodb "
        "elasticsearch filesystem gcs mongodb s3",
        BACKENDS,
    ),
    # --- what programs import by name ---
    "celeriac.beat": BEAT,
    "celeriac.bin": COMMANDS,
    "celeriac.bootsteps": {
        **at("celeriac.app.steps", "Step StartStopStep ConsumerStep"),
        **no(BOOTSTEPS, "Blueprint"),
    },
    "celeriac.canvas": {**at("celeriac.canvas.chain", "_chain=Chain"), **at("celeriac.canvas.chord", "_chord=chord")},
    "celeriac.concurrency": POOLS,
    "celeriac.contrib": {},
    "celeriac.contrib.abortable": at("celeriac.app.abortable", "AbortableAsyncResult AbortableTask ABORTED"),
    "celeriac.contrib.django": DJANGO,
    "celeriac.contrib.migrate": _later("moving of messages"),
    "celeriac.contrib.pytest": at(
        "celeriac.testing.fixtures",
        "pytest_configure use_celery_app_trap celery_session_app celery_session_worker celery_enable_logging "
        "celery_includes celery_worker_pool celery_config celery_parameters celery_worker_parameters celery_app "
        "celery_class_tasks celery_worker depends_on_current_app",
    ),
    "celeriac.contrib.rdb": {
        **at("celeriac.app.remote_debugger", "CELERY_RDB_HOST DEFAULT_PORT Rdb debugger set_trace"),
        **no(_instead("the variable of the environment"), "CELERY_RDB_PORT"),
    },
    "celeriac.contrib.sphinx": _later("the Sphinx extension"),
    "celeriac.contrib.testing": {},
    "celeriac.contrib.testing.app": {
        **at("celeriac.testing.app", "DEFAULT_TEST_CONFIG TestApp Trap set_trap setup_default_app"),
        **no(_never("a TestApp logs when it is made with enable_logging=True"), "UnitLogging"),
    },
    "celeriac.contrib.testing.manager": no(
        _instead("celeriac.testing.start_worker and results: what is waited for has a timeout there"),
        "Manager ManagerMixin Sentinel",
    ),
    "celeriac.contrib.testing.mocks": no(
        _instead("celeriac.testing.published: messages are read there as a worker reads them"),
        "TaskMessage TaskMessage1 task_message_from_sig ContextMock",
    ),
    "celeriac.contrib.testing.tasks": at("celeriac.testing.tasks", "ping"),
    "celeriac.contrib.testing.worker": {
        **at("celeriac.testing.worker", "start_worker test_worker_starting test_worker_started test_worker_stopped"),
        **no(_instead("celeriac.testing.start_worker"), "TestWorkController setup_app_for_worker"),
    },
    "celeriac.decorators": REMOVED,
    "celeriac.events": {
        **at("celeriac.app.events.dispatcher", "Event EventDispatcher"),
        **at("celeriac.app.events.receiver", "EventReceiver"),
        **at("celeriac.wire.events", "group_from=group_of"),
        **no(KOMBU, "event_exchange get_exchange"),
    },
    "celeriac.events.cursesmon": no(_instead("`celeriac events`, or celeriac.app.events"), "CursesMonitor evtop"),
    "celeriac.events.dispatcher": at("celeriac.app.events.dispatcher", "EventDispatcher"),
    "celeriac.events.dumper": at("celeriac.app.events.dumper", "Dumper evdump"),
    "celeriac.events.event": {
        **at("celeriac.app.events.dispatcher", "Event"),
        **at("celeriac.wire.events", "group_from=group_of"),
        **no(KOMBU, "event_exchange get_exchange"),
    },
    "celeriac.events.receiver": at("celeriac.app.events.receiver", "EventReceiver"),
    "celeriac.events.snapshot": at("celeriac.app.events.snapshot", "Polaroid evcam"),
    "celeriac.events.state": {
        **at("celeriac.app.events.seen", "Worker Task heartbeat_expires=expires_at"),
        **at("celeriac.app.events.state", "State"),
    },
    "celeriac.exceptions": {
        **at("celeriac.compat.commands", "CeleryCommandException"),
        **no(_instead("`raise value.with_traceback(tb)`"), "reraise"),
    },
    "celeriac.execute": no(_instead("`app.send_task`"), "send_task apply apply_async delay_task"),
    "celeriac.fixups": DJANGO,
    "celeriac.loaders": at("celeriac.app.loaders", "get_loader_cls=loader_class"),
    "celeriac.loaders.app": at("celeriac.app.loaders", "AppLoader"),
    "celeriac.loaders.base": at("celeriac.app.loaders", "BaseLoader"),
    "celeriac.loaders.default": at("celeriac.app.loaders", "Loader DEFAULT_CONFIG_MODULE"),
    "celeriac.local": {
        **at("celeriac.app.current", "Proxy"),
        **at("celeriac.compat.functional", "maybe_evaluate"),
        **no(INTERNAL, "PromiseProxy"),
        **no(_instead("try and except ImportError"), "try_import"),
    },
    "celeriac.log": {
        **at("celeriac.app.log", "get_task_logger"),
        **no(LOGGING, "get_default_logger setup_logging_subsystem redirect_stdouts_to_logger setup_logger"),
    },
    "celeriac.messaging": KOMBU,
    "celeriac.platforms": {
        **at(
            "celeriac.compat.platforms",
            "EX_OK EX_FAILURE EX_UNAVAILABLE EX_USAGE SYSTEM IS_macOS IS_WINDOWS SIGMAP pyimplementation signal_name "
            "get_errno_name ignore_errno isatty set_process_title",
        ),
        **no(
            OS_MODULE,
            "signals get_fdmax close_open_fds parse_uid parse_gid setgroups initgroups setgid setuid "
            "set_mp_process_title fd_by_path",
        ),
        **no(DAEMONS, "LockFailed Pidfile create_pidlock DaemonContext detached maybe_drop_privileges"),
    },
    "celeriac.registry": at("celeriac.compat.registry", "tasks TaskRegistry"),
    "celeriac.result": {
        **at("celeriac.app.result", "AsyncResult"),
        **at("celeriac.app.eager_result", "EagerResult"),
        **at("celeriac.app.result_tree", "ResultBase result_from_tuple"),
        **at("celeriac.app.joining", "allow_join_result assert_will_not_block denied_join_result task_join_will_block"),
        **at("celeriac.app.result_set", "ResultSet"),
        **at("celeriac.app.group_result", "GroupResult"),
    },
    "celeriac.schedules": BEAT,
    "celeriac.security": SECURITY,
    "celeriac.signals": at("celeriac.app.signals", f"{_SIGNALS} Signal"),
    "celeriac.states": {},
    "celeriac.task": REMOVED,
    # --- utilities ---
    "celeriac.utils": {
        **at("celeriac.ids", "uuid=new_id gen_unique_id=new_id"),
        **at("functools", "cached_property"),
        **at("celeriac.compat.functional", "chunks maybe_list noop"),
        **at(
            "celeriac.compat.imports",
            "gen_task_name import_from_cwd instantiate get_cls_by_name=symbol_by_name get_full_cls_name=qualname "
            "symbol_by_name",
        ),
        **at("celeriac.compat.logs", "LOG_LEVELS"),
        **at("celeriac.compat.nodenames", "nodename nodesplit"),
        **no(_instead("functools.lru_cache"), "memoize"),
        **at("celeriac.brokers.topology", "worker_direct"),
    },
    "celeriac.utils.abstract": {
        **at("celeriac.app.task", "CallableTask=Task"),
        **at("celeriac.canvas.signature", "CallableSignature=Signature"),
    },
    "celeriac.utils.annotations": INTERNAL,
    "celeriac.utils.collections": {
        **at("celeriac.compat.collections", "AttributeDict AttributeDictMixin LimitedSet lpmerge"),
        **at("collections", "OrderedDict"),
        **no(KINDS_OF_DICT, "ChainMap DictAttribute force_mapping"),
        **no(_instead("`app.conf`"), "ConfigurationView"),
        **no(BUFFERS, "BufferMap Messagebuffer Evictable"),
    },
    "celeriac.utils.debug": MEASURING,
    "celeriac.utils.deprecated": at("celeriac.compat.deprecated", "Callable Property warn"),
    "celeriac.utils.dispatch": at("celeriac.app.signals", "Signal"),
    "celeriac.utils.dispatch.signal": at("celeriac.app.signals", "Signal"),
    "celeriac.utils.functional": {
        **at(
            "celeriac.compat.functional",
            "LRUCache is_list maybe_list mlazy noop first chunks padlist mattrgetter uniq regen dictfilter lazy "
            "maybe_evaluate maybe fun_accepts_kwargs seq_concat_item seq_concat_seq",
        ),
        **no(_instead("functools.lru_cache"), "memoize"),
        **no(_instead("a loop"), "firstmethod"),
        **no(_instead("inspect.signature"), "head_from_fun fun_takes_argument arity_greater"),
    },
    "celeriac.utils.graph": _instead("`result.graph`, or graphlib"),
    "celeriac.utils.imports": {
        **at(
            "celeriac.compat.imports",
            "NotAPackage qualname instantiate symbol_by_name cwd_in_path find_module import_from_cwd module_file "
            "gen_task_name",
        ),
        **no(_instead("importlib.reload"), "reload_from_cwd"),
        **no(_instead("importlib.metadata.entry_points"), "load_extension_class_names load_extension_classes"),
    },
    "celeriac.utils.iso8601": at("celeriac.compat.times", "parse_iso8601"),
    "celeriac.utils.log": {
        **at("celeriac.app.log", "get_task_logger base_logger=LOGGER task_logger=TASK_LOGGER"),
        **at("celeriac.compat.logs", "ColorFormatter LOG_LEVELS LoggingProxy get_logger mlevel"),
        **no(LOGGING, "worker_logger in_sighandler set_in_sighandler"),
        **no(_instead("multiprocessing.get_logger"), "get_multiprocessing_logger reset_multiprocessing_logger"),
    },
    "celeriac.utils.nodenames": {
        **at(
            "celeriac.compat.nodenames",
            "gethostname nodename anon_nodename nodesplit default_nodename node_format host_format",
        ),
        **at("celeriac.brokers.topology", "worker_direct"),
    },
    "celeriac.utils.objects": {
        **at("types", "Bunch=SimpleNamespace"),
        **no(_instead("contextlib.ExitStack or contextlib.nullcontext"), "FallbackContext"),
        **no(_instead("a property"), "getitem_property"),
        **no(_instead("a loop over cls.__mro__"), "mro_lookup"),
    },
    "celeriac.utils.quorum_queues": KOMBU,
    "celeriac.utils.saferepr": {
        **at("celeriac.compat.serialization", "saferepr"),
        **no(_instead("reprlib.Repr"), "reprstream"),
    },
    "celeriac.utils.serialization": {
        **at("celeriac.compat.serialization", "b64decode b64encode strtobool"),
        **no(
            PICKLING,
            "UnpickleableExceptionWrapper subclass_exception find_pickleable_exception create_exception_cls "
            "get_pickleable_exception get_pickleable_etype get_pickled_exception",
        ),
        **no(_instead("`raise … from …`"), "raise_with_context"),
        **no(_instead("json.dumps(default=…)"), "jsonify"),
    },
    "celeriac.utils.static": INTERNAL,
    "celeriac.utils.sysinfo": {
        **at("os", "load_average=getloadavg"),
        **no(_instead("shutil.disk_usage"), "df"),
        **no(
            _instead("os.cpu_count; a worker finds out by itself"),
            "available_cpu_count cpu_budget CpuBudget AUTO_CONCURRENCY is_auto_concurrency cgroup_cpu_quota",
        ),
    },
    "celeriac.utils.term": no(_instead("click.style, or rich"), "colored"),
    "celeriac.utils.text": {
        **at("celeriac.compat.text", "abbr abbrtask indent join pluralize simple_format str_to_list truncate"),
        **no(TEXTWRAP, "dedent dedent_initial ensure_newlines ensure_sep fill_paragraphs pretty"),
    },
    "celeriac.utils.threads": {
        **at("threading", "get_ident Local=local"),
        **no(CONTEXTVARS, "LocalStack LocalManager"),
        **no(_instead("threading.Thread"), "bgThread"),
        **no(_instead("socket.setdefaulttimeout"), "default_socket_timeout bound_open_broker_sockets"),
    },
    "celeriac.utils.time": {
        **at(
            "celeriac.compat.times",
            "timezone maybe_timedelta rate weekday humanize_seconds maybe_iso8601 is_naive make_aware localize to_utc "
            "maybe_make_aware add_seconds_to_datetime subtract_datetimes get_exponential_backoff_interval",
        ),
        **no(SCHEDULING, "ffwd remaining delta_resolution"),
        **no(AWARE, "LocalTimezone utcoffset adjust_timestamp"),
    },
    "celeriac.utils.timer2": _instead("threading.Timer, or asyncio"),
    "celeriac.utils.uuid": at("celeriac.ids", "uuid=new_id"),
    # --- worker ---
    "celeriac.worker": at("celeriac.worker.instance", "WorkController=Worker"),
    **all_of(
        "celeriac.worker",
        "components consumer heartbeat pidbox strategy worker",
        WORKER,
    ),
    "celeriac.worker.autoscale": no(BOOTSTEPS, "WorkerComponent"),
    "celeriac.worker.control": {
        **at("celeriac.worker.commands.panel", "Panel control_command inspect_command ok nok=not_ok"),
        **at("celeriac.worker.commands.revoking", "revoke terminate"),
    },
    "celeriac.worker.loops": no(WORKER, "asynloop synloop"),
    "celeriac.worker.request": {
        **at("celeriac.app.context", "Context"),
        **at("celeriac.worker.message_signals", "Request"),
    },
    "celeriac.worker.state": {
        **no(
            _instead("`app.control.inspect()`, which asks a node, or the `state` that a control command is given"),
            "Persistent maybe_shutdown merge_revoked successful_requests task_accepted task_ready task_reserved "
            "task_scheduled",
        ),
    },
}
"""What is importable: names of a module, or why the whole module is missing."""

HINTS: Final = {
    "celeriac.app.control.Control": "a task is revoked by a method: `app.control.revoke(task_id)`, or "
    "`Control().revoke(task_id)`",
}
"""What to say of names that people import as if they were modules, beside that they are none."""
