"""Settings about tasks: how they are sent, run and acknowledged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from celeriac.app.config.content import COMPRESSION, SERIALIZER
from celeriac.app.config.setting import Group, ours, works
from celeriac.app.kinds import (
    ANYTHING,
    DELIVERY_MODE,
    FLAG,
    MAPPING,
    QUEUES,
    RATE,
    ROUTES,
    SECONDS,
    TEXT,
    Kind,
    one_of,
    or_none,
    whole,
)
from celeriac.app.publishing import read_policy
from celeriac.brokers.topology import KINDS


def _retry_policy(value: Any) -> Mapping[str, Any]:
    policy = MAPPING.accept(value)
    read_policy(policy)
    return policy


_RETRY_POLICY: Final = Kind(
    "a dict of max_retries, interval_start, interval_step, interval_max and retry_errors",
    _retry_policy,
    examples=({}, {"max_retries": 5, "interval_max": 0.5}),
)
_PRIORITY = or_none(whole(at_least=0, at_most=255))
_QUEUE_TYPE = one_of("classic", "quorum")


class TaskSettings(Group):
    """Say what holds for every task that does not say otherwise."""

    TITLE = "Tasks"

    task_acks_late: bool = works(
        FLAG, True, "Acknowledge after the run, so that a crash runs the task again.", old="CELERY_ACKS_LATE"
    )
    task_acks_on_failure_or_timeout: bool = works(
        FLAG,
        True,
        "Acknowledge also a run that failed or took too long; False makes it a dead letter.",
        old="CELERY_ACKS_ON_FAILURE_OR_TIMEOUT",
    )
    task_acks_on_failure: bool | None = works(
        or_none(FLAG),
        None,
        "The same for failures only; None: as `task_acks_on_failure_or_timeout`.",
        old="CELERY_ACKS_ON_FAILURE",
    )
    task_acks_on_timeout: bool | None = works(
        or_none(FLAG),
        None,
        "The same for time limits only; None: as `task_acks_on_failure_or_timeout`.",
        old="CELERY_ACKS_ON_TIMEOUT",
    )
    task_always_eager: bool = works(
        FLAG, False, "Run calls at once, in the process that makes them.", old="CELERY_ALWAYS_EAGER"
    )
    task_annotations: Any = works(
        or_none(ANYTHING),
        None,
        "Attributes to change in tasks: a dict of task name or '*' to a dict of them, or objects that make such dicts.",
        old="CELERY_ANNOTATIONS",
    )
    task_compression: str | None = works(
        or_none(COMPRESSION),
        None,
        "How bodies of messages are compressed; None: not.",
        old="CELERY_MESSAGE_COMPRESSION",
    )
    task_create_missing_queues: bool = works(
        FLAG, True, "Make queues that are named and not listed in `task_queues`.", old="CELERY_CREATE_MISSING_QUEUES"
    )
    task_create_missing_queue_type: str = works(
        _QUEUE_TYPE, "classic", "Type of such queues on RabbitMQ.", old="CELERY_CREATE_MISSING_QUEUE_TYPE"
    )
    task_create_missing_queue_exchange_type: str | None = works(
        or_none(one_of(*KINDS)),
        None,
        "Type of their exchanges; None: as `task_default_exchange_type`.",
        old="CELERY_CREATE_MISSING_QUEUE_EXCHANGE_TYPE",
    )
    task_inherit_parent_priority: bool = works(
        FLAG,
        False,
        "Calls made by a task have the priority that it was called with.",
        old="CELERY_INHERIT_PARENT_PRIORITY",
    )
    task_default_delivery_mode: int = works(
        DELIVERY_MODE,
        2,
        "Whether messages outlive a restart of the broker: 2 or 'persistent', 1 or 'transient'. On SQLite all do.",
        old="CELERY_DEFAULT_DELIVERY_MODE",
    )
    task_default_queue: str = works(
        TEXT, "celery", "Queue of the tasks that no route names.", old="CELERY_DEFAULT_QUEUE"
    )
    task_default_queue_type: str = works(
        _QUEUE_TYPE, "classic", "Type of that queue on RabbitMQ.", old="CELERY_DEFAULT_QUEUE_TYPE"
    )
    task_default_exchange: str | None = works(
        or_none(TEXT),
        None,
        "Exchange of queues that name none; None: called as `task_default_queue`.",
        old="CELERY_DEFAULT_EXCHANGE",
        follows="task_default_queue",
    )
    task_default_exchange_type: str = works(
        one_of(*KINDS), "direct", "Type of that exchange.", old="CELERY_DEFAULT_EXCHANGE_TYPE"
    )
    task_default_routing_key: str | None = works(
        or_none(TEXT),
        None,
        "Routing key of queues that name none; None: as `task_default_queue`.",
        old="CELERY_DEFAULT_ROUTING_KEY",
        follows="task_default_queue",
    )
    task_default_rate_limit: str | float | None = works(
        or_none(RATE),
        None,
        "How often a task starts at most: on each node, or where its `rate_limit_scope` is `global`, on all together.",
        old="CELERY_DEFAULT_RATE_LIMIT",
    )
    task_default_priority: int | None = works(
        _PRIORITY, None, "Priority of a message; None is 0.", old="CELERY_DEFAULT_PRIORITY"
    )
    task_eager_propagates: bool = works(
        FLAG, False, "Raise what a task raises when it is run eagerly.", old="CELERY_EAGER_PROPAGATES_EXCEPTIONS"
    )
    task_ignore_result: bool = works(
        FLAG, False, "Keep no results unless a task or a call asks for it.", old="CELERY_IGNORE_RESULT"
    )
    task_store_eager_result: bool = works(
        FLAG, False, "Store what eager runs return, too.", old="CELERY_STORE_EAGER_RESULT"
    )
    task_protocol: int = works(
        whole(at_least=1, at_most=2),
        2,
        "Version of Celery's message protocol that is sent.",
        old="CELERY_TASK_PROTOCOL",
    )
    task_publish_retry: bool = works(
        FLAG, True, "Try again to send a message when the broker does not answer.", old="CELERY_TASK_PUBLISH_RETRY"
    )
    task_publish_retry_policy: Mapping[str, Any] = works(
        _RETRY_POLICY,
        {"max_retries": 3, "interval_start": 0, "interval_max": 1, "interval_step": 0.2},
        "How often, and after how many seconds; all within `task_publish_timeout`.",
        old="CELERY_TASK_PUBLISH_RETRY_POLICY",
    )
    task_queues: Any = works(
        or_none(QUEUES),
        None,
        "The queues there are: a list of `Queue` objects, or a dict of name to `Queue`, or to a dict of its arguments.",
        old="CELERY_QUEUES",
    )
    task_queue_max_priority: int | None = works(
        _PRIORITY,
        None,
        "`x-max-priority` of queues that say none: the highest that RabbitMQ tells apart in them.",
        old="CELERY_QUEUE_MAX_PRIORITY",
    )
    task_reject_on_worker_lost: bool | None = works(
        or_none(FLAG),
        None,
        "None and True: run again a task whose process died, up to `task_max_crashes`; False: fail it at once.",
        old="CELERY_REJECT_ON_WORKER_LOST",
    )
    task_retry_on_worker_lost: bool = works(
        FLAG, False, "Count such a run as a retry, with its delay and its limit.", old="CELERY_RETRY_ON_WORKER_LOST"
    )
    task_remote_tracebacks: bool = works(
        FLAG,
        False,
        "Errors that `get()` raises have the worker's traceback as their own.",
        old="CELERY_REMOTE_TRACEBACKS",
    )
    task_repr_maxlevels: int | None = works(
        or_none(whole(at_least=0)),
        3,
        "Nesting that descriptions of arguments show; 0 or None: all of it.",
        old="CELERY_REPR_MAXLEVELS",
    )
    task_routes: Any = works(
        or_none(ROUTES),
        None,
        "Where tasks go: a dict of names, globs or regular expressions; a function, or its path; or a list of these.",
        old="CELERY_ROUTES",
    )
    task_send_sent_event: bool = works(
        FLAG, False, "Send an event with every message.", old="CELERY_SEND_TASK_SENT_EVENT"
    )
    task_serializer: str = works(SERIALIZER, "json", "How arguments travel.", old="CELERY_TASK_SERIALIZER")
    task_strict_round_trip: bool = ours(
        FLAG, False, "Refuse calls whose arguments would arrive as something else than they are, such as a tuple."
    )
    task_soft_time_limit: float | None = works(
        or_none(SECONDS),
        None,
        "Seconds after which `SoftTimeLimitExceeded` is raised in a run.",
        old="CELERYD_TASK_SOFT_TIME_LIMIT",
    )
    task_time_limit: float | None = works(
        or_none(SECONDS), None, "Seconds after which a run is killed.", old="CELERYD_TASK_TIME_LIMIT"
    )
    task_store_errors_even_if_ignored: bool = works(
        FLAG, False, "Store failures also of tasks that keep no results.", old="CELERY_STORE_ERRORS_EVEN_IF_IGNORED"
    )
    task_track_started: bool = works(FLAG, False, "Store STARTED when a run begins.", old="CELERY_TRACK_STARTED")
    task_allow_error_cb_on_chord_header: bool = works(
        FLAG,
        False,
        "Errbacks of a chord are also those of the tasks in its header.",
        old="CELERY_ALLOW_ERROR_CB_ON_CHORD_HEADER",
    )
    task_cancel_grace: float = ours(SECONDS, 10.0, "Seconds that a cancelled run has to clean up before it is killed.")
    task_max_crashes: int = ours(whole(at_least=1), 3, "Runs that may die under a message before it is a dead letter.")
    task_max_node_losses: int = ours(whole(at_least=1), 10, "Nodes that may die under a message likewise.")
    task_publish_timeout: float = ours(SECONDS, 3.0, "Seconds within which a call is confirmed by the broker or fails.")
    task_unknown_release_for: float = ours(
        SECONDS, 600.0, "Seconds for which an unknown task is offered to other nodes; then it is a dead letter."
    )
