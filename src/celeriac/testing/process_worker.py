"""A worker beside this process: a node of its own, for pools whose tasks run in processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import Final

from celeriac.app.application import Celery
from celeriac.app.entry import place_of
from celeriac.exceptions import ImproperlyConfigured

_START_WITHIN: Final = 30.0
_END_WITHIN: Final = 5.0
_LOOK_EVERY: Final = 0.01


class ProcessWorker:
    """Be a `TestWorker` beside this process.

    Args:
        loglevel: what it logs on standard error.
        logfile: where it logs instead.
        stop_grace: seconds that running tasks have at a stop.
    """

    def __init__(
        self,
        app: Celery,
        *,
        hostname: str,
        queues: tuple[str, ...],
        pool: str,
        concurrency: int,
        loglevel: str | int | None,
        logfile: str | None,
        prefetch_multiplier: int | None,
        stop_grace: float,
    ) -> None:
        self.app = app
        self.hostname = hostname
        self.queues = queues
        self.pool = pool
        self.concurrency = concurrency
        self._process: subprocess.Popen[bytes] | None = None
        if not app.broker.capabilities.crosses_processes:
            raise ImproperlyConfigured(
                f"pool {pool!r} runs tasks in other processes, which cannot see {app.broker.url}: use a broker such as "
                "sqlite:///path, or pool='threads', whose tasks run in this process"
            )
        given: dict[str, object] = {
            "-P": pool,
            "-c": concurrency,
            "-n": hostname,
            "-Q": ",".join(queues),
            "--stop-grace": stop_grace,
        }
        given |= {"-l": loglevel, "-f": logfile, "--prefetch-multiplier": prefetch_multiplier}
        options = [str(word) for pair in given.items() if pair[1] is not None for word in pair]
        self._command = [sys.executable, "-m", "celeriac", "-q", "-A", place_of(app), "worker", *options]
        self._environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "CELERIAC_BROKER_URL": app.conf.broker_url or app.broker.url,
        }
        if app.conf.result_backend:
            self._environment["CELERIAC_RESULT_BACKEND"] = app.conf.result_backend

    def start(self) -> None:
        """Start it, and return when it takes work."""
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.DEVNULL, env=self._environment, start_new_session=True
        )
        until = time.monotonic() + _START_WITHIN
        while not any(owner.pid == self._process.pid for owner in self.app.broker.owners()):
            if self._process.poll() is not None:
                raise RuntimeError(f"worker {self.hostname} ended at its start with {self._process.returncode}")
            if time.monotonic() > until:
                self._kill(self._process)
                raise RuntimeError(f"worker {self.hostname} was not ready after {_START_WITHIN:.0f} s")
            time.sleep(_LOOK_EVERY)

    def stop(self, timeout: float) -> None:
        """Stop it warmly; kill it when it has not ended in time."""
        process = self._process
        if process is None:
            return
        process.terminate()
        try:
            code = process.wait(timeout + _END_WITHIN)
        except subprocess.TimeoutExpired:
            self._kill(process)
            raise RuntimeError(f"worker {self.hostname} did not end within {timeout:g} s, and was killed") from None
        if code:
            raise RuntimeError(f"worker {self.hostname} ended with {code}; what it logged says why")

    def reload(self) -> None:
        """Tell that tasks registered since cannot be known there."""
        raise RuntimeError(
            f"worker {self.hostname} is another process, which knows the tasks of the module that it has imported"
        )

    @staticmethod
    def _kill(process: subprocess.Popen[bytes]) -> None:
        process.kill()
        process.wait()
