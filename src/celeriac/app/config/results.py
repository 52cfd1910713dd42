"""Settings about results, whatever they are kept in."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from celeriac.app.config.content import COMPRESSION, SERIALIZER
from celeriac.app.config.setting import Group, later, ours, works
from celeriac.app.kinds import FLAG, LIFETIME, MAPPING, NUMBER, SECONDS, TEXT, URLS, or_none, whole
from celeriac.backends.base import RESULT_EXPIRES
from celeriac.wire.forms import RECORD_MAX_BYTES

_COUNT = whole(at_least=0)


class ResultSettings(Group):
    """Say which results are kept, where, how and for how long."""

    TITLE = "Results"

    result_backend: str | None = works(
        or_none(URLS),
        None,
        "Where results are kept; None: in the broker's own store, and nowhere with a broker on Redis.",
        old="CELERY_RESULT_BACKEND",
    )
    result_backend_thread_safe: bool = later(
        FLAG,
        False,
        "Share one result backend among the threads of a process.",
        old=None,
        why="one result backend serves all threads, always",
    )
    result_cache_max: int | None = later(
        or_none(whole(at_least=-1)),
        -1,
        "Results that a program remembers after reading them; -1: none; 0 or None: all.",
        old="CELERY_MAX_CACHED_RESULTS",
        why="each result object remembers what it has read; nothing else does",
    )
    result_compression: str | None = works(
        or_none(COMPRESSION), None, "How records of results are compressed; None: not.", old="CELERY_RESULT_COMPRESSION"
    )
    result_exchange: str = later(
        TEXT,
        "celeryresults",
        "Exchange of results that are sent back as messages.",
        old="CELERY_RESULT_EXCHANGE",
        why="results as messages (rpc://) go to the queue of who has called, without an exchange of their own",
    )
    result_exchange_type: str = later(
        TEXT,
        "direct",
        "Type of that exchange.",
        old="CELERY_RESULT_EXCHANGE_TYPE",
        why="results as messages (rpc://) go to the queue of who has called, without an exchange of their own",
    )
    result_persistent: bool | None = works(
        or_none(FLAG), None, "Such results outlive a restart of the broker.", old="CELERY_RESULT_PERSISTENT"
    )
    result_expires: float | None = works(
        LIFETIME,
        RESULT_EXPIRES,
        "Seconds for which a result is kept; None or 0: for ever.",
        old="CELERY_TASK_RESULT_EXPIRES",
    )
    result_failure_expires: float | None = works(
        or_none(SECONDS),
        None,
        "The same for failures; 0: for ever; None: as `result_expires`.",
        old="CELERY_RESULT_FAILURE_EXPIRES",
    )
    result_chord_expires: float | None = later(
        or_none(SECONDS),
        None,
        "Celery's seconds for which is kept who has finished of a chord. Here it is 30 days from the last member that "
        "ended, so that no chord is forgotten before its body is sent; less would lose bodies.",
        old="CELERY_RESULT_CHORD_EXPIRES",
        why="less than 30 days would lose bodies of chords",
    )
    result_extended: bool = works(
        FLAG, False, "Store name, arguments, queue and worker with a result.", old="CELERY_RESULT_EXTENDED"
    )
    result_max_bytes: int = ours(
        whole(at_least=1024),
        RECORD_MAX_BYTES,
        "Largest result that is stored, in bytes, with its record; a run that returns more fails.",
    )
    result_serializer: str = works(SERIALIZER, "json", "How results are stored.", old="CELERY_RESULT_SERIALIZER")
    result_backend_transport_options: Mapping[str, Any] = works(
        MAPPING,
        {},
        "What the result backend's technology wants to know besides.",
        old="CELERY_RESULT_BACKEND_TRANSPORT_OPTIONS",
    )
    result_chord_retry_interval: float = later(
        SECONDS,
        1.0,
        "Seconds between two looks at an unfinished chord.",
        old="CELERY_RESULT_CHORD_RETRY_INTERVAL",
        why="nobody looks at unfinished chords: the last member that ends has the body sent",
    )
    result_chord_join_timeout: float = later(
        SECONDS,
        3.0,
        "Seconds within which the results of a chord are read.",
        old="CELERY_RESULT_CHORD_JOIN_TIMEOUT",
        why="the node that makes a body reads results within the deadlines of the store, and again when it was in vain",
    )
    result_backend_always_retry: bool = later(
        FLAG,
        False,
        "Try again when the result backend does not answer.",
        old="CELERY_RESULT_BACKEND_ALWAYS_RETRY",
        why="a node keeps outcomes until the store has taken them, always",
    )
    result_backend_max_retries: float = later(
        NUMBER,
        math.inf,
        "How often, at most.",
        old="CELERY_RESULT_BACKEND_MAX_RETRIES",
        why="a node keeps outcomes until the store has taken them, with pauses of its own",
    )
    result_backend_base_sleep_between_retries_ms: int = later(
        _COUNT,
        10,
        "Milliseconds before the first such attempt; they double.",
        old="CELERY_RESULT_BACKEND_BASE_SLEEP_BETWEEN_RETRIES_MS",
        why="a node keeps outcomes until the store has taken them, with pauses of its own",
    )
    result_backend_max_sleep_between_retries_ms: int = later(
        _COUNT,
        10000,
        "Milliseconds between two attempts at most.",
        old="CELERY_RESULT_BACKEND_MAX_SLEEP_BETWEEN_RETRIES_MS",
        why="a node keeps outcomes until the store has taken them, with pauses of its own",
    )
