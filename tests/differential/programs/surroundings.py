from __future__ import annotations

import builtins
import importlib
import logging

from observing import make_app, program, raised

from celeriac import Task, states
from celeriac.utils.log import get_task_logger

PATHS = {
    "celeriac": "Celery shared_task Task current_app current_task signature subtask maybe_signature uuid",
    "celeriac.app": "Celery app_or_default shared_task default_app",
    "celeriac.app.base": "Celery",
    "celeriac.app.task": "Task Context",
    "celeriac.app.defaults": "NAMESPACES",
    "celeriac.canvas": "Signature signature maybe_signature subtask",
    "celeriac.exceptions": "CeleryError Retry Ignore Reject MaxRetriesExceededError SoftTimeLimitExceeded TimeoutError",
    "celeriac.result": "AsyncResult EagerResult allow_join_result result_from_tuple",
    "celeriac.signals": "task_prerun task_postrun worker_ready setup_logging",
    "celeriac.states": "PENDING SUCCESS READY_STATES state",
    "celeriac.utils": "uuid gen_unique_id cached_property",
    "celeriac.utils.dispatch": "Signal",
    "celeriac.utils.log": "get_task_logger get_logger",
    "celeriac.utils.imports": "gen_task_name symbol_by_name import_from_cwd",
    "celeriac.utils.functional": "maybe_list chunks LRUCache",
    "celeriac.utils.time": "maybe_iso8601 get_exponential_backoff_interval",
    "celeriac.utils.saferepr": "saferepr",
}


@program()
def where_things_are_imported_from():
    found = {}
    for path, names in PATHS.items():
        try:
            module = importlib.import_module(path)
        except ImportError as exc:
            found[path] = f"no module: {exc}"
            continue
        found[path] = {name: hasattr(module, name) for name in names.split()}
    return found


@program()
def the_same_thing_by_every_path():
    import celeriac
    from celeriac.app.base import Celery
    from celeriac.app.task import Task as TaskOfApp
    from celeriac.canvas import Signature
    from celeriac.exceptions import TimeoutError
    from celeriac.result import AsyncResult

    app = make_app()
    return {
        "Celery": celeriac.Celery is Celery,
        "Task": celeriac.Task is TaskOfApp,
        "AsyncResult": issubclass(app.AsyncResult, AsyncResult),
        "Signature": celeriac.Signature is Signature,
        "TimeoutError": TimeoutError is builtins.TimeoutError,
        "app.Task": issubclass(app.Task, Task),
    }


@program()
def loggers_of_tasks():
    logger = get_task_logger("shop.mail")
    return {
        "name": logger.name,
        "parent": logger.parent.name,
        "is one": isinstance(logger, logging.Logger),
        "same": get_task_logger("shop.mail") is logger,
        "reserved": raised(get_task_logger, logger.parent.name),
    }


@program()
def what_a_task_logs():
    app, seen = make_app(), []
    logger = get_task_logger("shop.mail")

    class Keeping(logging.Handler):
        def emit(self, record):
            seen.append([record.name, record.levelname, record.getMessage()])

    logger.addHandler(Keeping())
    logger.setLevel(logging.INFO)

    @app.task
    def talk(x):
        logger.info("got %s", x)
        logger.debug("not shown")
        return x

    talk.apply((1,)), talk(2)
    return {"seen": seen}


@program()
def helpers_that_tasks_use():
    from celeriac import uuid
    from celeriac.utils import gen_unique_id
    from celeriac.utils.functional import chunks, maybe_list
    from celeriac.utils.imports import gen_task_name
    from celeriac.utils.time import get_exponential_backoff_interval, maybe_iso8601

    app = make_app()
    return {
        "uuid": [len(uuid()), uuid() != uuid(), len(gen_unique_id())],
        "maybe_list": [maybe_list(1), maybe_list([1]), maybe_list(None)],
        "chunks": [list(part) for part in chunks(iter(range(5)), 2)],
        "names": [gen_task_name(app, "pay", "shop.tasks"), gen_task_name(app, "pay", "__main__")],
        "backoff": [
            get_exponential_backoff_interval(factor=2, retries=n, maximum=20, full_jitter=False) for n in range(5)
        ],
        "iso": maybe_iso8601("2030-01-02T03:04:05+00:00"),
        "states": states.READY_STATES,
    }
