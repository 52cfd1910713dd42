"""Messages as rows of the table `message`, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TypeGuard

from celeriac.message import Message
from celeriac.wire.limits import DEFAULT_LIMITS

Row = tuple[object, ...]

_INSERT: Final = (
    "INSERT INTO message (queue, priority, eta, task_id, content_type, content_encoding, headers, properties, body)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_INSERT_USUAL: Final = "INSERT INTO message (queue, priority, task_id, headers, body) VALUES (?, ?, ?, ?, ?)"
"""For messages that say nothing of the rest: each column less spares 0.3 µs."""

COLUMNS: Final = "queue, priority, eta, task_id, content_type, content_encoding, headers, properties, body"

SIZE: Final = "length(headers) + length(body) + ifnull(length(properties), 0)"
"""SQL for `Message.size_bytes`."""

KEEP_LETTER: Final = """
INSERT INTO dead_letter (
    died_at, reason, queue, priority, task_id, content_type, content_encoding, headers, properties, body)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
"""SQL that keeps a dead letter: when and why it died, and the row of `dead_row_of`."""

_JSON: Final = "application/json"
_UTF8: Final = "utf-8"


def insertion(message: Message) -> tuple[str, Row]:
    """Return the statement that stores a message, and its row.

    What every message says is left out: row bytes are the price of a batch.
    """
    return (_INSERT_USUAL, _usual_row_of(message)) if _is_usual(message) else (_INSERT, _row_of(message))


def insertions(messages: Sequence[Message]) -> tuple[str, list[Row]]:
    """Return one statement that stores messages, and a row for each of them."""
    if all(map(_is_usual, messages)):
        return _INSERT_USUAL, list(map(_usual_row_of, messages))
    return _INSERT, list(map(_row_of, messages))


def _is_usual(message: Message) -> bool:
    return (
        message.eta_at is None
        and message.properties is None
        and message.content_type == _JSON
        and message.content_encoding == _UTF8
    )


def _usual_row_of(message: Message) -> Row:
    return message.queue, message.priority, message.task_id, message.headers, message.body


def _row_of(message: Message) -> Row:
    return (
        message.queue,
        message.priority,
        message.eta_at,
        message.task_id,
        None if message.content_type == _JSON else message.content_type,
        None if message.content_encoding == _UTF8 else message.content_encoding,
        message.headers,
        message.properties,
        message.body,
    )


def dead_row_of(message: Message) -> Row:
    """Return what a dead letter keeps of a message: its row but for the ETA, which is over."""
    queue, priority, _, *rest = _row_of(message)
    return (queue, priority, *rest)


def message_of(row: tuple[Any, ...]) -> tuple[Message, str | None]:
    """Return the message of a row in the order of `COLUMNS`, and what is wrong with it or None.

    Anybody can write anything into a table. Columns of a wrong type come back empty, with the fault named.
    """
    queue, priority, eta, task_id, content_type, content_encoding, headers, properties, body = row
    fault = None
    if not (
        type(headers) is bytes
        and type(body) is bytes
        and type(priority) is int
        and (properties is None or type(properties) is bytes)
        and (content_type is None or _is_text(content_type))
        and (content_encoding is None or _is_text(content_encoding))
        and _is_id(task_id)
    ):
        fault = _fault(row)
        headers, body, properties = _bytes(headers), _bytes(body), None
        priority = priority if type(priority) is int else 0
        content_type = content_encoding = None
        task_id = str(task_id)[: DEFAULT_LIMITS.max_id].encode("utf-8", "replace").decode()
    return (
        Message(
            task_id=str(task_id),
            queue=queue,
            headers=headers,
            body=body,
            priority=priority,
            eta_at=eta if type(eta) is float else None,
            content_type=content_type or _JSON,
            content_encoding=content_encoding or _UTF8,
            properties=properties,
        ),
        fault,
    )


_TYPES: Final = {
    "priority": (int,),
    "task_id": (str,),
    "content_type": (str, type(None)),
    "content_encoding": (str, type(None)),
    "headers": (bytes,),
    "properties": (bytes, type(None)),
    "body": (bytes,),
}


def _fault(row: tuple[Any, ...]) -> str:
    values = dict(zip(COLUMNS.split(", "), row, strict=True))
    wrong = [
        f"column {name} holds {type(values[name]).__name__}, not {expected[0].__name__}"
        for name, expected in _TYPES.items()
        if type(values[name]) not in expected
    ]
    wrong += [
        f"column {name} holds text that is not UTF-8"
        for name, value in values.items()
        if isinstance(value, str) and not _is_text(value)
    ]
    if _is_text(values["task_id"]) and not _is_id(values["task_id"]):
        wrong.append(f"column task_id holds more than {DEFAULT_LIMITS.max_id} characters, or a NUL")
    return "; ".join(wrong)


def _is_text(value: object) -> TypeGuard[str]:
    """Say whether it is text that can be written again. What is not UTF-8 was read with surrogates in it."""
    if type(value) is not str:
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_id(value: object) -> bool:
    return _is_text(value) and len(value) <= DEFAULT_LIMITS.max_id and "\0" not in value


def _bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else b""
