"""What the command line writes: data on stdout, talk on stderr, colour only where a person looks."""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence

import click


def draws_pages(*, color: bool | None) -> bool:
    """Say whether stdout is a terminal that boxes and colours can be drawn on."""
    return color is not False and _on_terminal() and os.environ.get("TERM") != "dumb"


class Output:
    """Write for people and for scripts.

    Args:
        as_json: data is one JSON document per command.
        quiet: no talk; errors and questions still come.
        color: True, False, or None for colour on terminals.
    """

    def __init__(self, *, as_json: bool = False, quiet: bool = False, color: bool | None = None) -> None:
        self.as_json = as_json
        self.quiet = quiet
        self.color = color

    def line(self, text: str) -> None:
        """Write one line of data.

        Raises:
            click.ClickException: it cannot be written, so a script must not go on as if it had the data.
        """
        if sys.stdout is None:
            raise click.ClickException("standard output is closed, so nothing can be written to it.")
        try:
            click.echo(text, color=self.color)
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise  # a reader such as `head` has enough: click ends quietly
            _discard_stdout()
            raise click.ClickException(f"standard output cannot be written: {error.strerror}.") from error

    def document(self, value: object) -> None:
        """Write a value as JSON. What JSON does not know is written as its text."""
        self.line(json.dumps(value, indent=2, ensure_ascii=False, default=str))

    def say(self, text: str) -> None:
        """Tell the person at the terminal something that is not data."""
        if not self.quiet:
            click.echo(text, err=True, color=self.color)

    def warn(self, text: str) -> None:
        """Tell what somebody should look at, also when asked to be quiet."""
        click.echo(f"{self.paint('Warning:', fg='yellow')} {text}", err=True, color=self.color)

    def paint(self, text: str, *, fg: str | None = None, bold: bool = False) -> str:
        """Colour a piece of text; the colour is taken off again where the text does not go to a terminal."""
        return text if self.color is False else click.style(text, fg=fg, bold=bold)

    def table(self, columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> None:
        """Write rows: JSON when asked for, a drawn table on a terminal, else lines of tab-separated cells.

        Args:
            columns: keys to show, in order; JSON has all keys of a row.
            rows: one mapping each.
        """
        if self.as_json:
            self.document(list(rows))
        elif _on_terminal():
            self._draw(columns, rows)
        else:
            self.line("\t".join(columns))
            for row in rows:
                self.line("\t".join(_one_line(_cell(row[column])) for column in columns))

    def _draw(self, columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> None:
        from rich import box
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        kept = list(rows)
        for column in columns:
            numeric = all(isinstance(row[column], (int, float)) for row in kept)
            table.add_column(column, justify="right" if numeric else "left", overflow="fold")
        for row in kept:
            table.add_row(*(Text(_cell(row[column])) for column in columns))
        # Without a colour system nothing is bold either; `no_color` alone leaves that.
        Console(color_system=None if self.color is False else "auto", highlight=False).print(table)


def _on_terminal() -> bool:
    return sys.stdout is not None and sys.stdout.isatty()


def _discard_stdout() -> None:
    """Send what is still buffered nowhere, or Python fails over it once more when it ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) and _on_terminal() else str(value)


def _one_line(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n")


def plural(noun: str, count: int) -> str:
    """Return a regular noun in the form that goes with a count."""
    return noun if count == 1 else f"{noun}s"
