"""Measure celeriac on SQLite beside its peers, on this machine, in this run."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path

from bench.contenders import CONTENDERS
from bench.contest import ring
from bench.processes import stop_cleanly_when_told
from bench.report import Report, Size, measure
from bench.table import contest_table, findings_table, notes

QUICK = Size(rounds=1, share=0.1, idle=2.0, starts=1)


def main() -> int:
    """Measure, then print the report; progress goes to stderr."""
    stop_cleanly_when_told()
    asked = arguments().parse_args()
    contenders = [one for one in CONTENDERS if asked.only is None or one.name in asked.only]
    size = replace(QUICK if asked.quick else Size(), slopes=asked.full)
    begun_at = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="celeriac-bench-") as folder, ring(Path(folder), contenders) as here:
        report = measure(here, contenders, size)
    print(f"measured in {time.monotonic() - begun_at:.0f} s", file=sys.stderr)
    print(as_json(report) if asked.json else as_text(report))
    return 0 if report.complete else 1


def arguments() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "--only", type=names, metavar="A,B", help=f"some of {', '.join(one.name for one in CONTENDERS)}"
    )
    parser.add_argument("--quick", action="store_true", help="one round with a tenth of the tasks: does it run at all?")
    parser.add_argument("--full", action="store_true", help="drain 1,000,000 queued messages, too: some minutes more")
    parser.add_argument("--json", action="store_true", help="print every round as JSON instead of the tables")
    return parser


def names(text: str) -> set[str]:
    """Read `--only`."""
    chosen = set(text.split(","))
    if unknown := chosen - {one.name for one in CONTENDERS}:
        raise argparse.ArgumentTypeError(f"there is no {', '.join(sorted(unknown))}")
    return chosen


def as_text(report: Report) -> str:
    """Write the tables and what is needed to judge them."""
    parts = [
        f"No-op task with stored result, 2 worker processes, medians. {report.machine}; "
        f"others kept {report.others_cores:.1f} cores busy meanwhile.",
        contest_table(report.standings),
        "drained/s runs from the twentieth part finished to the last; delay()/s are single calls, one after the other; "
        "(2.0×) is twice as good as Celery in this run.",
        findings_table(report.findings) if report.findings else "",
        notes(report.standings, report.versions),
        *(f"NOT MEASURED: {trouble}" for trouble in report.troubles),
    ]
    return "\n\n".join(part for part in parts if part)


def as_json(report: Report) -> str:
    """Write every round, for comparing runs."""
    standings = [
        {"name": one.contender.name, "trouble": one.trouble, "rounds": [asdict(figures) for figures in one.rounds]}
        for one in report.standings
    ]
    findings = [{**asdict(one), "reached": one.reached} for one in report.findings]
    return json.dumps(
        {
            "machine": report.machine,
            "others_cores": report.others_cores,
            "versions": report.versions,
            "standings": standings,
            "findings": findings,
            "troubles": report.troubles,
        },
        indent=2,
    )


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)  # every process and file of the run has gone by now
