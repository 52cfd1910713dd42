"""A log file that several processes append to, and that may be rotated under them."""

from __future__ import annotations

import logging
import os
from logging.handlers import WatchedFileHandler
from typing import Any, Final

from celeriac.exceptions import ImproperlyConfigured

_MODE: Final = 0o666


class _Appended:
    """Be the text stream of a handler. Each text goes out in one write, so that lines of processes do not mix."""

    def __init__(self, path: str) -> None:
        self.name = path
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, _MODE)

    def write(self, text: str) -> int:
        data = text.encode("utf-8", "backslashreplace")
        while data:  # a disk that is nearly full takes a part of it
            data = data[os.write(self._descriptor, data) :]
        return len(text)

    def flush(self) -> None:
        """Do nothing: nothing is kept back."""

    def fileno(self) -> int:
        return self._descriptor

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor != -1:
            os.close(descriptor)


class SharedFileHandler(WatchedFileHandler):
    """Append to a file; open it anew when somebody has moved it away."""

    def __init__(self, path: str) -> None:
        super().__init__(path, encoding="utf-8")

    def _open(self) -> Any:
        return _Appended(self.baseFilename)


def file_handler(path: str) -> logging.Handler:
    """Make the handler of a log file.

    Raises:
        ImproperlyConfigured: the file cannot be written.
    """
    try:
        return SharedFileHandler(path)
    except (OSError, ValueError) as error:  # the latter for a NUL in the name
        reason = (isinstance(error, OSError) and error.strerror) or error
        raise ImproperlyConfigured(
            f"the log file {path!r} cannot be written: {reason}. Make its folder and let this user write there, "
            "or name another file with -f"
        ) from error
