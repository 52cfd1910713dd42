"""Fixtures for pytest, by the names that Celery's plugin has; what they need is imported when they are used."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from celeriac.app.application import Celery
    from celeriac.testing.worker import TestWorker

NO_WORKER = "NO_WORKER"
"""Variable of the environment that has tests run without workers, as in Celery: the fixtures give None."""


def pytest_configure(config: pytest.Config) -> None:
    """Tell pytest of the mark."""
    config.addinivalue_line("markers", "celery(**settings): settings of the `celery_app` of a test")


@pytest.fixture(scope="session")
def use_celery_app_trap() -> bool:
    """Say whether using the current app is an error; override it to return True."""
    return False


@pytest.fixture(scope="session")
def celery_enable_logging() -> bool:
    """Say whether workers log on standard error; override it to return True."""
    return False


@pytest.fixture(scope="session")
def celery_includes() -> Sequence[str]:
    """Name modules to import before a worker starts; override it."""
    return ()


@pytest.fixture(scope="session")
def celery_worker_pool() -> str:
    """Choose what runs the tasks: `solo` or `threads` in this process; override it."""
    return "solo"


@pytest.fixture(scope="session")
def celery_config() -> Mapping[str, Any]:
    """Give settings for the apps; override it."""
    return {}


@pytest.fixture(scope="session")
def celery_parameters() -> Mapping[str, Any]:
    """Give further arguments for the apps, such as ``task_cls``; override it."""
    return {}


@pytest.fixture(scope="session")
def celery_worker_parameters() -> Mapping[str, Any]:
    """Give further arguments for `start_worker`, such as ``queues``; override it."""
    return {}


@pytest.fixture(scope="session")
def celery_class_tasks() -> Sequence[Any]:
    """Name classes of tasks to register with the app of the session; override it."""
    return ()


@pytest.fixture
def celery_app(
    request: pytest.FixtureRequest,
    celery_config: Mapping[str, Any],
    celery_parameters: Mapping[str, Any],
    celery_enable_logging: bool,
    use_celery_app_trap: bool,
) -> Iterator[Celery]:
    """Give an app of the test's own, whose messages and results are in memory."""
    config = _config(request, celery_config)
    with _app(config, celery_parameters, celery_enable_logging, use_celery_app_trap) as app:
        yield app


@pytest.fixture(scope="session")
def celery_session_app(
    request: pytest.FixtureRequest,
    celery_config: Mapping[str, Any],
    celery_parameters: Mapping[str, Any],
    celery_enable_logging: bool,
    use_celery_app_trap: bool,
) -> Iterator[Celery]:
    """Give an app that the tests of the session share; it is the current one, unless there is the trap."""
    config = _config(request, celery_config)
    with _app(config, celery_parameters, celery_enable_logging, use_celery_app_trap) as app:
        if not use_celery_app_trap:
            app.set_default()
            app.set_current()
        yield app


@pytest.fixture
def celery_worker(
    celery_app: Celery,
    celery_includes: Sequence[str],
    celery_worker_pool: str,
    celery_worker_parameters: Mapping[str, Any],
    celery_enable_logging: bool,
) -> Iterator[TestWorker | None]:
    """Give a worker in a thread, which stops when the test has ended."""
    with _worker(
        celery_app, celery_includes, celery_worker_pool, celery_worker_parameters, celery_enable_logging
    ) as worker:
        yield worker


@pytest.fixture(scope="session")
def celery_session_worker(
    celery_session_app: Celery,
    celery_includes: Sequence[str],
    celery_class_tasks: Sequence[Any],
    celery_worker_pool: str,
    celery_worker_parameters: Mapping[str, Any],
    celery_enable_logging: bool,
) -> Iterator[TestWorker | None]:
    """Give a worker that the tests of the session share."""
    for task in celery_class_tasks:
        celery_session_app.register_task(task)
    with _worker(
        celery_session_app, celery_includes, celery_worker_pool, celery_worker_parameters, celery_enable_logging
    ) as worker:
        yield worker


@pytest.fixture
def depends_on_current_app(celery_app: Celery) -> None:
    """Make the test's app the current one."""
    celery_app.set_current()


def _config(request: pytest.FixtureRequest, config: Mapping[str, Any]) -> Mapping[str, Any]:
    mark = request.node.get_closest_marker("celery")
    return {**config, **(mark.kwargs if mark else {})}


@contextmanager
def _app(
    config: Mapping[str, Any], parameters: Mapping[str, Any], enable_logging: bool, use_trap: bool
) -> Iterator[Celery]:
    module = import_module("celeriac.testing.app")
    app: Celery = module.TestApp(config=config, enable_logging=enable_logging, **parameters)
    default: AbstractContextManager[None] = module.setup_default_app(app, use_trap=use_trap)
    with default:
        yield app


@contextmanager
def _worker(
    app: Celery, includes: Sequence[str], pool: str, parameters: Mapping[str, Any], enable_logging: bool
) -> Iterator[TestWorker | None]:
    if os.environ.get(NO_WORKER):
        yield None
        return
    for name in includes:
        import_module(name)
    said = {"loglevel": "INFO"} if enable_logging else {}
    module = import_module("celeriac.testing.worker")
    worker: AbstractContextManager[TestWorker] = module.start_worker(app, **{**said, "pool": pool, **parameters})
    with worker as started:
        yield started
