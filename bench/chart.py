"""A plot of the contest as SVG, written by hand: bars need no library."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple
from xml.sax.saxutils import escape

from bench.figures import Standing
from bench.table import number

WIDTH: Final = 760
_LABELS, _VALUES = 190, 80  # room to the left and to the right of the bars
_BAR, _STEP, _HEADING, _GAP = 16, 22, 34, 18

_STYLE: Final = """\
text { font: 13px system-ui, sans-serif; fill: #24292f }
.heading { font-weight: 600 }
.label { text-anchor: end }
.peer { fill: #9aa4af }
.ours { fill: #4c9a2a }
@media (prefers-color-scheme: dark) { text { fill: #d7dde3 } .peer { fill: #6b7580 } .ours { fill: #6cbf47 } }"""


class _Panel(NamedTuple):
    heading: str
    field: str


_PANELS: Final = (
    _Panel("tasks drained per second, two worker processes", "drained_per_s"),
    _Panel("calls per second, one process, one after the other", "published_per_s"),
    _Panel("from a call to its result, median of calls back to back, in ms (less is better)", "round_trip_ms"),
)


def chart(standings: Sequence[Standing]) -> str:
    """Draw the medians of everybody who has any, a panel for each figure, celeriac in a colour of its own."""
    shown = [one for one in standings if one.median is not None]
    panel_height = _HEADING + len(shown) * _STEP + _GAP
    height = panel_height * len(_PANELS)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}">',
        f"<style>\n{_STYLE}\n</style>",
    ]
    for place, panel in enumerate(_PANELS):
        lines += _drawn(panel, shown, top=place * panel_height)
    return "\n".join([*lines, "</svg>", ""])


def _drawn(panel: _Panel, shown: Sequence[Standing], *, top: int) -> Iterator[str]:
    values = [float(getattr(one.median, panel.field)) for one in shown]
    scale = (WIDTH - _LABELS - _VALUES) / max(values, default=1)
    yield f'<text class="heading" x="0" y="{top + 20}">{escape(panel.heading)}</text>'
    for row, (standing, value) in enumerate(zip(shown, values, strict=True)):
        y = top + _HEADING + row * _STEP
        width = max(1.0, value * scale)
        kind = "ours" if standing.contender.ours else "peer"
        yield f'<text class="label" x="{_LABELS - 8}" y="{y + 13}">{escape(standing.contender.label)}</text>'
        yield f'<rect class="{kind}" x="{_LABELS}" y="{y}" width="{width:.1f}" height="{_BAR}"/>'
        yield f'<text x="{_LABELS + width + 6:.1f}" y="{y + 13}">{number(value)}</text>'
