"""Show with an exception where a worker raised it."""

from __future__ import annotations

import textwrap
from importlib import import_module
from types import TracebackType
from typing import Any, Final

_HEAD: Final = "Traceback (most recent call last):\n"


def show_remote_traceback(error: BaseException, text: str, run: str, *, as_frames: bool) -> BaseException:
    """Have an exception print the worker's traceback with its own, and return it.

    Args:
        error: made for this purpose, and not raised before.
        text: the worker's traceback.
        run: describes the run, as in ``task shop.pay[4f1c]``.
        as_frames: make the worker's frames part of the exception's own traceback, which needs tblib. Where that
            cannot be done the text is shown and says why, so that nothing stands before the error itself.
    """
    why = ""
    if as_frames:
        try:
            return error.with_traceback(_frames_of(text))
        except ImportError:
            why = ' (task_remote_tracebacks needs: pip install "celeriac[tblib]")'
        except ValueError:
            why = ""  # a text that no frames can be made of, such as that of another language
    error.add_note(f"Raised in {run}{why}:\n{textwrap.indent(text.rstrip(), '  ')}")
    return error


def _frames_of(text: str) -> TracebackType:
    """Make a traceback of the last one in a text; those before it are of what led to the exception.

    Raises:
        ImportError: tblib is not installed.
        ValueError: there is none.
    """
    tblib: Any = import_module("tblib")  # an extra; it has no types
    _, head, last = text.rpartition(_HEAD)
    try:
        made = tblib.Traceback.from_string(head + last).as_traceback()
    except tblib.TracebackParseError as error:
        raise ValueError(f"no traceback: {error}") from error
    if not isinstance(made, TracebackType):
        raise ValueError("a traceback without frames")
    return made
