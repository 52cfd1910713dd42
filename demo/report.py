"""Put the results together as they arrive, and print what they come to."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final, Literal

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from celeriac import AsyncResult
from demo.tasks import Measures

ROWS: Final = 8
FAILED_ROWS: Final = 12
COUNTED: Final[tuple[Literal["lines", "functions", "classes"], ...]] = ("lines", "functions", "classes")


@dataclass(frozen=True, slots=True)
class Read:
    """Keep what the task of one module returned."""

    name: str
    task_id: str
    measures: Measures


@dataclass(frozen=True, slots=True)
class Failed:
    """Keep what the task of one module raised."""

    name: str
    task_id: str
    error: BaseException


class Report:
    """Collect finished tasks.

    Attributes:
        read: those that returned.
        failed: those that raised.
    """

    def __init__(self) -> None:
        self.read: list[Read] = []
        self.failed: list[Failed] = []
        self._importers: Counter[str] = Counter()

    def add(self, name: str, result: AsyncResult[Measures]) -> None:
        """Take the result of a module's task, which has ended."""
        if result.failed():
            self.failed.append(Failed(name, result.id, result.result))
            return
        measures = result.get(timeout=0)
        self.read.append(Read(name, result.id, measures))
        package = name.partition(".")[0]
        self._importers.update(imported for imported in measures["imports"] if imported != package)

    @property
    def largest(self) -> list[Read]:
        """The modules that could be read, those with the most lines first."""
        return sorted(self.read, key=lambda one: one.measures["lines"], reverse=True)

    def print(self, console: Console) -> None:
        """Write the report."""
        console.print(self._largest())
        console.print(self._most_imported())
        if self.failed:
            console.print(self._failures())
        console.print(self._totals(), soft_wrap=True)

    def _largest(self) -> Table:
        table = new_table("Largest modules", "module", "lines", "functions", "classes", "longest function, its lines")
        for one in self.largest[:ROWS]:
            counts = (f"{one.measures[what]:,}" for what in COUNTED)
            longest = (
                f"{one.measures['longest']}, {one.measures['longest_lines']:,}" if one.measures["longest"] else "-"
            )
            table.add_row(one.name, *counts, longest)
        return table

    def _most_imported(self) -> Table:
        table = new_table("Most imported", "module", "importers")
        for name, count in self._importers.most_common(ROWS):
            table.add_row(name, f"{count:,}")
        return table

    def _failures(self) -> Table:
        shown = sorted(self.failed, key=lambda one: one.name)[:FAILED_ROWS]
        title = f"Failed tasks: {len(self.failed):,}"
        if len(shown) < len(self.failed):
            title += f", {len(shown)} of them here"
        table = new_table(title, "module", "error")
        for one in shown:
            table.add_row(one.name, escape(f"{type(one.error).__name__}: {one.error}"))
        return table

    def _totals(self) -> str:
        sums = ", ".join(f"{what} {sum(one.measures[what] for one in self.read):,}" for what in COUNTED)
        return f"Totals: modules {len(self.read):,}, {sums}, failed {len(self.failed):,}."


def new_table(title: str, *columns: str) -> Table:
    """Make an empty table; what is counted is in columns on the right."""
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, justify="right" if column in (*COUNTED, "importers") else "left")
    return table
