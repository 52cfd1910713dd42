"""A program that uses celeriac as any other would: `make demo`, or `python -m demo`.

Every module of Python's standard library becomes a task that parses it; the results become one report.
"""

from __future__ import annotations
