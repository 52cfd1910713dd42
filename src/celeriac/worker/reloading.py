"""Watch the sources of a project, so that its node can start again with what somebody has just written (`--reload`)."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from celeriac.exceptions import ImproperlyConfigured

if TYPE_CHECKING:
    from watchfiles import Change

SETTINGS_FILE: Final = "pyproject.toml"

_NOT_OF_THE_PROJECT: Final = frozenset(("site-packages", "venv"))
_SETTLED_AFTER_MS: Final = 50
"""Editors and version control write several files one after the other; a change is over when it was quiet so long."""

_LOOK_EVERY_MS: Final = 1_000


def is_source(path: str) -> bool:
    """Say whether a change of this file is a change of the program."""
    file = Path(path)
    if not _NOT_OF_THE_PROJECT.isdisjoint(file.parts):
        return False
    return file.suffix == ".py" or file.name == SETTINGS_FILE


def written_since(began_at: float, files: Iterable[Path], *, now: float) -> str | None:
    """Return a file that was written after an instant, or None.

    Times after `now` are those of clocks that are wrong, and would be found again and again.
    """
    for file in files:
        try:
            written_at = file.stat().st_mtime
        except OSError:
            continue  # it has just been deleted
        if began_at < written_at <= now:
            return str(file)
    return None


class Reload(msgspec.Struct, frozen=True):
    """Say what is watched.

    Attributes:
        folder: sources below it.
        began_at: unix instant before which nothing of it was imported; what was written since counts as a change.
    """

    folder: Path
    began_at: float


class Reloading:
    """Tell the first change of a source below a folder, from a thread of its own.

    Args:
        on_change: called once, in the loop that `start` is called in, with the path.
    """

    def __init__(self, watched: Reload, *, on_change: Callable[[str], None]) -> None:
        self._watched = watched
        self._on_change = on_change
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._watch, args=(loop,), name="reloading", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Look no more. May be called twice."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(1.0)

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        path = _first_change(self._watched, self._stop)
        if path is not None:
            loop.call_soon_threadsafe(self._on_change, path)


def wait_for_change(watched: Reload) -> str:
    """Return the first source that changes. Blocks.

    Raises:
        KeyboardInterrupt: somebody has lost patience.
    """
    found = _first_change(watched, None)
    assert found is not None, "nobody can stop it"
    return found


def _first_change(watched: Reload, stop: threading.Event | None) -> str | None:
    """Return the first source that changes, or None when that was not to be waited for any longer."""
    watchfiles = _watchfiles()
    filters = watchfiles.DefaultFilter()

    def concerns(change: Change, path: str) -> bool:
        return is_source(path) and bool(filters(change, path))

    is_new = True
    for changes in watchfiles.watch(
        watched.folder,
        watch_filter=concerns,
        stop_event=stop,
        step=_SETTLED_AFTER_MS,
        rust_timeout=_LOOK_EVERY_MS,
        yield_on_timeout=True,
    ):
        if changes:
            return min(str(path) for _, path in changes)
        if is_new:  # by now it is watched; what was written before that has told nobody
            is_new = False
            files = (path for path in watched.folder.rglob("*") if concerns(watchfiles.Change.modified, str(path)))
            found = written_since(watched.began_at, files, now=time.time())
            if found is not None:
                return found
    return None


def _watchfiles() -> Any:
    try:
        import watchfiles
    except ImportError as error:
        raise ImproperlyConfigured('--reload needs watchfiles: pip install "celeriac[reload]"') from error
    return watchfiles


def require_library() -> None:
    """Raise when there is nothing to watch files with.

    Raises:
        ImproperlyConfigured: the text says what to install.
    """
    _watchfiles()
