"""Signals to stop that come before a node takes work: while its app is imported, or its broker is waited for."""

from __future__ import annotations

import signal
from types import TracebackType
from typing import Any, Final, Self

_STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)


class Stopped(BaseException):
    """Say that the node was told to stop before it took work; the argument is the signal's name."""


class EarlySignals:
    """Hear signals to stop before the parts that answer them run, and after them, until the `with` block ends.

    Attributes:
        told: the signal that has come first, or None.
    """

    def __init__(self) -> None:
        self.told: str | None = None
        self._raises = True
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        self._before = {number: signal.getsignal(number) for number in _STOP_SIGNALS}
        self._listen()
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        for number, handler in self._before.items():
            if handler is not None:  # what a library in C has set cannot be set again from here
                signal.signal(number, handler)

    def only_note(self) -> None:
        """Note what comes from now on, without ending anything, until `check`."""
        self._raises = False
        self._listen()

    def check(self) -> None:
        """Raise what has come so far, and what comes from now on at once.

        Code that was imported may have swallowed it.

        Raises:
            Stopped: this process was told to stop.
        """
        self._raises = True
        if self.told is not None:
            raise Stopped(self.told)

    def _listen(self) -> None:
        for number in _STOP_SIGNALS:
            signal.signal(number, self._hear)

    def _hear(self, number: int, frame: object) -> None:
        if self.told is None:  # the first is on its way already, through code that cleans up
            self.told = signal.Signals(number).name
            if self._raises:
                raise Stopped(self.told)
