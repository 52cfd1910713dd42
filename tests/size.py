"""How large the suite is: a tenth of the full numbers, or all of them (`make test-full`)."""

from __future__ import annotations

import os

_DIVISORS = {"tenth": 10, "full": 1}

SIZE = os.environ.get("CELERIAC_TEST_SIZE", "tenth")

if SIZE not in _DIVISORS:
    raise ValueError(f"CELERIAC_TEST_SIZE must be one of {', '.join(_DIVISORS)}, got {SIZE!r}")


def scaled(full: int) -> int:
    """Give the number to use where the full-size suite uses `full`; at least 1."""
    return max(1, full // _DIVISORS[SIZE])


def late_after(promised: float) -> float:
    """Give the seconds after which something is late that is promised within `promised`: three times as many."""
    return 3 * promised
