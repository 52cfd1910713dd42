"""Write a saved run into the documentation: `python -m bench.page FILE` renews `docs/benchmarks.md` and its plot."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from bench import saved
from bench.chart import chart
from bench.report import Report
from bench.table import contest_table, findings_table, notes

_DOCS: Final = Path(__file__).resolve().parent.parent / "docs"
PAGE: Final = _DOCS / "benchmarks.md"
PLOT: Final = _DOCS / "benchmarks.svg"
SAVED: Final = _DOCS / "benchmarks.json"
"""The run that the page shows."""

BEGIN: Final = "<!-- figures: written by `python -m bench.page` -->\n"
END: Final = "<!-- end of figures -->\n"


def page(text: str, report: Report) -> str:
    """Return the text of the page with the figures of a run."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{figures(report)}\n\n{END}{after}"


def figures(report: Report) -> str:
    """Write what a run has found, with the command that made it."""
    parts = [
        f"```console\n$ {report.command}\n$ python -m bench.page\n```",
        f"{report.machine}. Other programs kept {report.others_cores:.1f} cores busy meanwhile.",
        f"![celeriac and its peers as bars]({PLOT.name})",
        contest_table(report.standings),
        "### Beside its goals",
        *map(findings_table, report.sections),
        "### How each was set up",
        notes(report.standings, report.versions),
    ]
    return "\n\n".join(part for part in parts if part)


def main(argv: list[str]) -> None:
    """Renew page and plot, and keep the run beside them."""
    report = saved.read(Path(argv[0]).read_bytes() if argv else SAVED.read_bytes())
    SAVED.write_bytes(saved.written(report))
    PLOT.write_text(chart(report.standings), encoding="utf-8")
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), report), encoding="utf-8")
    print(f"{PAGE.name} and {PLOT.name} show the run of: {report.command}")


if __name__ == "__main__":
    main(sys.argv[1:])
