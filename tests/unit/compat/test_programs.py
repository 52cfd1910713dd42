"""Modules of tasks as programs for Celery have them, run with `celery` replaced by `celeriac` in their imports."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

PROGRAMS = {
    "an app and its tasks": """
        from celery import Celery

        app = Celery("proj", broker="memory://", backend="cache+memory://" if False else None)
        app.conf.update(task_serializer="json", accept_content=["json"], timezone="Europe/Oslo", enable_utc=True)

        @app.task
        def add(x, y):
            return x + y

        @app.task(bind=True, max_retries=3, default_retry_delay=10)
        def fetch(self, url):
            try:
                raise OSError(url)
            except OSError as exc:
                raise self.retry(exc=exc)

        assert add(2, 3) == 5 and add.name.endswith(".add")
    """,
    "loggers": """
        from celery import Celery
        from celery.utils.log import get_task_logger

        app = Celery("proj", broker="memory://")
        logger = get_task_logger(__name__)

        @app.task
        def add(x, y):
            logger.info("Adding %s + %s", x, y)
            return x + y

        assert add(1, 2) == 3
    """,
    "results": """
        import celery.result
        from celery.result import AsyncResult, allow_join_result, result_from_tuple
        from celery import states
        from celery.states import READY_STATES, SUCCESS, state

        assert celery.result.AsyncResult is AsyncResult
        assert result_from_tuple((("id", None), None)).id == "id"
        with allow_join_result():
            pass
        assert SUCCESS in READY_STATES and state(states.PENDING) < state(SUCCESS)
    """,
    "errors": """
        import celery.exceptions
        from celery import exceptions
        from celery.exceptions import (
            Ignore, MaxRetriesExceededError, Reject, Retry, SoftTimeLimitExceeded, TimeoutError as CeleryTimeout,
        )

        def classify(exc):
            try:
                raise exc
            except (Ignore, Reject, Retry):
                return "flow"
            except SoftTimeLimitExceeded:
                return "time"
            except CeleryTimeout:
                return "timeout"

        assert [classify(e) for e in (Ignore(), Reject("x"), SoftTimeLimitExceeded(), CeleryTimeout())] == [
            "flow", "flow", "time", "timeout",
        ]
        assert celery.exceptions is exceptions and issubclass(MaxRetriesExceededError, exceptions.CeleryError)
    """,
    "shared tasks": """
        from celery import Celery, shared_task
        from celery.app import shared_task as same
        from celery.signals import task_success

        @shared_task(bind=True, name="proj.add")
        def add(self, x, y):
            return x + y

        @same
        def mul(x, y):
            return x * y

        seen = []

        @task_success.connect(sender=add)
        def note(sender, result, **kwargs):
            seen.append((sender.name, result))

        app = Celery("proj", broker="memory://")
        assert mul.apply((2, 3)).get() == 6 and add.apply((2, 3)).get() == 5
        assert seen == [("proj.add", 5)]
    """,
    "task classes": """
        from celery import Celery, Task
        from celery.exceptions import Ignore
        from celery.result import EagerResult

        app = Celery("proj", broker="memory://")
        log = []

        class CustomTask(Task):
            def on_success(self, retval, task_id, args, kwargs):
                log.append(("success", retval))
                return super(CustomTask, self).on_success(retval, task_id, args, kwargs)

            def on_failure(self, exc, task_id, args, kwargs, einfo):
                log.append(("failure", repr(exc)))

        @app.task(base=CustomTask, autoretry_for=(OSError,), max_retries=1, retry_backoff=True)
        def work(fail):
            if fail:
                raise ValueError("no")
            return "done"

        result = work.apply((False,))
        work.apply((True,))
        assert isinstance(result, EagerResult) and log == [("success", "done"), ("failure", "ValueError('no')")]
    """,
    "signals of tasks": """
        from celery import Celery
        from celery.signals import (
            after_task_publish, before_task_publish, task_failure, task_postrun, task_prerun, task_retry, task_success,
        )

        app = Celery("proj", broker="memory://")
        app.conf.task_always_eager = True
        seen = []

        for signal in (task_prerun, task_postrun, task_success, task_failure, task_retry):
            def note(signal=signal, sender=None, **kwargs):
                seen.append(signal.name)
            signal.connect(note, weak=False)

        @app.task
        def work(fail):
            if fail:
                raise ValueError("no")

        work.delay(False)
        work.delay(True)
        good, bad = ["task_prerun", "task_success", "task_postrun"], ["task_prerun", "task_failure", "task_postrun"]
        assert seen == good + bad, seen
    """,
    "signals": """
        from celery import Celery, signals
        from celery.signals import after_task_publish, task_failure, task_prerun, worker_ready
        from celery.utils.dispatch import Signal

        seen = []

        @task_prerun.connect
        def before(task_id=None, task=None, *args, **kwargs):
            seen.append(task_id)

        @after_task_publish.connect(sender="proj.add")
        def published(sender=None, headers=None, body=None, **kwargs):
            seen.append(headers["id"])

        @worker_ready.connect
        def ready(sender, **kwargs):
            pass

        task_failure.connect(before, dispatch_uid="failures")
        task_prerun.send(None, task_id="run-1")
        signals.after_task_publish.send("proj.add", headers={"id": "run-2"})
        assert seen == ["run-1", "run-2"] and isinstance(task_prerun, Signal)
    """,
    "the current app and task": """
        from celery import Celery, current_app, current_task
        from celery._state import get_current_app

        app = Celery("proj", broker="memory://")

        assert get_current_app() is app and current_app.main == "proj" and not current_task
        assert current_app._get_current_object() is app
    """,
    "task classes by path": """
        from celery import Task
        from celery.app.base import Celery
        from celery.app.task import Context, Task as SameTask
        from celery.app import Celery as SameCelery

        assert SameTask is Task and SameCelery is Celery
        assert Context().called_directly
    """,
    "formatters": """
        import logging
        from celery.app.log import TaskFormatter
        from celery.signals import after_setup_task_logger

        @after_setup_task_logger.connect
        def set_up(logger, *args, **kwargs):
            for handler in logger.handlers:
                handler.setFormatter(TaskFormatter("%(task_id)s %(task_name)s %(message)s", use_color=False))

        logger = logging.getLogger("celeriac.task.shop")
        handler = logging.Handler()
        logger.addHandler(handler)
        after_setup_task_logger.send(None, logger=logger)
        record = logger.makeRecord("x", logging.INFO, "f", 1, "paid", (), None)
        assert handler.format(record) == "??? ??? paid"
    """,
    "utilities": """
        from celery import uuid
        from celery.utils import cached_property, gen_unique_id
        from celery.utils.collections import LimitedSet
        from celery.utils.functional import LRUCache, chunks, maybe_list
        from celery.utils.imports import qualname, symbol_by_name
        from celery.utils.nodenames import nodename, nodesplit
        from celery.utils.saferepr import saferepr
        from celery.utils.serialization import strtobool
        from celery.utils.text import truncate
        from celery.utils.time import maybe_make_aware, timezone
        from celery import platforms

        assert uuid() != gen_unique_id() and strtobool("yes") and maybe_list(1) == [1]
        assert nodesplit(nodename("w1", "host")) == ("w1", "host") and platforms.EX_OK == 0
        assert symbol_by_name("collections:OrderedDict").__name__ == "OrderedDict"
    """,
    "what may not be there": """
        try:
            from celery.schedules import crontab
        except ImportError:
            crontab = None
        try:
            import celery.contrib.pytest
        except ImportError:
            pass
        try:
            from celery import group, chain
        except ImportError:
            group = chain = None
    """,
    "versions": """
        import celery
        from celery import VERSION_BANNER, __version__, version_info

        assert VERSION_BANNER.startswith(__version__) and celery.VERSION == version_info
        assert ".".join(map(str, version_info[:3])) == __version__
    """,
}


def moved_over(source: str) -> str:
    return re.sub(r"\bcelery\b(?!\+)", "celeriac", source)


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_runs_after_its_imports_are_changed(name, tmp_path):
    lines = moved_over(PROGRAMS[name]).splitlines()
    (tmp_path / "tasks.py").write_text("\n".join(line[8:] for line in lines))

    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", "import tasks"], cwd=tmp_path, capture_output=True, text=True
    )

    assert run.returncode == 0, run.stderr
