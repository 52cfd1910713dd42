"""What Celery's result backends have and these do not: said by name, instead of as a missing attribute."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_READ: Final = "`app.AsyncResult(id)` tells of a run"
_WRITTEN: Final = "`update_state(task_id=…, state=…, meta=…)` of any task writes the record of a run"
_READERS: Final = ("get_children", "get_result", "get_state", "get_status", "get_task_meta", "get_traceback")
_WRITERS: Final = (
    "mark_as_done",
    "mark_as_failure",
    "mark_as_retry",
    "mark_as_revoked",
    "mark_as_started",
    "store_result",
)

_INSTEAD: Final[Mapping[str, str]] = {
    **dict.fromkeys(_READERS, _READ),
    **dict.fromkeys(_WRITERS, _WRITTEN),
    "client": "make a client of your own, such as `redis.Redis.from_url(app.conf.result_backend)`",
}


def missing_of_backend(backend: str, name: str) -> AttributeError:
    """Make the error about an attribute that result backends do not have."""
    sentence = _INSTEAD.get(name)
    return AttributeError(f"{backend} has no {name!r}{f': {sentence}' if sentence else ''}")
