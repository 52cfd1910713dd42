"""Settings about what is imported, what is read, and what time it is."""

from __future__ import annotations

import datetime
from typing import Any

from celeriac.app.config.content import CONTENTS
from celeriac.app.config.setting import Group, later, ours, works
from celeriac.app.kinds import FLAG, MAPPING, SECONDS, TEXT_LIST, TIME_ZONE, or_none, whole


class GeneralSettings(Group):
    """Say what an app imports, which data it reads, and in which zone it lives."""

    TITLE = "General"

    accept_content: tuple[str, ...] = works(
        CONTENTS,
        ("json",),
        "Serializers, by name or content type, that are decoded; anything else is refused.",
        old="CELERY_ACCEPT_CONTENT",
    )
    result_accept_content: tuple[str, ...] | None = works(
        or_none(CONTENTS),
        None,
        "The same for results; None: as `accept_content`, but for pickle.",
        old="RESULT_ACCEPT_CONTENT",
    )
    accept_pickle_from: tuple[str, ...] = ours(
        TEXT_LIST, (), "Queues whose messages may be pickles, when `accept_content` has pickle as well."
    )
    enable_utc: bool = works(
        FLAG,
        True,
        "Times without a zone are in UTC while `timezone` is None; False: in the machine's.",
        old="ENABLE_UTC",
    )
    timezone: str | datetime.tzinfo | None = works(
        or_none(TIME_ZONE),
        None,
        "Zone in which times without one are meant; None: see `enable_utc`.",
        old="CELERY_TIMEZONE",
    )
    imports: tuple[str, ...] = works(
        TEXT_LIST, (), "Modules that define tasks; a worker imports them, before `include`.", old="CELERY_IMPORTS"
    )
    include: tuple[str, ...] = works(
        TEXT_LIST, (), "Modules that define tasks; a worker imports them.", old="CELERY_INCLUDE"
    )
    override_backends: Any = later(
        or_none(MAPPING),
        None,
        "Names of result backends, and the classes to use for them.",
        old=None,
        why="results are kept in Redis, SQLite, memory or RabbitMQ; the URL in `result_backend` says where",
    )
    django_db_reuse_max: int | None = later(
        or_none(whole(at_least=1)),
        None,
        "Tasks after which a worker's Django database connection is closed.",
        old="CELERY_DB_REUSE_MAX",
        why="celeriac has no part for Django yet",
    )
    visibility_timeout: float | None = later(
        or_none(SECONDS),
        None,
        "Seconds until an unacknowledged message comes again, on some brokers.",
        old=None,
        why="a message comes again when its node is dead, not after a time; where Celery's workers "
        "share a queue in Redis, say it in `broker_transport_options`",
    )
