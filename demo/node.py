"""The worker of the demo: `celeriac -A demo.tasks worker -c 2`, in a process of its own, as a user would start it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Final

START_TIMEOUT: Final = 30.0
STOP_TIMEOUT: Final = 20.0
LINES_KEPT: Final = 60
STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class NodeFailed(Exception):
    """The worker is not there any more, or never was; the text has its last words."""


class Node:
    """Start one worker, and stop it.

    It leads a session of its own, so that Ctrl-C reaches this program alone, which then stops the worker cleanly.

    Args:
        arguments: what to call celeriac with.
    """

    def __init__(self, *arguments: str) -> None:
        self.command = [*celeriac(), *arguments]
        self.ready_after = 0.0
        self._printed: deque[str] = deque(maxlen=LINES_KEPT)
        self._ready = threading.Event()

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Have the worker for as long as the block lasts.

        Raises:
            NodeFailed: it does not take work.
        """
        began = time.monotonic()
        with undisturbed():
            self._process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                start_new_session=True,
            )  # fmt: skip
        try:
            reader = threading.Thread(target=self._read, daemon=True)
            reader.start()
            if not self._ready.wait(START_TIMEOUT):
                raise NodeFailed(f"the worker was not ready after {START_TIMEOUT:.0f} s{self._last_words()}")
            self.check()
            self.ready_after = time.monotonic() - began
            yield
        finally:
            with undisturbed():
                self._stop()

    def check(self) -> None:
        """Raise when the worker has gone."""
        code = self._process.poll()
        if code is not None:
            raise NodeFailed(f"the worker exited with {code}{self._last_words()}")

    @property
    def pid(self) -> int:
        """Process id of the worker."""
        return self._process.pid

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._printed.append(line)
            if line.rstrip().endswith(" ready."):
                self._ready.set()
        self._ready.set()  # it has ended: nothing to wait for

    def _stop(self) -> None:
        if self._process.poll() is None:
            self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _last_words(self) -> str:
        return f"; its last words:\n{''.join(self._printed)}" if self._printed else ""


def celeriac() -> list[str]:
    """Return the command of the celeriac that belongs to this Python, as short as it can be typed."""
    script = Path(sys.executable).with_name("celeriac")
    if not script.exists():
        return [sys.executable, "-m", "celeriac"]
    return [os.path.relpath(script) if script.is_relative_to(Path.cwd()) else str(script)]


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Hold Ctrl-C and the like back until the block has ended."""
    held: list[int] = []

    def hold(number: int, frame: FrameType | None) -> None:
        held.append(number)

    usual = {number: signal.signal(number, hold) for number in STOP_SIGNALS}
    try:
        yield
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)
        if held:
            raise KeyboardInterrupt
