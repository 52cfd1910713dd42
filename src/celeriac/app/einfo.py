"""What hooks and signals are told of an exception: `einfo`, as in Celery."""

from __future__ import annotations

import traceback
from pathlib import Path
from types import TracebackType
from typing import Final

_TRACEBACK_MAX_CHARS: Final = 64 * 1024
_PACKAGE: Final = Path(__file__).parents[1]
_OURS: Final = frozenset(
    str(_PACKAGE / name)
    for name in (
        "app/trace.py",
        "app/guard.py",
        "app/task.py",
        "app/calling.py",
        "app/eager.py",
        "worker/execute.py",
    )
)
_LIBRARY: Final = Path(traceback.__file__).parent
# What stands between us and the body of a coroutine.
_RUNNERS: Final = (str(_LIBRARY / "asyncio"), str(_LIBRARY / "concurrent"), "uvloop")


class ExceptionInfo:
    """Describe an exception and where it was raised.

    Attributes:
        type: its class.
        exception: itself.
        tb: its traceback, beginning with the first frame of the body.
        traceback: the same as text, as it would read had the body been called at home; `str()` is this.
        internal: it says how a run goes on (`Ignore`, `Reject`), and is no error.
    """

    def __init__(self, exception: BaseException, *, internal: bool = False) -> None:
        self.type = type(exception)
        self.exception = exception
        self.internal = internal
        self._text: str | None = None

    @property
    def tb(self) -> TracebackType | None:
        inner = self.exception.__traceback__
        while inner is not None and _is_around_bodies(inner.tb_frame.f_code.co_filename):
            inner = inner.tb_next
        return inner

    @property
    def traceback(self) -> str:
        if self._text is None:
            lines = traceback.format_exception(self.type, self.exception, self.tb)
            self._text = "".join(lines)[-_TRACEBACK_MAX_CHARS:]
        return self._text

    @property
    def exc_info(self) -> tuple[type[BaseException], BaseException, TracebackType | None]:
        return self.type, self.exception, self.tb

    def __str__(self) -> str:
        return self.traceback

    def __repr__(self) -> str:
        return f"<ExceptionInfo: {self.exception!r}>"


def _is_around_bodies(file: str) -> bool:
    return file in _OURS or file.startswith(_RUNNERS)
