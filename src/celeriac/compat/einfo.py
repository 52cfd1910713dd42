"""What billiard wraps exceptions in, for who asks whether one is wrapped: here none is."""

from __future__ import annotations

from types import TracebackType


class ExceptionWithTraceback(Exception):
    """Carry an exception and where it was raised. What `einfo.exception` is in celeriac is the exception itself.

    Attributes:
        exc: the exception.
        tb: its traceback.
    """

    def __init__(self, exc: BaseException, tb: TracebackType | None = None) -> None:
        super().__init__(exc, tb)
        self.exc = exc
        self.tb = tb
