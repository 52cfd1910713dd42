"""The table of `celeriac events`: nodes and the newest tasks, drawn anew every second."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table as RichTable
from rich.text import Text

from celeriac.app.events.snapshot import hear_for_ever
from celeriac.states import FAILURE, REVOKED, STARTED, SUCCESS

if TYPE_CHECKING:
    from celeriac.app.application import Celery
    from celeriac.app.events.state import State

_EVERY: Final = 1.0
_ROWS_AROUND: Final = 9
_COLOURS: Final = {SUCCESS: "green", FAILURE: "red", REVOKED: "magenta", STARTED: "cyan"}


def show(app: Celery, *, color: bool | None) -> None:
    """Draw until somebody interrupts."""
    state = app.events.State(max_tasks_in_memory=2_000)
    console = Console(color_system=None if color is False else "auto", highlight=False)
    over = threading.Event()
    with Live(drawn(state, console.size.height), console=console, screen=True, auto_refresh=False) as live:

        def draw() -> None:
            while not over.wait(_EVERY):
                live.update(drawn(state, console.size.height), refresh=True)

        drawing = threading.Thread(target=draw, name="screen", daemon=True)
        drawing.start()
        try:
            hear_for_ever(app, {"*": state.event})
        finally:
            over.set()
            drawing.join(_EVERY)


def drawn(state: State, height: int) -> Group:
    """Return the picture of a state that fits into so many lines."""
    nodes = RichTable("node", "", "active", "processed", "load", box=box.SIMPLE_HEAD, pad_edge=False)
    workers = sorted(state.workers.values(), key=lambda worker: worker.hostname or "")
    for worker in workers[: max(1, height // 3)]:
        alive = worker.alive
        load = " ".join(f"{one:.2f}" for one in worker.loadavg or () if isinstance(one, (int, float)))
        nodes.add_row(
            _text(worker.hostname),
            Text("online" if alive else "offline", style="green" if alive else "red"),
            _text(worker.active),
            _text(worker.processed),
            _text(load),
        )
    tasks = RichTable("task", "id", "state", "node", "time", "seconds", "", box=box.SIMPLE_HEAD, pad_edge=False)
    room = max(1, height - min(len(workers), height // 3) - _ROWS_AROUND)
    for uuid, task in state.tasks_by_time(limit=room):
        tasks.add_row(
            _text(task.name),
            _text(uuid),
            Text(task.state[:20], style=_COLOURS.get(task.state, "")),
            _text(task.worker and task.worker.hostname),
            _text(task.timestamp and time.strftime("%H:%M:%S", time.localtime(task.timestamp))),
            _text(f"{task.runtime:.3f}" if isinstance(task.runtime, float) else None),
            _text(task.exception or task.result or task.args or ""),
        )
    line = f"{state.event_count:,} events, {state.task_count:,} tasks; Ctrl-C ends this"
    return Group(nodes, tasks, Text(line, style="dim"))


def _text(value: object) -> Text:
    """Return a cell of one line, without what moves the cursor."""
    shown = "-" if value is None else str(value)[:120]
    return Text("".join(char if char.isprintable() else " " for char in shown), no_wrap=True, overflow="ellipsis")
