from __future__ import annotations

import os
import sys
from pathlib import Path

from observing import PATIENCE, POLL, differs, program, raised
from shop import app


def note(name):
    with Path(f"exits-{name}").open("a") as file:
        file.write("began\n")


@app.task
def leaves(how):
    note(how)
    if how == "exit":
        sys.exit(3)
    if how == "killed":
        os._exit(3)
    raise KeyboardInterrupt


def _end_of(how):
    result = leaves.delay(how)
    return [raised(result.get, timeout=PATIENCE, interval=POLL), result.state]


@program(
    differs(
        "end", celery=["WorkerLostError", "FAILURE"], ours=["RemoteError", "FAILURE"], row="`sys.exit()` in a task"
    ),
)
def a_body_that_exits():
    return {"end": _end_of("exit")}


@program(
    differs("runs", celery=1, ours=3, row="a worker killed under a task loses it"),
)
def a_body_that_takes_its_process_with_it():
    return {"end": _end_of("killed"), "runs": len(Path("exits-killed").read_text().splitlines())}
