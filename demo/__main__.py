"""Run the demo: start a worker, send it the standard library, report what comes back."""

from __future__ import annotations

import argparse
import platform
import shlex
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Final

from rich.console import Console

from celeriac import AsyncResult, __version__
from celeriac.exceptions import CeleriacError
from demo.modules import Module, below, sample, standard_library
from demo.node import Node, NodeFailed, celeriac
from demo.progress import shown
from demo.report import Failed, Read, Report
from demo.tasks import Measures, app, measure

INTERRUPTED: Final = 130
LOOK_EVERY: Final = 0.5

Call = tuple[Module, AsyncResult[Measures]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo and return the exit code."""
    options = parse(arguments)
    talk = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    try:
        return run(options, talk)
    except KeyboardInterrupt:
        talk.print("\nStopped, and the worker with it. The next run starts afresh.")
        return INTERRUPTED
    except (CeleriacError, NodeFailed) as error:
        talk.print(f"The demo cannot go on: {error}")
        return 1


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, help="read the Python files below it, not the standard library")
    parser.add_argument("--limit", type=int, metavar="N", help="read at most N files, spread over all of them")
    return parser.parse_args(arguments)


def interrupt(number: int, frame: FrameType | None) -> None:
    """Do on other signals what Ctrl-C does."""
    raise KeyboardInterrupt


def run(options: argparse.Namespace, talk: Console) -> int:
    """Have a worker read modules, and report."""
    modules = sample(below(options.folder) if options.folder else standard_library(), options.limit)
    where = options.folder or f"the standard library of Python {platform.python_version()}"
    if not modules:
        talk.print(f"There is no Python file in {where}.")
        return 1
    talk.print(f"celeriac {__version__} reads {where}: {len(modules):,} modules, one task each.\n")
    app.broker.purge(app.conf.task_default_queue)  # what an interrupted run has left
    node = Node("-A", "demo.tasks", "worker", "-c", "2")
    talk.print(f"$ {shlex.join(node.command)}", style="bold")
    report = Report()
    with node.running():
        talk.print(f"  process {node.pid}, ready after {node.ready_after:.2f} s")
        talk.print(f"  messages and results are in {app.broker.url}")
        began = time.monotonic()
        calls = [(module, measure.delay(str(module.path))) for module in modules]
        talk.print(f"  {len(calls):,} tasks sent in {time.monotonic() - began:.2f} s\n")
        for module, result in shown(as_they_arrive(calls, node), total=len(calls), console=talk):
            report.add(module.name, result)
        took = time.monotonic() - began
    console = Console(highlight=False)
    report.print(console)
    console.print(f"{len(calls):,} tasks in {took:.1f} s: {len(calls) / took:,.0f} tasks/s.\n")
    console.print(how_to_see_results(report), soft_wrap=True, markup=False)
    return 0


def as_they_arrive(calls: Sequence[Call], node: Node) -> Iterator[Call]:
    """Yield the calls whose run has ended, in the order in which they end."""
    backend = app.backend
    assert backend is not None, "results are kept unless the environment disables them"
    waiting = {result.id: (module, result) for module, result in calls}
    while waiting:
        for task_id in backend.wait(waiting, timeout=LOOK_EVERY):
            yield waiting.pop(task_id)
        node.check()


def how_to_see_results(report: Report) -> str:
    """Return the commands that print the result of one task that returned, and of one that failed."""
    chosen: dict[str, Sequence[Read | Failed]] = {"returned": report.largest, "failed": report.failed}
    return "\n".join(
        f"See what a task that {ended} has left:\n  {result_command(tasks[0].task_id)}"
        for ended, tasks in chosen.items()
        if tasks
    )


def result_command(task_id: str) -> str:
    """Return the command that prints one result."""
    return shlex.join([*celeriac(), "-A", "demo.tasks", "result", task_id])


if __name__ == "__main__":
    sys.exit(main())
