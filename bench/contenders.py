"""Who is measured, and how each is set up: what the table says about fairness is written here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
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
        venv: name of the environment that it runs in, and of its list in `bench/peers/`; None is that of this run.
        servers: what must run here for it, of `bench.contest.SERVERS`; without one of them it is left out.
        beside: name of the contender that its figures are divided by.
        environment: variables that its processes get.
    """

    name: str
    label: str
    module: str
    queued: int
    settings: str
    packages: tuple[str, ...]
    venv: str | None = "peers"
    servers: tuple[str, ...] = ("redis",)
    beside: str = "celery"
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def ours(self) -> bool:
        """Whether this is celeriac."""
        return self.venv is None


CELERIAC_REDIS: Final = Contender(
    name="celeriac-redis",
    label="celeriac, Redis",
    module="bench.celeriac_redis",
    queued=60_000,
    settings="defaults (late ack, adaptive dispatch), with uvloop; results in a database of their own.",
    packages=("celeriac", "redis", "hiredis", "uvloop"),
    venv=None,
)

CELERIAC_SQLITE: Final = Contender(
    name="celeriac-sqlite",
    label="celeriac, SQLite",
    module="bench.celeriac_sqlite",
    queued=40_000,
    settings="defaults (late ack, synchronous=NORMAL, adaptive dispatch), with uvloop.",
    packages=("celeriac", "uvloop"),
    venv=None,
    servers=(),
)

REDIS_WITHOUT_UVLOOP: Final = replace(
    CELERIAC_REDIS,
    name="celeriac-redis-no-uvloop",
    label="celeriac, Redis, no uvloop",
    settings="the same on asyncio's own loop.",
    packages=("celeriac", "redis", "hiredis"),
    environment={"CELERIAC_NO_UVLOOP": "1"},
)

SQLITE_WITHOUT_UVLOOP: Final = replace(
    CELERIAC_SQLITE,
    name="celeriac-sqlite-no-uvloop",
    label="celeriac, SQLite, no uvloop",
    settings="the same on asyncio's own loop.",
    packages=("celeriac",),
    environment={"CELERIAC_NO_UVLOOP": "1"},
)

CELERIAC_RABBITMQ: Final = Contender(
    name="celeriac-rabbitmq",
    label="celeriac, RabbitMQ",
    module="bench.celeriac_rabbitmq",
    queued=16_000,
    settings="defaults (late ack, every publish confirmed, adaptive dispatch), with uvloop; results in Redis.",
    packages=("celeriac", "amqp", "aiormq", "redis", "hiredis", "uvloop"),
    venv=None,
    servers=("rabbitmq", "redis"),
    beside="celery-rabbitmq",
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

CELERY_RABBITMQ: Final = replace(
    CELERY,
    name="celery-rabbitmq",
    label="Celery, RabbitMQ",
    module="bench.peers.celery_rabbitmq",
    settings=(
        "as on Redis, where its results are; it publishes without confirms, as by default, so what its delay() has "
        "sent is safe somewhat later."
    ),
    packages=("celery", "kombu", "amqp", "redis", "hiredis"),
    servers=("rabbitmq", "redis"),
    beside="celery-rabbitmq",
)

PEERS: Final = (
    CELERY,
    CELERY_RABBITMQ,
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
        servers=(),
    ),
    Contender(
        name="rq",
        label="RQ, Redis",
        module="bench.peers.rq",
        queued=1_500,
        settings="SimpleWorker: its default worker forks for every job and is ten times slower with an empty one.",
        packages=("rq", "redis", "hiredis"),
    ),
    Contender(
        name="arq",
        label="arq, Redis",
        module="bench.peers.arq",
        queued=4_000,
        settings=(
            "uvloop; twice its command, which is one process; 50 jobs at once, by default 10; "
            "queue and results polled for every 1 and 0.5 ms, by default every 500."
        ),
        packages=("arq", "redis", "hiredis", "uvloop"),
        venv="peers-arq",
    ),
    Contender(
        name="saq",
        label="saq, Redis",
        module="bench.peers.saq",
        queued=8_000,
        settings=(
            "uvloop; 50 jobs at once in each process: its default, 10, drained half; "
            "results polled for every 0.5 ms, by default every 500."
        ),
        packages=("saq", "redis", "hiredis", "uvloop"),
        venv="peers-saq",
    ),
)

CONTENDERS: Final = (
    CELERIAC_REDIS,
    REDIS_WITHOUT_UVLOOP,
    CELERIAC_SQLITE,
    SQLITE_WITHOUT_UVLOOP,
    CELERIAC_RABBITMQ,
    *PEERS,
)
