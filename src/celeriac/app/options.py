"""What can be said of a call when it is sent: the names, and what each may be.

A name that is not here is an error wherever it is given; no option is silently ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, TypedDict

from celeriac.app.kinds import FLAG, SECONDS, TEXT, Kind, one_of, or_none, read, whole


class MessageOptions(TypedDict, total=False):
    """Say how one message differs from the others of its task. None is the same as nothing said.

    Attributes:
        expires: seconds or instant after which the run does not start any more.
        queue: name of the queue, past `task_routes`.
        priority: 0 to 255.
        headers: custom headers, to be found in `task.request.headers`.
        ignore_result: keep no result of this run.
        serializer: ``json``.
        shadow: name for logs and events.
    """

    expires: float | datetime | str | None
    queue: str | None
    priority: int | None
    headers: Mapping[str, Any] | None
    ignore_result: bool | None
    serializer: str | None
    shadow: str | None


class CallOptions(MessageOptions, total=False):
    """Say how one call differs from the others of its task. None is the same as nothing said.

    Attributes:
        countdown: seconds before which the run does not start; zero or less is now.
        eta: instant before which it does not start; without a zone, in the app's.
        timeout: seconds in which the broker must confirm, instead of `task_publish_timeout`.
        add_to_parent: list this call among the children of the run that makes it.
    """

    countdown: float | None
    eta: datetime | str | None
    timeout: float | None
    add_to_parent: bool


def _mapping(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise ValueError
    return value


# Times are not here: `timing.py` reads them where they are used, and says what is wrong with them.
_TIME: Final = Kind("a time", lambda value: value)
_PRIORITY: Final = or_none(whole(at_least=0, at_most=255))
_FLAG: Final = or_none(FLAG)
_JSON: Final = or_none(one_of("json"))

_OF_MESSAGE: Final = {
    "expires": _TIME,
    "headers": or_none(Kind("a dict of names and values", _mapping)),
    "ignore_result": _FLAG,
    "priority": _PRIORITY,
    "queue": or_none(Kind("the name of a queue", TEXT.accept)),
    "serializer": _JSON,
    "shadow": or_none(TEXT),
}
_OF_CALL: Final = _OF_MESSAGE | {
    "add_to_parent": FLAG,
    "countdown": _TIME,
    "eta": _TIME,
    "timeout": or_none(SECONDS),
}


def check_message_options(what: str, options: Mapping[str, Any]) -> None:
    """Raise for an option that a retry does not have, or that is not what it may be.

    Raises:
        TypeError: there is no such option.
        ValueError: its value is wrong.
    """
    _check(what, options, _OF_MESSAGE)


def check_call_options(what: str, options: Mapping[str, Any]) -> None:
    """Raise likewise for an option of a call."""
    _check(what, options, _OF_CALL)


def _check(what: str, options: Mapping[str, Any], kinds: Mapping[str, Kind]) -> None:
    for name, value in options.items():
        kind = kinds.get(name)
        if kind is None:
            raise TypeError(f"{what} has no option {name!r}; there are {', '.join(kinds)}")
        read(kind, f"{name} of {what}", value, error=ValueError)
