"""The report, as Markdown that reads as well in a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from bench.contenders import Contender
from bench.figures import Figures, Standing
from bench.finding import Finding, Section


class _Column(NamedTuple):
    heading: str
    field: str
    more_is_better: bool | None  # None: not compared


_COLUMNS: Final = (
    _Column("drained/s", "drained_per_s", True),
    _Column("delay()/s", "published_per_s", True),
    _Column("round trip p50, ms", "round_trip_ms", False),
    _Column("p99, ms", "round_trip_p99_ms", None),
    _Column("p50 after 50 ms of silence", "rested_round_trip_ms", False),
    _Column("worker, MB", "worker_mb", None),
)


def contest_table(standings: Sequence[Standing]) -> str:
    """Show everybody's medians, and in brackets how many times better than Celery's of the same run.

    Those on RabbitMQ are beside Celery on RabbitMQ.
    """
    medians = {one.contender.name: one.median for one in standings if one.median is not None}
    rows = [
        [one.contender.label, *(_cell(one.median, medians.get(one.contender.beside), column) for column in _COLUMNS)]
        for one in standings
        if one.median is not None
    ]
    return _table(["", *(column.heading for column in _COLUMNS)], rows) if rows else ""


def findings_table(section: Section) -> str:
    """Show celeriac's figures on one subject beside its goals, and what is not there."""
    rows = [[one.what, f"{number(one.value)} {one.unit}", _goal(one), _verdict(one)] for one in section.findings]
    missing = [f"NOT MEASURED: {trouble}" for trouble in section.troubles]
    shown = [_table([section.title, "measured", "goal", ""], rows)] if rows else []
    return "\n\n".join([*shown, *missing])


def notes(standings: Sequence[Standing], versions: Mapping[str, Mapping[str, str]]) -> str:
    """Say how each was set up, and why one is missing."""
    lines = [f"- {one.contender.label}: {_note(one.contender, versions)}" for one in standings if one.rounds]
    lines += [f"- {one.contender.label} {_lack(one)}: {one.trouble}" for one in standings if one.trouble]
    return "\n".join(lines)


def number(value: float) -> str:
    """Write three significant digits, with separators of thousands."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _cell(figures: Figures | None, celery: Figures | None, column: _Column) -> str:
    value: float = getattr(figures, column.field)
    if celery is None or column.more_is_better is None or figures is celery:
        return number(value)
    theirs: float = getattr(celery, column.field)
    times = value / theirs if column.more_is_better else theirs / value
    return f"{number(value)} ({times:.1f}×)"


def _goal(finding: Finding) -> str:
    if finding.at_least is not None:
        return f"≥ {finding.at_least:,g}"
    return "" if finding.at_most is None else f"≤ {finding.at_most:g}"


def _verdict(finding: Finding) -> str:
    return {True: "reached", False: "MISSED", None: ""}[finding.reached]


def _lack(standing: Standing) -> str:
    return f"FAILED after {len(standing.rounds)} rounds" if standing.rounds else "IS NOT IN THE TABLE"


def _note(contender: Contender, versions: Mapping[str, Mapping[str, str]]) -> str:
    said = ", ".join(f"{package} {version}" for package, version in versions.get(contender.name, {}).items())
    return f"{said}; {contender.settings}" if said else contender.settings


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(3, *(len(row[column]) for row in (headings, *rows))) for column in range(len(headings))]
    ruler = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join(
        "| "
        + " | ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        + " |"
        for row in (headings, ruler, *rows)
    )
