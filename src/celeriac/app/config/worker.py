"""Settings about nodes, and about the process in which beat runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from celeriac.app.config.setting import Group, later, ours, works
from celeriac.app.kinds import (
    ACCOUNT,
    CLASS,
    FLAG,
    MAPPING,
    PATH,
    POOL,
    SECONDS,
    STRATEGY,
    TEXT,
    UMASK,
    left_at,
    log_format,
    meaning_none,
    one_of,
    or_none,
    whole,
)

LOG_FORMAT: Final = "[%(asctime)s: %(levelname)s/%(processName)s] %(message)s"
FIELDS: Final = ("task_name", "task_id", "root_id")
TASK_LOG_FORMAT: Final = "[%(asctime)s: %(levelname)s/%(processName)s] %(task_name)s[%(task_id)s]: %(message)s"

_COUNT = whole(at_least=0)
_POSITIVE = whole(at_least=1)
_LEVEL = one_of(
    "DEBUG",
    "INFO",
    "WARNING",
    "ERROR",
    "CRITICAL",
    same={10: "DEBUG", 20: "INFO", 30: "WARNING", 40: "ERROR", 50: "CRITICAL"},
)


class WorkerSettings(Group):
    """Say how a node works: its slots, its children, its log."""

    TITLE = "Worker"

    worker_agent: None = works(
        left_at(
            None, "nothing runs beside a worker here; start it yourself when `worker_ready` (celeriac.signals) comes"
        ),
        None,
        "Class of an agent beside Celery's worker; there is none here.",
        old="CELERYD_AGENT",
    )
    worker_autoscaler: str | type = works(
        CLASS,
        "celery.worker.autoscale:Autoscaler",
        "Class that chooses how many tasks a node runs at once (`--autoscale`): that one, which is ours here, or one "
        "that extends celeriac.worker.autoscale:Autoscaler.",
        old="CELERYD_AUTOSCALER",
    )
    worker_cancel_long_running_tasks_on_connection_loss: bool = later(
        FLAG,
        False,
        "Cancel late-acknowledged runs when the broker is lost.",
        old="CELERYD_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS",
        why="runs go on while the broker is away, and others begin them again only when their node is dead",
    )
    worker_soft_shutdown_timeout: float = works(
        SECONDS,
        0.0,
        "Seconds that runs have between a warm stop and a cold one; `worker_stop_grace` bounds the warm one.",
        old="CELERYD_SOFT_SHUTDOWN_TIMEOUT",
    )
    worker_enable_soft_shutdown_on_idle: bool = later(
        FLAG,
        False,
        "Take that time also when nothing runs.",
        old="CELERYD_ENABLE_SOFT_SHUTDOWN_ON_IDLE",
        why="a node that runs nothing holds nothing that could be lost",
    )
    worker_stop_grace: float | None = ours(
        or_none(SECONDS), 30.0, "Seconds that a warm stop gives running tasks; None: as long as they take."
    )
    worker_concurrency: int | None = works(
        meaning_none("auto", _POSITIVE),
        None,
        "Runs at once in a node; None or 'auto': as many as it has CPUs.",
        old="CELERYD_CONCURRENCY",
    )
    worker_consumer: str = works(
        left_at(
            "celery.worker.consumer:Consumer",
            "a worker is not built of parts that can be exchanged. What happens in one is told by signals "
            "(celeriac.signals) and the hooks of tasks; how a slot is chosen is said by `worker_dispatch`",
        ),
        "celery.worker.consumer:Consumer",
        "Class by which Celery's worker receives messages; it cannot be exchanged here.",
        old="CELERYD_CONSUMER",
    )
    worker_direct: bool = works(
        FLAG, False, "Give each node a queue of its own, for messages to it alone.", old="CELERY_WORKER_DIRECT"
    )
    worker_disable_rate_limits: bool = works(FLAG, False, "Obey no rate limits.", old="CELERY_DISABLE_RATE_LIMITS")
    worker_deduplicate_successful_tasks: bool = later(
        FLAG,
        False,
        "Do not run a redelivered message whose result is stored already.",
        old="CELERYD_DEDUPLICATE_SUCCESSFUL_TASKS",
        why="what has ended is never run again where its result is kept, without asking for it",
    )
    worker_dispatch: str | type = ours(
        STRATEGY,
        "adaptive",
        "How a node picks a slot: adaptive, fair, round-robin, weighted, the name or the path of a strategy of yours.",
    )
    worker_dispatch_weights: Mapping[str, Any] | None = ours(
        or_none(MAPPING), None, "Shares of work by place of the child, for weighted dispatch; None: by measured speed."
    )
    worker_enable_remote_control: bool = works(
        FLAG, True, "Listen to control commands.", old="CELERY_ENABLE_REMOTE_CONTROL"
    )
    worker_election_wait: float = ours(
        SECONDS,
        1.0,
        "Seconds from the first word of an election until a node chooses; longer where nodes may hang or be far apart.",
    )
    worker_hijack_root_logger: bool = works(
        FLAG, False, "Take over the handlers of the root logger.", old="CELERYD_HIJACK_ROOT_LOGGER"
    )
    worker_log_color: bool | None = works(
        or_none(FLAG), None, "Colour log lines; None: when they go to a terminal.", old="CELERYD_LOG_COLOR"
    )
    worker_log_datefmt: str | None = works(
        or_none(TEXT), None, "Format of the times in log lines.", old="CELERYD_LOG_DATEFMT"
    )
    worker_log_format: str = works(
        log_format(*FIELDS),
        LOG_FORMAT,
        "Format of a worker's log lines; 'json': one JSON object per line.",
        old="CELERYD_LOG_FORMAT",
    )
    worker_lost_wait: float = later(
        SECONDS,
        10.0,
        "Seconds before a run whose process is gone counts as lost.",
        old="CELERYD_WORKER_LOST_WAIT",
        why="the death of a process is known at once, with its exit code",
    )
    worker_max_memory_per_child: int | None = works(
        or_none(_POSITIVE),
        None,
        "KiB of memory after which a child is replaced, between two runs.",
        old="CELERYD_MAX_MEMORY_PER_CHILD",
    )
    worker_max_tasks_per_child: int | None = works(
        or_none(_POSITIVE), None, "Runs after which a child is replaced.", old="CELERYD_MAX_TASKS_PER_CHILD"
    )
    worker_pool: str | type = works(POOL, "prefork", "What runs task bodies.", old="CELERYD_POOL")
    worker_pool_putlocks: bool = later(
        FLAG,
        True,
        "Send a child no more than it can take.",
        old="CELERYD_POOL_PUTLOCKS",
        why="a child is sent what it has room for, always",
    )
    worker_pool_restarts: bool = works(
        FLAG, False, "Obey the control command that restarts the pool.", old="CELERYD_POOL_RESTARTS"
    )
    worker_pool_start_method: str = works(
        one_of("fork", "spawn"),
        "fork",
        "How children come to be: forked, or as fresh interpreters (spawn).",
        old="CELERYD_POOL_START_METHOD",
    )
    worker_processes: int | None = ours(
        or_none(_POSITIVE), None, "Processes that share the runs at once, on the pools threads and asyncio; None: one."
    )
    worker_proc_alive_timeout: float = works(
        SECONDS, 4.0, "Seconds within which a new child answers.", old="CELERYD_PROC_ALIVE_TIMEOUT"
    )
    worker_prefetch_multiplier: int | None = works(
        or_none(whole(at_least=0, meaning="0 = no limit")),
        None,
        "Unsettled deliveries per slot; None: as many as finish in 50 ms.",
        old="CELERYD_PREFETCH_MULTIPLIER",
    )
    worker_priority_aging: int | None = ours(
        or_none(whole(at_least=2)),
        None,
        "One claim in so many begins with lower priorities, each in its turn, so that none waits for ever; None: none.",
    )
    worker_eta_task_limit: int | None = later(
        or_none(_COUNT),
        None,
        "Messages that wait for their time in a worker.",
        old="CELERYD_ETA_TASK_LIMIT",
        why="what is to run later waits in the broker, not in the worker",
    )
    worker_enable_prefetch_count_reduction: bool = later(
        FLAG,
        True,
        "Hold less after a lost connection, until what ran then has ended.",
        old="CELERYD_ENABLE_PREFETCH_COUNT_REDUCTION",
        why="what a node holds is known to the broker, and compared after each lost connection",
    )
    worker_disable_prefetch: bool = works(
        FLAG, False, "Claim a message only when a slot is free.", old="CELERYD_DISABLE_PREFETCH"
    )
    worker_redirect_stdouts: bool = works(FLAG, True, "Log what tasks print.", old="CELERY_REDIRECT_STDOUTS")
    worker_redirect_stdouts_level: str = works(
        _LEVEL, "WARNING", "Level of such log lines.", old="CELERY_REDIRECT_STDOUTS_LEVEL"
    )
    worker_send_task_events: bool = works(FLAG, False, "Send events that monitors can watch.", old="CELERY_SEND_EVENTS")
    worker_state_db: str | None = later(
        or_none(PATH),
        None,
        "File in which a worker of Celery remembers what was revoked.",
        old="CELERYD_STATE_DB",
        why="what is revoked is kept by the broker, for all nodes and over restarts",
    )
    worker_task_log_datefmt: str | None = works(
        or_none(TEXT), None, "Format of the times in log lines of tasks.", old="CELERYD_TASK_LOG_DATEFMT"
    )
    worker_task_log_format: str = works(
        log_format(*FIELDS),
        TASK_LOG_FORMAT,
        "Format of the log lines of tasks; 'json': one JSON object per line.",
        old="CELERYD_TASK_LOG_FORMAT",
    )
    worker_timer: None = works(
        left_at(None, "what is to run later waits in the broker here, and no timer of a worker knows of it"),
        None,
        "Class of the timer of Celery's worker, which keeps what is to run later; here the broker does.",
        old="CELERYD_TIMER",
    )
    worker_timer_precision: float = later(
        SECONDS,
        1.0,
        "Longest sleep of the timer of Celery's worker, seconds.",
        old="CELERYD_TIMER_PRECISION",
        why="what is to run later waits in the broker, and no timer of a worker knows of it",
    )
    worker_detect_quorum_queues: bool = later(
        FLAG,
        True,
        "See by itself whether queues of RabbitMQ are quorum queues.",
        old="CELERYD_DETECT_QUORUM_QUEUES",
        why="nodes do what works with queues of every type",
    )
    worker_logfile: str | None = works(or_none(PATH), None, "Where a worker logs; None: standard error.", old=None)
    worker_pidfile: str | None = works(or_none(PATH), None, "Where it writes its process id.", old=None)
    worker_uid: str | int | None = later(
        or_none(ACCOUNT),
        None,
        "User that it becomes.",
        old=None,
        why="a worker becomes another user before it imports the app; say --uid",
    )
    worker_gid: str | int | None = later(
        or_none(ACCOUNT),
        None,
        "Group that it becomes.",
        old=None,
        why="a worker becomes another group before it imports the app; say --gid",
    )
    worker_umask: int | None = works(or_none(UMASK), None, "Its umask.", old=None)
    worker_executable: str | None = later(
        or_none(PATH),
        None,
        "Python that it is started with.",
        old=None,
        why="the app is read by the interpreter that runs it; start the worker with another one: "
        "path/to/python -m celeriac worker",
    )


class BeatSettings(Group):
    """Say what is sent by the clock, and how the scheduler runs."""

    TITLE = "Beat"
    WHY = "schedules are not in this version"

    beat_enable_remote_control: bool = later(FLAG, False, "Answer pings.", old="CELERYBEAT_ENABLE_REMOTE_CONTROL")
    beat_remote_control_max_tick_age: float | None = later(
        or_none(SECONDS),
        None,
        "Seconds since the last look at the clock after which it is silent; 0: never; None: by the loop's interval.",
        old="CELERYBEAT_REMOTE_CONTROL_MAX_TICK_AGE",
    )
    beat_max_loop_interval: float = later(
        SECONDS,
        0.0,
        "Seconds between two looks at the schedule at most; 0: the scheduler's own.",
        old="CELERYBEAT_MAX_LOOP_INTERVAL",
    )
    beat_schedule: Mapping[str, Any] = later(
        MAPPING, {}, "What is sent when: a dict of name to task, schedule and arguments.", old="CELERYBEAT_SCHEDULE"
    )
    beat_scheduler: str | type = later(
        CLASS, "celery.beat:PersistentScheduler", "Class of the scheduler.", old="CELERYBEAT_SCHEDULER"
    )
    beat_schedule_filename: str = later(
        PATH, "celerybeat-schedule", "File in which it remembers what it sent.", old="CELERYBEAT_SCHEDULE_FILENAME"
    )
    beat_sync_every: int = later(
        _COUNT, 0, "Messages after which that file is written; 0: by time.", old="CELERYBEAT_SYNC_EVERY"
    )
    beat_cron_starting_deadline: int | None = later(
        or_none(_COUNT),
        None,
        "Seconds for which a missed crontab entry is still sent; None: always.",
        old="CELERYBEAT_CRON_STARTING_DEADLINE",
    )
    beat_logfile: str | None = later(or_none(PATH), None, "Where a scheduler in the background logs.", old=None)
    beat_pidfile: str | None = later(or_none(PATH), None, "Where it writes its process id.", old=None)
    beat_uid: str | int | None = later(or_none(ACCOUNT), None, "User that it becomes.", old=None)
    beat_gid: str | int | None = later(or_none(ACCOUNT), None, "Group that it becomes.", old=None)
    beat_umask: int | None = later(or_none(UMASK), None, "Its umask.", old=None)
    beat_executable: str | None = later(or_none(PATH), None, "Python that it is started with.", old=None)
