"""Results as messages to the caller: `python -m bench.answering MODULE N FOLDER` prints how many come in a second.

The process that calls is the one that gets the results, as `rpc://` has it; a part of the machine is its own work.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol, cast

from bench.contenders import CELERY_RABBITMQ, Contender
from bench.contest import Ring, answer_of
from bench.finding import Finding
from bench.measure import WARM_UP_SHARE
from bench.own import LEAST, with_variables
from bench.processes import stop_cleanly_when_told, worker

_WITHIN = 60.0


class Caller(Protocol):
    """What a module has to say to be measured.

    Attributes:
        WORKER: command of a worker with two processes.
        noop: a task that does nothing.
    """

    WORKER: list[str]
    noop: Any

    def prepare(self) -> None:
        """Remove what an earlier trial left."""


def answering(here: Ring, engine: Contender, share: float) -> Iterator[Finding]:
    """Measure results over `rpc://`, beside Celery's as it is by default: early ack, and nothing confirmed."""
    ours = _per_s(here, engine, max(LEAST, round(12_000 * share)))
    yield Finding(what="rpc://, from queue to caller", value=ours, unit="tasks/s")
    if here.obstacle(CELERY_RABBITMQ) is None:
        theirs = _per_s(here, CELERY_RABBITMQ, max(LEAST, round(4_000 * share)))
        yield Finding(what="rpc://, beside Celery's", value=ours / theirs, unit="×", at_least=3)


def _per_s(here: Ring, contender: Contender, count: int) -> float:
    by_messages = with_variables(contender, BENCH_RPC="1")
    argv = [str(here.python(contender)), "-m", "bench.answering", contender.module, str(count), str(here.folder)]
    return float(json.loads(answer_of(argv, here.environment(by_messages), timeout=_WITHIN + count / 500)))


def measure(caller: Caller, count: int, log: Path) -> float:
    """Call, then let a worker begin; return the results per second from the twentieth part to the last."""
    caller.prepare()
    results = [caller.noop.delay() for _ in range(count)]
    first = max(1, round(count * WARM_UP_SHARE))
    with worker(caller.WORKER, log):
        for result in results[:first]:
            result.get(timeout=_WITHIN)
        begun_at = time.perf_counter()
        for result in results[first:]:
            result.get(timeout=_WITHIN)
        return (count - first) / (time.perf_counter() - begun_at)


if __name__ == "__main__":
    stop_cleanly_when_told()
    entrant = cast("Caller", importlib.import_module(sys.argv[1]))
    json.dump(measure(entrant, int(sys.argv[2]), Path(sys.argv[3]) / "answering.log"), sys.stdout)
