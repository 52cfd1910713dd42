"""Show how far the work has come: a live bar on a terminal, a line per 10 % elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeElapsedColumn
from rich.text import Text

T = TypeVar("T")


def shown(items: Iterable[T], total: int, *, console: Console) -> Iterator[T]:
    """Pass items on, and show how many of `total` have come."""
    return on_terminal(items, total, console) if console.is_terminal else in_lines(items, total, console)


def on_terminal(items: Iterable[T], total: int, console: Console) -> Iterator[T]:
    columns = (BarColumn(40), MofNCompleteColumn(), TasksPerSecond(), TimeElapsedColumn())
    with Progress(TextColumn("parsing"), *columns, console=console) as progress:
        yield from progress.track(items, total=total)


def in_lines(items: Iterable[T], total: int, console: Console) -> Iterator[T]:
    tenths = 0
    for count, item in enumerate(items, 1):
        yield item
        if count * 10 // total > tenths:
            tenths = count * 10 // total
            console.print(f"{tenths * 10} %: {count:,} of {total:,}", highlight=False)


class TasksPerSecond(ProgressColumn):
    """Show how fast it goes."""

    def render(self, task: Task) -> Text:
        """Return the text of the column."""
        speed = task.finished_speed or task.speed or 0.0
        return Text(f"{speed:,.0f} tasks/s")
