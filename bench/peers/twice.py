"""Run a command twice, for workers that are one process each: `python -m bench.peers.twice COMMAND...`."""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack

from bench.processes import ended, stop_cleanly_when_told


def main(argv: list[str]) -> int:
    """Return the worse of the two exit codes, once both have ended."""
    stop_cleanly_when_told()
    with ExitStack() as stack:
        processes = [subprocess.Popen(argv) for _ in range(2)]
        for process in processes:
            stack.enter_context(ended(process))
        return max(abs(process.wait()) for process in processes)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
