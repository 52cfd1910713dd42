"""The app: what a program makes one of, and everything else hangs on."""

from __future__ import annotations

import os
import threading
import warnings
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, Self, TypeVar, Unpack, overload

import msgspec

from celeriac.app.annotating import annotate, read_annotations
from celeriac.app.arguments import arguments_of, check_task_name
from celeriac.app.autodiscovery import import_related
from celeriac.app.configured import Configured
from celeriac.app.context import running_task, worker_context
from celeriac.app.current import living_apps, set_current_app, set_default_app
from celeriac.app.dead_letters import DeadLetters
from celeriac.app.eager import Eager
from celeriac.app.entry import run_command, run_worker
from celeriac.app.hiding import hiding_of
from celeriac.app.imports import import_tasks, imported
from celeriac.app.missing import missing_of_app
from celeriac.app.naming import task_name
from celeriac.app.oids import oid_of_process, oid_of_thread
from celeriac.app.options import CallOptions
from celeriac.app.pydantic_tasks import add_pydantic
from celeriac.app.records import Recorder
from celeriac.app.registry import Registry
from celeriac.app.reporting import bugreport
from celeriac.app.result import AsyncResult as Result
from celeriac.app.result import bound_class
from celeriac.app.send import Sender
from celeriac.app.shared import give_shared_tasks
from celeriac.app.signals import Signal, import_modules
from celeriac.app.stores import SETTINGS_OF_STORES, make_backend, make_broker
from celeriac.app.task import Task as BaseTask
from celeriac.app.task import make_task
from celeriac.app.task_options import NO_EFFECT_YET, TaskOptions, read_task_class, read_task_options
from celeriac.backends.base import ResultBackend
from celeriac.brokers.base import Broker, ResultMeta
from celeriac.canvas.signature import Signature, signature
from celeriac.exceptions import (
    AlwaysEagerIgnored,
    CeleryWarning,
    DuplicateTaskNameWarning,
    ImproperlyConfigured,
)
from celeriac.states import PENDING, RETRY

if TYPE_CHECKING:
    from celeriac.app.typed import AsyncTask, BoundTaskDecorator, TaskDecorator

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class _Stores(msgspec.Struct, frozen=True):
    """Hold the adapters that were made for what the settings said."""

    version: int
    said: tuple[Any, ...]
    broker: Broker
    backend: ResultBackend | None


class Celery(Configured):
    """Register tasks, and send calls of them.

    Args:
        main: name of the app; it stands for ``__main__`` in the names of tasks.
        broker: `broker_url`.
        backend: `result_backend`.
        include: modules that define tasks.
        set_as_current: be the app that is meant where none is named.
        task_cls: the class that its tasks are made of, or the dotted path of one.
        autofinalize: complete the tasks at their first use; False waits for `finalize`.
        strict_typing: check the arguments of calls, unless a task says otherwise.
        changes: settings, as a dict.
        config_source: what to read settings from; see `config_from_object`.
        config_source_silent: read nothing when that is not there.
        namespace: what names of settings begin with there, such as ``CELERY``.
        settings: any other setting.

    Attributes:
        main: the name given.
        conf: the settings.
        sender: makes and publishes messages.
        eager: runs tasks in this process.
        finalized: its tasks are complete.
        on_configure, on_after_configure, on_after_finalize, on_after_fork: signals of this app.
    """

    task_cls: type[BaseTask[..., Any]] | str = BaseTask

    def __init__(
        self,
        main: str | None = None,
        *,
        broker: str | None = None,
        backend: str | None = None,
        include: str | Sequence[str] | None = None,
        set_as_current: bool = True,
        task_cls: type[BaseTask[..., Any]] | str | None = None,
        autofinalize: bool = True,
        strict_typing: bool = True,
        changes: Mapping[str, Any] | None = None,
        config_source: Any = None,
        config_source_silent: bool = False,
        namespace: str | None = None,
        **settings: Any,
    ) -> None:
        named = {"broker_url": broker, "result_backend": backend, "include": include}
        named = {name: value for name, value in named.items() if value is not None}
        self.main = main
        self._set_up_settings(
            changes or {}, settings, named, source=config_source, silent=config_source_silent, namespace=namespace
        )
        self.strict_typing = strict_typing
        self.autofinalize = autofinalize
        self.finalized = False
        self.sender = Sender(self)
        self.eager = Eager(self)
        self.on_after_finalize = Signal(name="app.on_after_finalize")
        self.on_after_fork = Signal(name="app.on_after_fork")
        self._tasks = Registry()
        self._not_annotated: deque[BaseTask[..., Any]] = deque()
        self._finalizing = threading.RLock()
        self._is_finalizing = False
        self._stores: _Stores | None = None
        if task_cls is not None:
            self.task_cls = task_cls
        if set_as_current:
            self.set_current()
        self.on_init()
        living_apps.add(self)

    def on_init(self) -> None:
        """Be called at the end of `__init__`, for subclasses."""

    def __reduce_keys__(self) -> dict[str, Any]:
        """Return the arguments with which an app like this one is made elsewhere; a subclass may add its own."""
        own = {"task_cls": vars(self).get("task_cls"), "strict_typing": self.strict_typing}
        return {**super().__reduce_keys__(), **own}

    # -- tasks --------------------------------------------------------------------------------------------------

    @overload
    def task(self, function: Callable[P, Coroutine[Any, Any, T]], /) -> AsyncTask[P, T]: ...

    @overload
    def task(self, function: Callable[P, R], /) -> BaseTask[P, R]: ...

    @overload
    def task(
        self, /, *, bind: Literal[True], base: type[BaseTask[..., Any]] | None = None, **options: Unpack[TaskOptions]
    ) -> BoundTaskDecorator: ...

    @overload
    def task(
        self,
        /,
        *,
        bind: Literal[False] = False,
        base: type[BaseTask[..., Any]] | None = None,
        **options: Unpack[TaskOptions],
    ) -> TaskDecorator: ...

    def task(self, function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
        """Make a task of a function: ``@app.task``, or ``@app.task(bind=True, max_retries=5)``.

        Args:
            function: what to run; a coroutine function too.
            bind: give the task itself to the function as its first argument.
            base: the class to make it of, with hooks and attributes of its own; None: `app.Task`.
            options: see `TaskOptions`; also attributes that `base` has.
        """
        if function is None:
            return lambda function: self._task_of(function, **options)
        return self._task_of(function, **options)

    def _task_of(
        self,
        function: Callable[..., Any],
        *,
        name: str | None = None,
        base: type[BaseTask[..., Any]] | None = None,
        bind: bool = False,
        shared: bool = True,
        lazy: bool = True,
        filter: Callable[[Any], Any] | None = None,
        **options: Any,
    ) -> BaseTask[..., Any]:
        if isinstance(function, BaseTask):
            raise TypeError(f"{function!r} is a task already; decorate the function once")
        if not callable(function):
            raise TypeError(f"@app.task makes tasks of functions, got {function!r}; options are given by name")
        base = base or self.Task
        name = name or self._name_for(function)
        said = read_task_options(f"task {name!r}", options, base)
        task = self._keep(make_task(self, function, name=name, base=base, bind=bind, options=said))
        return task if filter is None else filter(task)

    def register_task(self, task: BaseTask[P, R] | type[BaseTask[P, R]], **options: Any) -> BaseTask[P, R]:
        """Make a task of a class of tasks, or of an instance of one.

        Its name is the class's attribute `name`, or made of module and class. Unlike with the decorator, a later task
        takes the name of an earlier one.

        Args:
            options: see `TaskOptions`.
        """
        if isinstance(task, type):
            task = task()
        kind = type(task)
        vars(task).update(app=self, abstract=False)
        if task.typing is None:
            task.typing = self.strict_typing
        task.name = task.name or self.gen_task_name(kind.__name__, kind.__module__)
        read_task_class(f"task {task.name!r}", kind)
        for option, value in read_task_options(f"task {task.name!r}", options, kind).items():
            setattr(task, option, value)
        hiding_of(task)
        self._tasks.replace(task)
        self._bind(task, stacklevel=3)
        return task

    def _keep(self, task: BaseTask[..., Any]) -> BaseTask[..., Any]:
        """Register a task, bind it to this app, and return the one that has its name now."""
        hiding_of(task)  # raises where `sensitive` names no argument: here, and not once an argument has been shown
        kept = self._tasks.register(task)
        if kept is task:
            self._bind(task, stacklevel=5)
            return task
        warnings.warn(
            f"two functions claim the task name {task.name!r}: {kept.origin} keeps it, and {task.origin} cannot be "
            "called; give one of them another name with @app.task(name=...)",
            DuplicateTaskNameWarning,
            stacklevel=4,
        )
        return kept

    def _bind(self, task: BaseTask[..., Any], *, stacklevel: int) -> None:
        idle = [name for name in NO_EFFECT_YET if name in vars(task) or name in vars(type(task))]
        if any(getattr(task, name) is not None for name in idle):
            warnings.warn(
                f"task {task.name!r} has {', '.join(idle)}, which nothing in this version of celeriac goes by",
                CeleryWarning,
                stacklevel=stacklevel,
            )
        if task.pydantic:
            add_pydantic(task)
        self._not_annotated.append(task)
        if self.finalized:
            self._annotate(read_annotations(self.conf.task_annotations))
        task.on_bound(self)

    @property
    def tasks(self) -> Registry:
        """The registered tasks, by name."""
        if not self.finalized:
            self.finalize(auto=True)
        return self._tasks

    def finalize(self, auto: bool = False) -> None:
        """Complete the tasks: shared ones are added, `task_annotations` applied. Happens by itself at the first use.

        Other threads that use the tasks meanwhile wait until they are complete.

        Raises:
            RuntimeError: it would happen by itself, and the app was made with ``autofinalize=False``.
            ImproperlyConfigured: the settings are wrong; the tasks are not complete, and the next use says so again.
        """
        if auto and not self.autofinalize and not self.finalized:
            raise RuntimeError(f"app {self.main!r} was used before its `finalize` (autofinalize=False)")
        annotations = read_annotations(self.conf.task_annotations)  # before the lock: it may import modules
        with self._finalizing:
            if self.finalized or self._is_finalizing:  # the latter: what happens in here uses the tasks
                return
            self._is_finalizing = True
            try:
                give_shared_tasks(self)
                self._annotate(annotations)
            finally:
                self._is_finalizing = False
            self.finalized = True
            self._annotate(annotations)  # what another thread has made while it could not know of the end
            self.on_after_finalize.send(sender=self)

    def _annotate(self, annotations: Sequence[Any]) -> None:
        """Annotate the tasks that are not yet: each once, whichever threads are at it."""
        while True:
            try:
                task = self._not_annotated.popleft()
            except IndexError:
                return
            try:
                annotate(task, annotations)
            except BaseException:
                self._not_annotated.appendleft(task)
                raise

    @cached_property
    def Task(self) -> type[BaseTask[..., Any]]:
        """The class that tasks of this app are made of, bound to it: `task_cls`, or `Task`."""
        return self.create_task_cls()

    def create_task_cls(self) -> type[BaseTask[..., Any]]:
        """Return a class of tasks that belongs to this app."""
        base = self.task_cls
        if isinstance(base, str):
            base = imported(base, "task_cls")
        return type(base.__name__, (base,), {"app": self, "__module__": base.__module__, "abstract": True})

    def _name_for(self, function: Callable[..., Any]) -> str:
        name = getattr(function, "__name__", None)
        if name is None:
            raise TypeError(f"{function!r} has no name of its own; give it one with @app.task(name=...)")
        return self.gen_task_name(name, function.__module__)

    def gen_task_name(self, name: str, module: str) -> str:
        """Return the name of a task for a function; override it to name tasks otherwise."""
        return task_name(name, module, self.main)

    def autodiscover_tasks(
        self,
        packages: Iterable[str] | Callable[[], Iterable[str]] | None = None,
        related_name: str | None = "tasks",
        force: bool = False,
    ) -> None:
        """Have the module ``tasks`` of each package imported when task modules are, that is when a worker starts.

        Args:
            packages: their names, or a function that returns them when they are needed.
            related_name: the module's name; None imports the packages themselves.
            force: import now.

        Raises:
            ModuleFailed: such a module raises when it is imported.
        """

        def discover(**_: Any) -> None:
            import_related(packages() if callable(packages) else packages or (), related_name)

        if force:
            discover()
        else:
            import_modules.connect(discover, sender=self, weak=False)

    def load_tasks(self) -> None:
        """Import the modules of `imports` and `include` and those to be discovered, so that `tasks` is complete.

        Workers call it.

        Raises:
            ImproperlyConfigured: one is not there, or raises; the text has its traceback.
        """
        for setting in ("imports", "include"):
            for module in self.conf[setting]:
                import_tasks(module, f"`{setting}`")
        for _, answer in import_modules.send(sender=self):
            if isinstance(answer, ImproperlyConfigured):
                raise answer
        self.finalize()

    # -- sending ------------------------------------------------------------------------------------------------

    def send_task(
        self,
        name: str,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        *,
        task_id: str | None = None,
        **options: Unpack[CallOptions],
    ) -> Result[Any]:
        """Send a call of a task by name; the task need not be known here.

        Args:
            name: of the task.
            args: positional arguments; whether they fit the task is not checked.
            kwargs: keyword arguments, likewise.
            task_id: the id to use; None makes one.
            options: see `CallOptions`.

        Raises:
            TypeError: the name is no text, `args` no list or tuple, or `kwargs` no dict.
            EncodeError: an argument cannot be carried; the text names it.
            BrokerUnavailable: no confirmation in time.
        """
        check_task_name(name)
        args, kwargs = arguments_of(args, kwargs)
        self._warn_of_eager()
        return self.sender.send(name, args, kwargs, options, task_id=task_id)

    async def asend_task(
        self,
        name: str,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        *,
        task_id: str | None = None,
        **options: Unpack[CallOptions],
    ) -> Result[Any]:
        """Do what `send_task` does without blocking the event loop."""
        check_task_name(name)
        args, kwargs = arguments_of(args, kwargs)
        self._warn_of_eager()
        return await self.sender.asend(name, args, kwargs, options, task_id=task_id)

    def _warn_of_eager(self) -> None:
        if self.conf.task_always_eager:
            warnings.warn(
                "task_always_eager has no effect on calls by name: this one is published",
                AlwaysEagerIgnored,
                stacklevel=3,
            )

    def signature(self, *args: Any, **kwargs: Any) -> Signature[Any]:
        """Return a call that is not made yet, for this app to send; see `celeriac.canvas.Signature`."""
        return signature(*args, **{**kwargs, "app": self})

    @property
    def oid(self) -> str:
        """An id of this app in this process."""
        return oid_of_process(self)

    @property
    def thread_oid(self) -> str:
        """An id of this app in this thread: where answers to its calls go, on brokers that carry answers."""
        return oid_of_thread(self)

    @cached_property
    def AsyncResult(self) -> type[Result[Any]]:
        """The class of results of this app: ``app.AsyncResult(id)`` is the result of the call of that id."""
        return bound_class(self)

    def note_state(
        self,
        task: BaseTask[..., Any],
        task_id: str | None,
        state: str | None,
        meta: Any,
        fields: Mapping[str, Any],
    ) -> None:
        """Store what `Task.update_state` says; nothing when it says it outside of any run."""
        context = task.request
        wanted = task_id or context.id
        backend = self.backend
        if wanted is None or backend is None:
            return
        name = state or PENDING
        record = Recorder(self.conf).state(context, name, meta, task_id=wanted, more=fields)
        retries = context.retries if wanted == context.id else _attempt_of(wanted, backend)
        backend.note([ResultMeta(task_id=wanted, state=name, record=record, retries=retries)])

    def bugreport(self) -> str:
        """Return what to paste into a bug report: versions, platform, stores, settings that are not at their defaults.

        Raises:
            ImproperlyConfigured: the settings cannot be read.
        """
        return bugreport(self)

    def now(self) -> datetime:
        """Return the time in the app's zone."""
        return datetime.now(self.conf.zone)

    def worker_main(self, argv: Sequence[str] | None = None) -> int:
        """Run a worker until it is stopped, and return its exit code: ``app.worker_main(["worker", "-c", "2"])``.

        Args:
            argv: the command ``worker`` and its options; None is what this program was given.
        """
        return run_worker(self, argv)

    def start(self, argv: Sequence[str] | None = None) -> int:
        """Run any command of the command line, and return its exit code."""
        return run_command(self, argv)

    def uses_utc_timezone(self) -> bool:
        """Say whether times without a zone are in UTC."""
        return self.conf.zone is UTC or str(self.conf.zone) == "UTC"

    @property
    def timezone(self) -> tzinfo:
        """The app's zone."""
        return self.conf.zone

    def either(self, default_key: str, *defaults: Any) -> Any:
        """Return the first of `defaults` that is not None, else a setting."""
        return next((value for value in defaults if value is not None), self.conf.get(default_key))

    def set_current(self) -> None:
        """Be the app that is meant where none is named."""
        set_current_app(self)

    def set_default(self) -> None:
        """Be that app where none was set current."""
        set_default_app(self)

    @property
    def current_worker_task(self) -> BaseTask[..., Any] | None:
        """The task that a worker runs here, past any that it called as functions; None outside of a worker."""
        context = worker_context()
        return context.current if context is not None else None

    @property
    def current_task(self) -> BaseTask[..., Any] | None:
        """The task whose body is running in this thread or coroutine, or None."""
        return running_task()

    @property
    def broker(self) -> Broker:
        """The broker of `broker_url`; it connects when it is used."""
        return self._stores_now().broker

    @property
    def backend(self) -> ResultBackend | None:
        """Where results are kept; None when they are not."""
        return self._stores_now().backend

    @property
    def dead_letters(self) -> DeadLetters:
        """What could not be run or settled: to look at, to replay, to discard."""
        return DeadLetters(self)

    def close(self) -> None:
        """Let go of connections. What is used later connects again."""
        stores, self._stores = self._stores, None
        if stores is not None:
            _close(stores)

    def _stores_now(self) -> _Stores:
        """Return the adapters, made anew when the settings have changed.

        There is no lock: adapters connect when they are used, so two that are made at once cost nothing; and a lock
        that another thread holds at a fork would stay held in the child.
        """
        stores = self._stores
        if stores is not None and stores.version == self.conf.version:
            return stores
        made = self._make_stores(stores)
        self._stores = made
        if stores is not None and made.broker is not stores.broker:
            _close(stores)
        return made

    def _make_stores(self, old: _Stores | None) -> _Stores:
        conf = self.conf
        version = conf.version
        said = tuple(conf[name] for name in SETTINGS_OF_STORES)
        if old is not None and old.said == said:
            return _Stores(version, said, old.broker, old.backend)
        return _Stores(
            version,
            said,
            make_broker(conf.broker_url, conf, self.main),
            make_backend(conf.result_backend, conf.broker_url, conf, self.main),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    if not TYPE_CHECKING:  # a type checker that saw it would know of every misspelled attribute

        def __getattr__(self, name: str) -> Any:
            if hasattr(type(self), name):  # a property of that name raised AttributeError: have it say why again
                return object.__getattribute__(self, name)
            raise missing_of_app(self.__dict__.get("main"), name, dir(type(self)))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.main or 'without a name'}: {len(self._tasks)} tasks>"


def _attempt_of(task_id: str, backend: ResultBackend) -> int:
    """Return the attempt that a run elsewhere has come to, as its record tells."""
    kept = backend.get(task_id)
    return 0 if kept is None else kept.retries + (kept.state == RETRY)


def _after_fork() -> None:
    for app in list(living_apps):
        if app.on_after_fork.receivers:
            app.on_after_fork.send(sender=app)


os.register_at_fork(after_in_child=_after_fork)


def _close(stores: _Stores) -> None:
    stores.broker.close()
    if stores.backend is not None:
        stores.backend.close()
