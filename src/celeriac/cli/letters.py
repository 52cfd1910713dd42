"""Dead letters as people name, read and print them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import click

from celeriac.app.hiding import HIDDEN
from celeriac.brokers.base import Broker, DeadLetter
from celeriac.exceptions import ContentDisallowed, DecodeError
from celeriac.message import Message
from celeriac.wire.headers import read_facts
from celeriac.wire.jsontypes import loads
from celeriac.wire.limits import DEFAULT_LIMITS
from celeriac.wire.protocol import read_request
from celeriac.wire.reprs import bounded_repr
from celeriac.wire.serializers import JSON, MSGPACK, YAML, Accept

COLUMNS: Final = ("number", "queue", "task", "task_id", "died_at", "reason")

# To look at, whatever workers accept: nothing but data comes of these.
_DATA: Final = Accept(
    tuple(one.name for one in (JSON, MSGPACK, YAML)), frozenset(one.content_type for one in (JSON, MSGPACK, YAML))
)

CHUNK: Final = 1000
"""Dead letters replayed or discarded in one step, so that a broker is never held up for long."""


def choose(broker: Broker, *, numbers: Sequence[int], queue: str | None, everything: bool) -> dict[int, str]:
    """Return the dead letters that were named, as task ids by number.

    Raises:
        click.UsageError: they were named in no way, or in more than one.
        click.ClickException: one of the numbers names none.
    """
    if [bool(numbers), queue is not None, everything].count(True) != 1:
        raise click.UsageError("name dead letters by their numbers, or with --queue NAME, or with --all.")
    if numbers:
        return {number: _letter(broker, number).task_id for number in numbers}
    depths = broker.depths(None if queue is None else [queue])
    limit = sum(depth.dead for depth in depths)
    letters = broker.dead_letters(queue=queue, limit=limit) if limit else []
    return {letter.number: letter.task_id for letter in letters}


def _letter(broker: Broker, number: int) -> DeadLetter:
    letter = broker.dead_letter(number)
    if letter is None:
        raise click.ClickException(f"there is no dead letter {number}; `celeriac dlq list` shows those there are.")
    return letter


def is_readable(broker: Broker, number: int) -> bool:
    """Say whether some worker could read a dead letter; arguments that are no plain data are believed to be right."""
    message = _letter(broker, number).message
    if message is None or not message.content_type:
        return False
    try:
        try:
            read_request(message, accept=_DATA)
        except ContentDisallowed:
            facts = read_facts(message.headers, limits=DEFAULT_LIMITS)
            return bool(facts.task and facts.id)
    except DecodeError:
        return False
    return True


def chunks(numbers: Mapping[int, str]) -> Iterator[list[int]]:
    """Split numbers into steps of a bounded size, the oldest dead letters first."""
    ordered = sorted(numbers)
    for start in range(0, len(ordered), CHUNK):
        yield ordered[start : start + CHUNK]


def facts(letter: DeadLetter) -> dict[str, Any]:
    """Return what is known of a dead letter without opening it."""
    return {
        "number": letter.number,
        "queue": letter.queue,
        "task": letter.task,
        "task_id": letter.task_id,
        "died_at": datetime.fromtimestamp(letter.died_at, UTC).astimezone().isoformat(timespec="seconds"),
        "size_bytes": letter.size_bytes,
        "reason": letter.reason,
    }


def opened(broker: Broker, number: int) -> dict[str, Any]:
    """Return all that a dead letter says; where its arguments cannot be read, the raw `body` and the `fault`."""
    letter = _letter(broker, number)
    if letter.message is None:
        return {**facts(letter), "fault": "the message is too large to be shown"}
    return {**facts(letter), **_headers(letter.message), **_arguments(letter.message)}


def _headers(message: Message) -> dict[str, Any]:
    try:
        return {"headers": loads(message.headers)}
    except DecodeError as error:
        return {"headers": message.headers, "headers_fault": str(error)}


def _arguments(message: Message) -> dict[str, Any]:
    try:
        request = read_request(message, accept=_DATA)
    except DecodeError as error:
        return {"body": message.body, "fault": str(error)}
    if HIDDEN in request.argsrepr or HIDDEN in request.kwargsrepr:  # the task has arguments that people must not see
        return {"args": request.argsrepr, "kwargs": request.kwargsrepr}
    return {"args": request.args, "kwargs": request.kwargs}


def lines(opened_letter: Mapping[str, Any]) -> Iterator[str]:
    """Write an opened letter for people, long values cut short."""
    for name, value in opened_letter.items():
        if name == "headers" and isinstance(value, dict):
            yield "headers"
            yield from (f"  {key:<22} {bounded_repr(item)}" for key, item in value.items() if item is not None)
        else:
            yield f"{name:<12} {value if isinstance(value, (str, int)) else bounded_repr(value)}"
