"""`python -m celeriac`: the command line."""

from __future__ import annotations

import sys

from celeriac.cli.main import program

if __name__ == "__main__":
    sys.exit(program())
