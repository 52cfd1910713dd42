"""Run all programs on one side, and write down what they saw: `python side.py <folder> <answers.json> [name …]`.

Runs in Celery's own environment too, so it imports neither package; the programs do. Each program has a process of its
own, forked when the imports are done: what one does to signals, current app or environment meets no other.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import Any, Final

LOCAL_AT_ONCE: Final = 2
LIVE_AT_ONCE: Final = 12
LOCAL_SECONDS: Final = 10.0
LIVE_SECONDS: Final = 60.0
SIDE_SECONDS: Final = 150.0
READY_SECONDS: Final = 60.0
STOP_SECONDS: Final = 2.0

_LATEST: Final = time.monotonic() + SIDE_SECONDS


def main(folder: str, answers: str, *wanted: str) -> None:
    """Run the programs of a folder, or those of them that are named."""
    os.chdir(folder)
    sys.path.insert(0, folder)
    from observing import PROGRAMS  # type: ignore[import-not-found]  # a copy of it is in that folder

    for module in json.loads(os.environ["DIFFERENTIAL_IMPORTED_ONCE"]):
        importlib.import_module(module)
    broken = {}
    for path in sorted(Path(folder).glob("*.py")):
        try:
            importlib.import_module(path.stem)
        except Exception:  # noqa: BLE001 - told to who has asked
            broken[path.stem] = traceback.format_exc()
    programs = [one for one in PROGRAMS.values() if not wanted or one.name in wanted]
    local = [one for one in programs if not one.live]
    live = [one for one in programs if one.live]
    worker = Worker() if live else None
    found = run_all(local, LOCAL_AT_ONCE)
    if worker is not None:
        trouble = worker.wait_ready()
        if trouble:
            found |= {one.name: {"error": trouble, "took": 0} for one in live}
        else:
            found |= run_all([one for one in live if not one.last], LIVE_AT_ONCE)
            found |= run_all([one for one in live if one.last], 1)
        worker.stop()
    for one in programs:
        found[one.name]["differences"] = [difference._asdict() for difference in one.differences]
    Path(answers).write_text(json.dumps({"programs": found, "broken": broken}))


class Worker:
    """The one worker of this side."""

    def __init__(self) -> None:
        self._log = Path("worker.log").open("wb")  # noqa: SIM115 - closed by `stop`
        command = [sys.executable, *json.loads(os.environ["DIFFERENTIAL_WORKER"])]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log)

    def wait_ready(self) -> str:
        """Return why it does not run; an empty text when it does."""
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            ended = self._process.poll() is not None  # before the look: its last words count
            if "ready." in self.log:
                return ""
            if ended:
                return f"the worker ended with {self._process.returncode}:\n{self.log}"
            time.sleep(0.02)
        return f"the worker was not ready within {READY_SECONDS:g} s:\n{self.log}"

    def stop(self) -> None:
        """Stop it warmly, and with force when that takes too long: stock Celery often needs 10 s."""
        for number in (signal.SIGTERM, signal.SIGQUIT, signal.SIGKILL):
            if self._process.poll() is None:
                self._process.send_signal(number)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(STOP_SECONDS)
        self._log.close()

    @property
    def log(self) -> str:
        return Path("worker.log").read_text(errors="replace")


def run_all(programs: list[Any], at_once: int) -> dict[str, dict[str, Any]]:
    """Run programs, some at a time; return for each its facts, or the error that ended it."""
    waiting, running = list(programs), selectors.DefaultSelector()
    found: dict[str, dict[str, Any]] = {}
    while waiting or running.get_map():
        if time.monotonic() > _LATEST:
            found |= {
                one.name: {"error": f"not run: this side has taken {SIDE_SECONDS:g} s", "took": 0} for one in waiting
            }
            waiting = []
        while waiting and len(running.get_map()) < at_once:
            run = Run(waiting.pop(0))
            running.register(run.pipe, selectors.EVENT_READ, run)
        ready = {key.data for key, _ in running.select(timeout=0.1)}
        for run in [key.data for key in list(running.get_map().values())]:
            if (run in ready and run.read()) or run.out_of_time:
                running.unregister(run.pipe)
                found[run.name] = run.end()
    return found


class Run:
    """One program in a process of its own."""

    def __init__(self, program: Any) -> None:
        self.name, self._live = program.name, program.live
        self._began_at = time.monotonic()
        self._text = b""
        self.pipe, inlet = os.pipe()
        sys.stdout.flush()
        self._pid = os.fork()
        if self._pid == 0:
            try:
                _perform(program, inlet)
            finally:
                os._exit(0)
        os.close(inlet)

    def read(self) -> bool:
        """Read what there is; say whether that was all."""
        part = os.read(self.pipe, 1 << 16)
        self._text += part
        return not part

    @property
    def out_of_time(self) -> bool:
        return time.monotonic() - self._began_at > (LIVE_SECONDS if self._live else LOCAL_SECONDS)

    def end(self) -> dict[str, Any]:
        """Have its process ended; return what it has written."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        os.close(self.pipe)
        took = time.monotonic() - self._began_at
        try:
            return {**json.loads(self._text), "took": took}
        except ValueError:
            return {"error": f"no answer after {took:.1f} s", "took": took}


def _perform(program: Any, inlet: int) -> None:
    from observing import as_json

    quiet = os.open(f"{program.name}.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for standard in (1, 2):
        os.dup2(quiet, standard)
    try:
        answer = {"facts": as_json(dict(program.run()))}
    except BaseException:  # noqa: BLE001 - told to who has asked
        answer = {"error": traceback.format_exc()}
    with os.fdopen(inlet, "w") as pipe:
        json.dump(answer, pipe)


if __name__ == "__main__":
    main(*sys.argv[1:])
