"""Control commands and their answers, as Celery's clients and workers write them (pidbox). Pure.

A command is broadcast to all nodes. It may name those that it is for, by a list or a pattern; and an inbox for answers.
What its arguments mean is not looked at here.
"""

from __future__ import annotations

import fnmatch
import re
import signal
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

import msgspec

from celeriac.exceptions import DecodeError
from celeriac.wire.jsontypes import dumps, loads
from celeriac.wire.limits import DEFAULT_LIMITS
from celeriac.wire.notices import Notice
from celeriac.wire.serializers import JSON_CONTENT

IDS_MAX: Final = 50_000
"""Ids in one command: what Celery's workers remember in all."""

_PATTERN_MAX: Final = 255
_REPEATS_MAX: Final = 3
_NOT_REPEATING: Final = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\(\?[:!=P<]")
"""Parts of a regular expression whose signs repeat nothing: what is escaped, classes, the begins of groups."""
_REPEATS: Final = re.compile(r"[*+{]")
_OF_GROUPS: Final = re.compile(r"\)[*+{]")
_OPTIONAL_MAX: Final = 8
"""Parts that need not be there: each of them may double the time."""


class _Clocked(msgspec.Struct, gc=False):
    clock: Annotated[int, msgspec.Meta(ge=0, lt=2**62)] = 0


_read_clock: Final = msgspec.json.Decoder(_Clocked).decode


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """Ask nodes to do something.

    Attributes:
        method: what, such as ``revoke``.
        arguments: by name.
        destination: names of the nodes that it is for; empty for all.
        pattern: what names of nodes must match instead, or None.
        matcher: what the pattern is: ``glob``, or ``pcre`` for a regular expression that matches the beginning.
        ticket: tells its answers from others; None when no answer is wanted.
        reply_to: exchange and routing key of the inbox for answers, or None.
        clock: of the sender, after it has counted this; 0 when it does not say.
    """

    method: str
    arguments: dict[str, Any] = msgspec.field(default_factory=dict)
    destination: tuple[str, ...] = ()
    pattern: str | None = None
    matcher: str | None = None
    ticket: str | None = None
    reply_to: tuple[str, str] | None = None
    clock: int = 0

    @property
    def is_for_all(self) -> bool:
        """True when it names no nodes."""
        return not self.destination and not (self.pattern and self.matcher)

    def is_for(self, node: str) -> bool:
        """Say whether a node of that name is to do it."""
        if self.destination:
            return node in self.destination
        if self.pattern and self.matcher:
            return _matches(self.pattern, self.matcher, node)
        return True


def _matches(pattern: str, matcher: str, node: str) -> bool:
    if len(pattern) > _PATTERN_MAX or matcher not in ("glob", "pcre"):
        return False
    try:
        if matcher == "glob":
            return re.match(fnmatch.translate(pattern), node) is not None
        return not _may_take_long(pattern) and re.match(pattern, node) is not None
    except (re.error, RecursionError, OverflowError):
        return False


def _may_take_long(pattern: str) -> bool:
    """Say whether matching a name might take longer than a node can wait: whoever reaches the bus may send this."""
    bare = _NOT_REPEATING.sub("x", pattern)
    return (
        len(_REPEATS.findall(bare)) > _REPEATS_MAX
        or bare.count("?") > _OPTIONAL_MAX
        or _OF_GROUPS.search(bare) is not None
    )


def commands_of(namespace: str) -> str:
    """Return the exchange of commands; `namespace` is the setting `control_exchange`."""
    return f"{namespace}.pidbox"


def answers_of(namespace: str) -> str:
    """Return the exchange of answers."""
    return f"reply.{namespace}.pidbox"


def write_command(command: Command, *, exchange: str, expires_at: float = 0.0) -> Notice:
    """Write a command as Celery's clients do.

    Args:
        expires_at: unix instant after which nobody waits for answers; 0 when nobody does.
    """
    body: dict[str, Any] = {
        "method": command.method,
        "arguments": command.arguments,
        "destination": list(command.destination) or None,
        "pattern": command.pattern,
        "matcher": command.matcher,
    }
    if command.ticket is not None and command.reply_to is not None:
        inbox, routing_key = command.reply_to
        body |= {"ticket": command.ticket, "reply_to": {"exchange": inbox, "routing_key": routing_key}}
    headers = dumps({"clock": command.clock, "expires": expires_at})
    return Notice(exchange=exchange, body=dumps(body), headers=headers, persistent=True)


def read_command(notice: Notice) -> Command:
    """Read a command.

    Raises:
        DecodeError: it is none, or not in JSON.
    """
    body = _json_of(notice)
    if not isinstance(body, dict) or not isinstance(body.get("method"), str):
        raise DecodeError("a control command is a JSON object with a method")
    arguments = body.get("arguments") or {}
    destination = body.get("destination") or ()
    pattern, matcher, ticket = body.get("pattern"), body.get("matcher"), body.get("ticket")
    if isinstance(destination, str):
        destination = [destination]
    if not (isinstance(arguments, dict) and isinstance(destination, (list, tuple))):
        raise DecodeError(f"the control command {body['method']!r:.100} has no readable arguments or destination")
    return Command(
        method=body["method"],
        arguments=arguments,
        destination=tuple(str(node) for node in destination),
        pattern=pattern if isinstance(pattern, str) else None,
        matcher=matcher if isinstance(matcher, str) else None,
        ticket=ticket if isinstance(ticket, str) else None,
        reply_to=_address(body.get("reply_to")),
        clock=clock_of(notice),
    )


def clock_of(notice: Notice) -> int:
    """Return the clock that a notice bears; 0 when it bears none that counts."""
    try:
        return _read_clock(notice.headers).clock
    except (msgspec.MsgspecError, RecursionError):
        return 0


def _address(reply_to: Any) -> tuple[str, str] | None:
    match reply_to:
        case {"exchange": str(exchange), "routing_key": str(routing_key)}:
            return exchange, routing_key
    return None


def write_answer(command: Command, node: str, value: Any, *, clock: int = 0) -> Notice | None:
    """Write what a node answers to a command; None when no answer is wanted.

    Raises:
        EncodeError: the value is nothing that JSON carries.
    """
    if command.ticket is None or command.reply_to is None:
        return None
    exchange, routing_key = command.reply_to
    headers = dumps({"ticket": command.ticket, "clock": clock})
    return Notice(exchange=exchange, routing_key=routing_key, body=dumps({node: value}), headers=headers)


def read_answer(notice: Notice, ticket: str) -> dict[str, Any] | None:
    """Read what a node has answered: its name, and the value; None when it is the answer to another command.

    Raises:
        DecodeError: it is none.
    """
    headers = loads(notice.headers, max_depth=DEFAULT_LIMITS.max_depth, name="headers of an answer")
    if isinstance(headers, dict) and headers.get("ticket", ticket) != ticket:
        return None
    body = _json_of(notice)
    if not isinstance(body, dict):
        raise DecodeError("an answer to a control command is a JSON object")
    return body


def _json_of(notice: Notice) -> Any:
    if notice.content_type != JSON_CONTENT:
        raise DecodeError(f"what is said in {notice.exchange!r} is JSON here, not {notice.content_type!r:.100}")
    return loads(notice.body, max_depth=DEFAULT_LIMITS.max_depth, name="control command")


def ids_in(named: object) -> list[str]:
    """Return the ids that a command names: one text, or a list of texts.

    Raises:
        DecodeError: it is neither, or names more than `IDS_MAX`.
    """
    listed: Sequence[object] = [named] if isinstance(named, str) else named if isinstance(named, (list, tuple)) else ()
    ids = [one for one in listed if isinstance(one, str) and 0 < len(one) <= DEFAULT_LIMITS.max_id]
    if not ids or len(ids) != len(listed) or len(ids) > IDS_MAX:
        raise DecodeError(
            f"task_id must be an id of at most {DEFAULT_LIMITS.max_id} characters, or a list of at most {IDS_MAX:,} ids"
        )
    return list(dict.fromkeys(ids))


def signal_name(given: object) -> str:
    """Return the name of a signal that is given as ``SIGKILL``, ``KILL`` or 9; None is SIGTERM.

    Raises:
        ValueError: there is no such signal.
    """
    if given is None:
        return signal.SIGTERM.name
    if isinstance(given, (int, str)) and not isinstance(given, bool):
        text = str(given).strip().upper() if isinstance(given, str) else given
        for known in signal.Signals:
            if text in (known.name, known.name[3:], known.value, str(known.value)):
                return known.name
    raise ValueError(f"there is no signal {given!r:.50}; name one such as SIGTERM, KILL or 9")


def flag(arguments: Mapping[str, Any], name: str) -> bool:
    """Return an argument that is true or false; what is neither counts as said when it is not empty."""
    return bool(arguments.get(name))


def text(arguments: Mapping[str, Any], name: str) -> str | None:
    """Return an argument that is a text, cut to a length that can be shown; None when there is none."""
    value = arguments.get(name)
    return value[:1024] if isinstance(value, str) else None
