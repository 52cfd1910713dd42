"""Apps for tests: one that is ready, or one of yours whose messages and results stay in this process."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar, Final

from celeriac.app.application import Celery
from celeriac.app.current import kept_apps, set_current_app, set_default_app
from celeriac.brokers.memory.store import Store, forget_store, store_named
from celeriac.clock import Clock
from celeriac.ids import new_id
from celeriac.testing.clock import ManualClock

DEFAULT_TEST_CONFIG: Final[Mapping[str, Any]] = {
    "accept_content": ("json",),
    "enable_utc": True,
    "timezone": "UTC",
    "worker_log_color": False,
}
"""What a `TestApp` says besides its broker and result backend, which are in memory."""


class TestApp(Celery):
    """Be an app for tests: what it publishes, and its results, are in the memory of this process and its own.

    The environment is not asked for settings, so that no variable of the machine leads a test to a real broker.

    Args:
        name: of the app.
        config: settings, by new or old names; they win over those of the class.
        enable_logging: log on standard error while a worker of it runs.
        set_as_current: be the app that is meant where none is named.
        clock: tells when delayed messages are due; None is the machine's clock.
        broker: URL, instead of a store in memory that nobody else has.
        backend: URL, likewise; with a broker in memory results are beside the messages.
        options: what `Celery` takes besides.

    Attributes:
        enable_logging: as given.
    """

    __test__: ClassVar[bool] = False  # for pytest, which takes classes of that name for tests
    environ: ClassVar[Mapping[str, str]] = {}

    def __init__(
        self,
        name: str | None = None,
        config: Mapping[str, Any] | None = None,
        *,
        enable_logging: bool = False,
        set_as_current: bool = False,
        clock: Clock | None = None,
        broker: str | None = None,
        backend: str | None = None,
        **options: Any,
    ) -> None:
        own = _new_store(clock) if broker is None else None
        if own is not None:
            weakref.finalize(self, forget_store, own.name)
        super().__init__(
            name or "celery.tests",
            broker=broker if own is None else f"memory://{own.name}",
            backend=backend,
            set_as_current=set_as_current,
            changes=DEFAULT_TEST_CONFIG,
            **options,
        )
        self.enable_logging = enable_logging
        self.conf.update(config or {})
        if clock is not None:
            self.builder.now = clock.now

    def __reduce_keys__(self) -> dict[str, Any]:
        keys = super().__reduce_keys__()
        return {"name": keys.pop("main"), "config": keys.pop("changes"), **keys}


@contextmanager
def in_memory(app: Celery, *, clock: Clock | None = None) -> Iterator[Celery]:
    """Keep an app's messages and results in the memory of this process, for the length of a `with` block.

    The store is new, and gone afterwards. Results are kept, whatever the app has for a result backend. What is
    published is noted, for `assert_published`.

    Args:
        clock: tells when delayed messages are due, and from when countdowns are counted; None is the machine's clock.
    """
    store = _new_store(clock)
    stores = {"broker_url": f"memory://{store.name}", "broker_transport": None, "result_backend": None}
    before = app.builder.now
    with app.conf.overridden(stores):
        if clock is not None:
            app.builder.now = clock.now
        try:
            yield app
        finally:
            app.builder.now = before
            forget_store(store.name)


def _new_store(clock: Clock | None) -> Store:
    """Make a store that nobody has, and that notes what is published."""
    store = store_named(f"test-{new_id()}")
    store.published = []
    if clock is not None:
        store.clock = clock
    if isinstance(clock, ManualClock):
        clock.told.append(store.wake)
    return store


class Trap:
    """Stand for the current app where nothing is to need one: whatever is asked of it raises."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(f"this test depends on the current app, which is to be named: it was asked for {name!r}")


@contextmanager
def set_trap(app: Celery | None = None) -> Iterator[None]:
    """Have every use of the current app raise, for the length of a `with` block."""
    trap: Any = Trap()
    with kept_apps():
        set_current_app(trap)
        set_default_app(trap)
        yield


@contextmanager
def setup_default_app(app: Celery, use_trap: bool = False) -> Iterator[None]:
    """Put the current app back at the end of a `with` block, and close `app`.

    Args:
        use_trap: have every use of the current app raise meanwhile.
    """
    with kept_apps():
        try:
            if use_trap:
                with set_trap():
                    yield
            else:
                yield
        finally:
            app.close()
