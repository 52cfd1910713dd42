"""Cameras: call a function with the picture that events draw, again and again."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from importlib import import_module
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from celeriac.app.current import current_app
from celeriac.app.events.state import State
from celeriac.app.signals import Signal
from celeriac.app.timing import interval_of
from celeriac.exceptions import BrokerUnavailable, ImproperlyConfigured
from celeriac.wire.events import Event

if TYPE_CHECKING:
    from celeriac.app.application import Celery

logger: Final = logging.getLogger("celeriac.events")

_CLEANUP_EVERY: Final = 3600.0
_TRY_AGAIN_AFTER: Final = 5.0


class Polaroid:
    """Take a snapshot of a `State` every now and then; derive from it, and override `on_shutter`.

    Args:
        state: what is photographed.
        freq: seconds between two snapshots.
        maxrate: how many at most, such as ``10/m``; None is no limit.
        cleanup_freq: seconds between two calls of `on_cleanup`.
        timer: of no effect; taken because Celery has it.
        app: None is the current one.

    Attributes:
        clear_after: forget after each snapshot what has ended.
        shutter_signal, cleanup_signal: sent for each.
    """

    clear_after = False
    shutter_signal = Signal(name="shutter_signal", providing_args={"state"})
    cleanup_signal = Signal(name="cleanup_signal")

    def __init__(
        self,
        state: State,
        freq: float = 1.0,
        maxrate: str | float | None = None,
        cleanup_freq: float = _CLEANUP_EVERY,
        timer: Any = None,
        app: Celery | None = None,
    ) -> None:
        self.app = app or current_app()
        self.state = state
        self.freq = freq
        self.cleanup_freq = cleanup_freq
        self.timer = timer
        self.maxrate = maxrate
        self._gap = interval_of(maxrate) or 0.0
        self._last_at = -float("inf")
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []

    def install(self) -> None:
        """Begin to take snapshots, in threads of their own."""
        self._over.clear()
        for call, every in ((self.capture, self.freq), (self.cleanup, self.cleanup_freq)):
            thread = threading.Thread(target=self._repeat, args=(call, every), name="camera", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _repeat(self, call: Callable[[], object], every: float) -> None:
        while not self._over.wait(every):
            try:
                call()
            except Exception:
                logger.exception("a camera failed; it goes on")

    def on_shutter(self, state: State) -> None:
        """Look at the state. Nothing changes in it meanwhile."""

    def on_cleanup(self) -> None:
        """Throw away what is no longer wanted."""

    def cleanup(self) -> None:
        """Have old snapshots thrown away."""
        self.cleanup_signal.send(sender=self.state)
        self.on_cleanup()

    def shutter(self) -> None:
        """Take a snapshot, unless the last one was too short a time ago (`maxrate`)."""
        now = time.monotonic()
        if now - self._last_at >= self._gap:
            self._last_at = now
            self.shutter_signal.send(sender=self.state)
            self.on_shutter(self.state)

    def capture(self) -> None:
        """Take a snapshot while nothing changes."""
        self.state.freeze_while(self.shutter, clear_after=self.clear_after)

    def cancel(self) -> None:
        """Take no more. May be called twice."""
        self._over.set()
        while self._threads:
            self._threads.pop().join(1.0)

    def __enter__(self) -> Self:
        self.install()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.cancel()


def evcam(
    camera: type[Polaroid] | str,
    freq: float = 1.0,
    maxrate: str | float | None = None,
    loglevel: Any = 0,
    logfile: str | None = None,
    pidfile: str | None = None,
    timer: Any = None,
    app: Celery | None = None,
    **kwargs: Any,
) -> None:
    """Hear events and let a camera look at what they draw, until Ctrl-C.

    Args:
        camera: the class, or its path, ``module.Class``.
        freq, maxrate: see `Polaroid`.
        loglevel, logfile, pidfile, timer: of no effect; taken because Celery has them.

    Raises:
        ImproperlyConfigured: there is no such camera, or the broker has no bus.
    """
    app = app or current_app()
    kind = camera_named(camera) if isinstance(camera, str) else camera
    state = app.events.State()
    with kind(state, freq=freq, maxrate=maxrate, app=app):
        hear_for_ever(app, {"*": state.event})


def camera_named(path: str) -> type[Polaroid]:
    """Import a camera.

    Raises:
        ImproperlyConfigured: there is none.
    """
    module, _, name = path.replace(":", ".").rpartition(".")
    try:
        found = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as exc:
        raise ImproperlyConfigured(f"there is no camera {path!r}: {exc}; give it as module.Class") from exc
    if not (isinstance(found, type) and issubclass(found, Polaroid)):
        raise ImproperlyConfigured(f"{path} is no camera: it does not derive from Polaroid")
    return found


def hear_for_ever(app: Celery, handlers: Mapping[str, Callable[[Event], object]]) -> None:
    """Call functions with events until somebody interrupts; begin again after a lost broker.

    Raises:
        ImproperlyConfigured: the broker has no bus.
    """
    while True:
        try:
            app.events.Receiver(handlers=handlers).capture()
        except BrokerUnavailable as exc:
            logger.warning("no events are heard, trying again in %g s: %s", _TRY_AGAIN_AFTER, exc)
            time.sleep(_TRY_AGAIN_AFTER)
