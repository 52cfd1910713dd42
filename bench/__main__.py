"""Measure celeriac on each of its engines beside its peers, on this machine, in this run."""

from __future__ import annotations

import argparse
import compileall
import shlex
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import celeriac
from bench import saved
from bench.contenders import CONTENDERS
from bench.contest import ring
from bench.processes import stop_cleanly_when_told
from bench.report import Report, Size, measure
from bench.table import contest_table, findings_table, notes

QUICK = Size(rounds=1, share=0.1, idle=2.0, starts=1, waiting=2_000)
FULL = Size(waiting=1_000_000, slopes=True)


def main() -> int:
    """Measure, then print the report; progress goes to stderr."""
    stop_cleanly_when_told()
    asked = arguments().parse_args()
    contenders = [one for one in CONTENDERS if asked.only is None or one.name in asked.only]
    size = FULL if asked.full else Size()
    if asked.quick:
        size = replace(QUICK, slopes=size.slopes)
    # As pip has done it to the peers: ours is run from its sources.
    compileall.compile_dir(Path(celeriac.__file__).parent, quiet=1)
    begun_at = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="celeriac-bench-") as folder, ring(Path(folder), contenders) as here:
        report = measure(here, contenders, size, command(asked))
    print(f"measured in {time.monotonic() - begun_at:.0f} s", file=sys.stderr)
    if asked.save:
        asked.save.write_bytes(saved.written(report))
    print(saved.written(report).decode() if asked.json else as_text(report))
    return 0 if report.complete else 1


def arguments() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "--only", type=names, metavar="A,B", help=f"some of {', '.join(one.name for one in CONTENDERS)}"
    )
    parser.add_argument("--quick", action="store_true", help="one round with a tenth of the tasks: does it run at all?")
    parser.add_argument(
        "--full",
        action="store_true",
        help="with 1,000,000 queued messages, as many results, as many that wait, and 1,000 queues: many minutes more",
    )
    parser.add_argument("--json", action="store_true", help="print every round as JSON instead of the tables")
    parser.add_argument(
        "--save", type=Path, metavar="FILE", help="write every round to a file, too, for `python -m bench.page FILE`"
    )
    return parser


def names(text: str) -> set[str]:
    """Read `--only`."""
    chosen = set(text.split(","))
    if unknown := chosen - {one.name for one in CONTENDERS}:
        raise argparse.ArgumentTypeError(f"there is no {', '.join(sorted(unknown))}")
    return chosen


def command(asked: argparse.Namespace) -> str:
    """Say how this run was asked for, but for where its figures go."""
    flags = [f"--{name}" for name in ("quick", "full") if getattr(asked, name)]
    only = ["--only", ",".join(one.name for one in CONTENDERS if one.name in asked.only)] if asked.only else []
    return shlex.join(["python", "-m", "bench", *only, *flags])


def as_text(report: Report) -> str:
    """Write the tables and what is needed to judge them."""
    parts = [
        f"No-op task with stored result, 2 worker processes, medians. {report.machine}; "
        f"others kept {report.others_cores:.1f} cores busy meanwhile.",
        contest_table(report.standings),
        "drained/s runs from the twentieth part finished to the last; delay()/s are single calls, one after the other; "
        "(2.0×) is twice as good as Celery in this run, on RabbitMQ where it says so.",
        *map(findings_table, report.sections),
        notes(report.standings, report.versions),
    ]
    return "\n\n".join(part for part in parts if part)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)  # every process and file of the run has gone by now
