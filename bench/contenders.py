"""Who is measured, and how each is set up: what the table says about fairness is written here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """One line of the table.

    Attributes:
        name: for `--only`.
        label: for people.
        module: a `bench.trial.Entrant`.
        queued: tasks of one drain: a few seconds' work for it.
        settings: where it differs from its defaults, and why.
        packages: distributions whose versions matter.
        ours: runs in the environment of this run, not in that of the peers.
        needs_redis: without a server it is left out.
        environment: variables that its processes get.
    """

    name: str
    label: str
    module: str
    queued: int
    settings: str
    packages: tuple[str, ...]
    ours: bool = False
    needs_redis: bool = True
    environment: Mapping[str, str] = field(default_factory=dict)


CELERIAC: Final = Contender(
    name="celeriac",
    label="celeriac, SQLite",
    module="bench.celeriac_sqlite",
    queued=40_000,
    settings="defaults (late ack, synchronous=NORMAL, adaptive dispatch), with uvloop.",
    packages=("celeriac", "uvloop"),
    ours=True,
    needs_redis=False,
)

WITHOUT_UVLOOP: Final = Contender(
    name="celeriac-no-uvloop",
    label="celeriac, SQLite, no uvloop",
    module="bench.celeriac_sqlite",
    queued=40_000,
    settings="the same on asyncio's own loop.",
    packages=("celeriac",),
    ours=True,
    needs_redis=False,
    environment={"CELERIAC_NO_UVLOOP": "1"},
)

CELERY: Final = Contender(
    name="celery",
    label="Celery, Redis",
    module="bench.peers.celery",
    queued=3_000,
    settings=(
        "task_acks_late=True, as celeriac has it by default; no gossip, mingle or heartbeat. "
        "worker_prefetch_multiplier=64: with its default, 4, a round trip took half as long again."
    ),
    packages=("celery", "kombu", "redis", "hiredis"),
)

PEERS: Final = (
    CELERY,
    Contender(
        name="dramatiq",
        label="dramatiq, Redis",
        module="bench.peers.dramatiq",
        queued=6_000,
        settings="results stored; 8 threads in each process, its default: 2 drained a quarter as much.",
        packages=("dramatiq", "redis", "hiredis"),
    ),
    Contender(
        name="taskiq",
        label="taskiq, Redis streams",
        module="bench.peers.taskiq",
        queued=8_000,
        settings=(
            "uvloop; streams, because its lists, a sixth faster, acknowledge nothing; "
            "results polled for every 0.5 ms, by default every 200."
        ),
        packages=("taskiq", "taskiq-redis", "redis", "hiredis", "uvloop"),
    ),
    Contender(
        name="huey",
        label="huey, Redis",
        module="bench.peers.huey",
        queued=10_000,
        settings=(
            "store_none=True; results polled for every 0.5 ms, by default every 50 and slower. "
            "A killed worker loses what it ran: huey has no late ack."
        ),
        packages=("huey", "redis", "hiredis"),
    ),
    Contender(
        name="huey-sqlite",
        label="huey, SQLite",
        module="bench.peers.huey_sqlite",
        queued=6_000,
        settings=(
            "as above; fsync off (it knows synchronous FULL and OFF only); "
            "the queue polled every 1 ms, by default every 100 and slower."
        ),
        packages=("huey",),
        needs_redis=False,
    ),
    Contender(
        name="rq",
        label="RQ, Redis",
        module="bench.peers.rq",
        queued=1_500,
        settings="SimpleWorker: its default worker forks for every job and is ten times slower with an empty one.",
        packages=("rq", "redis", "hiredis"),
    ),
)

CONTENDERS: Final = (CELERIAC, WITHOUT_UVLOOP, *PEERS)
