"""Whether a supervisor needs more memory the more is queued.

The short queue is long enough for a node to come to what it needs while it works: 5 to 6 MB above an idle one.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

from bench.contenders import Contender
from bench.contest import Ring, publish
from bench.finding import Finding
from bench.living import ready_worker
from bench.own import batched
from bench.processes import private_mb

_FEW: Final = 20_000
_MANY: Final = 100_000
_WATCHED_FOR: Final = 3.0


def depth(here: Ring, engine: Contender, share: float) -> Iterator[Finding]:
    """Compare the most that a supervisor needs while it drains a short queue and a long one."""
    few, many = round(_FEW * share), round(_MANY * share)
    grown = _most_mb(here, engine, many) - _most_mb(here, engine, few)
    what = f"supervisor, more with {many:,} queued than with {few:,}"
    yield Finding(what=what, value=grown, unit="MB", at_most=5)


def _most_mb(here: Ring, engine: Contender, queued: int) -> float:
    publish(here, batched(engine), queued)
    with ready_worker(here, engine) as (supervisor, _):
        until, most = time.monotonic() + _WATCHED_FOR, 0.0
        while time.monotonic() < until:
            most = max(most, private_mb([supervisor]))
            time.sleep(0.1)
        return most
