"""The tasks of a project under test: copied into its folder, imported there by real workers as module `tasks`.

Tasks tell the test what they do by notes, lines in one file that is only appended to, and wait for it at gates,
files that the test makes.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from celeriac import Celery

HERE = Path(__file__).parent
GATE_TIMEOUT = 120.0

app = Celery("tasks", broker="sqlite:///work.db")


def note(*words: object) -> None:
    """Add a line to the notes. One write to a file opened for appending: lines never mix or get lost."""
    descriptor = os.open(HERE / "notes", os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, (" ".join(map(str, words)) + "\n").encode())
    finally:
        os.close(descriptor)


def wait_at(gate: str) -> None:
    deadline = time.monotonic() + GATE_TIMEOUT
    while not (HERE / gate).exists():
        if time.monotonic() > deadline:
            raise TimeoutError(f"nobody opened the gate {gate}")
        time.sleep(0.002)


@app.task
def add(x: int, y: int) -> int:
    return x + y


@app.task
def echo(value: Any) -> Any:
    return value


@app.task
def letters(count: int) -> str:
    return "x" * count


@app.task
def size_of(value: Any) -> int:
    return len(value)


@app.task
def pid() -> int:
    return os.getpid()


@app.task
def noted(name: str, seconds: float = 0.0) -> str:
    """Note the start, then work for so long."""
    note("began", name)
    if seconds:
        time.sleep(seconds)
    return name


@app.task
def gated(name: str, gate: str) -> int:
    """Note the start, wait at a gate, note the end; return the pid."""
    note("began", name, os.getpid())
    wait_at(gate)
    note("ended", name, os.getpid())
    return os.getpid()


@app.task
def perhaps_gated(name: str, gate: str | None) -> str:
    """Be short for some arguments and long for others, as one task."""
    note("began", name)
    if gate is not None:
        wait_at(gate)
    else:
        time.sleep(0.001)
    return name


@app.task(acks_late=False)
def gated_after_ack(name: str, gate: str) -> str:
    note("began", name, os.getpid())
    wait_at(gate)
    note("ended", name)
    return name


@app.task
def die_unless(gate: str) -> str:
    if not (HERE / gate).exists():
        os.kill(os.getpid(), signal.SIGKILL)
    return "alive"


@app.task(acks_late=False)
def die_after_ack() -> None:
    note("began", "die_after_ack")
    os.kill(os.getpid(), signal.SIGKILL)


@app.task
def die(name: str = "die", number: int = signal.SIGKILL) -> None:
    note("began", name)
    os.kill(os.getpid(), number)
    time.sleep(10)


@app.task
def leave(status: int) -> None:
    note("began", "leave")
    os._exit(status)


@app.task
def fail(text: str) -> None:
    raise ValueError(text)


@app.task(bind=True, max_retries=3)
def flaky(self: Any, failures: int) -> int:
    note("attempt", self.request.retries, f"{time.time():.3f}")
    if self.request.retries < failures:
        raise self.retry(exc=ValueError("not yet"), countdown=0.2)
    return int(self.request.retries)


@app.task
async def nap(seconds: float) -> str:
    await asyncio.sleep(seconds)
    return "woken"


@app.task(ignore_result=True)
def forgotten() -> str:
    note("began", "forgotten")
    return "nobody keeps this"


@app.task(bind=True)
def about(self: Any) -> dict[str, Any]:
    request = self.request
    return {
        "id": request.id,
        "retries": request.retries,
        "hostname": request.hostname,
        "queue": request.delivery_info["routing_key"],
        "redelivered": request.delivery_info["redelivered"],
    }


@app.task
def started_at() -> float:
    return time.time()


@app.task
def call_add(x: int, y: int) -> str:
    return str(add.delay(x, y).id)


@app.task
def gated_with_a_fork(name: str, gate: str) -> int:
    """Fork a grandchild that keeps everything open that this process has open, then be as `gated`."""
    grandchild = os.fork()
    if grandchild == 0:
        note("began", f"fork-of-{name}", os.getpid())
        wait_at(f"{gate}-of-fork")
        note("ended", f"fork-of-{name}", os.getpid())
        os._exit(0)
    return gated.run(name, gate)


@app.task
def leave_a_program(name: str, gate: str) -> int:
    """Start a program that goes on after the body has returned."""
    script = f"import tasks; tasks.note('began', {name!r}); tasks.wait_at({gate!r}); tasks.note('ended', {name!r})"
    return subprocess.Popen([sys.executable, "-c", script], cwd=HERE).pid


@app.task
def kill_the_node(name: str) -> None:
    """Kill the supervisor, which is the parent of the forkserver, which is the parent of this process."""
    note("began", name)
    with open(f"/proc/{os.getppid()}/stat") as stat:
        os.kill(int(stat.read().rpartition(")")[2].split()[1]), signal.SIGKILL)
    wait_at("never")
