"""Compare some programs, and show what differs: `python -m tests.differential [--celery-only] [name …]`."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from tests.differential.comparing import comparable, disagreements, program_names, rows_of
from tests.differential.sides import PROGRAMS, run_both, run_celery

PAGE = Path(__file__).parents[2] / "docs" / "coming-from-celery.md"


def main() -> int:
    """Run the programs whose names contain one of the words; say how many differ."""
    parser = argparse.ArgumentParser(prog="python -m tests.differential", description=__doc__)
    parser.add_argument("--celery-only", action="store_true", help="show what the programs see on Celery's side")
    parser.add_argument("words", nargs="*", metavar="name", help="part of a program's name")
    asked = parser.parse_args()
    names = [name for name in program_names(PROGRAMS) if any(word in name for word in asked.words or [""])]
    with tempfile.TemporaryDirectory(prefix="differential-") as folder:
        if asked.celery_only:
            return show_celery(Path(folder), names)
        return show_differences(Path(folder), names)


def show_celery(folder: Path, names: list[str]) -> int:
    """Print Celery's answers, a fact a line."""
    found = run_celery(folder, names)
    for name, answer in found["programs"].items():
        print(f"{name}  ({answer['took']:.2f} s)")
        for fact, value in comparable(answer.get("facts", {})).items():
            print(f"    {fact}: {json.dumps(value, ensure_ascii=False)}")
        print(answer.get("error", ""))
    print(*found["broken"].values(), sep="\n")
    return 0


def show_differences(folder: Path, names: list[str]) -> int:
    """Print what differs, program by program."""
    rows = rows_of(PAGE.read_text())
    celery, ours = run_both(folder, rows, names)
    times = [sum(one["took"] for one in side["programs"].values()) for side in (celery, ours)]
    print("seconds of Celery's programs and ours:", *(round(seconds) for seconds in times))
    different = 0
    for broken in (celery["broken"], ours["broken"]):
        print("".join(f"{module} could not be imported:\n{text}\n" for module, text in broken.items()), end="")
    for name in names:
        if name not in celery["programs"] or name not in ours["programs"]:
            different += 1
            continue
        wrong = list(disagreements(name, celery["programs"][name], ours["programs"][name], rows))
        different += bool(wrong)
        print("".join(f"{text}\n\n" for text in wrong), end="")
    print(f"{len(names)} programs, {different} of them different")
    return min(different, 1)


if __name__ == "__main__":
    sys.exit(main())
