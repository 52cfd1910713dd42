"""What leads from exchanges to queues, in the table `binding`. What writes runs inside the caller's transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from celeriac.brokers.sqlite import keys
from celeriac.brokers.topology import Binding

BEHIND: Final = "SELECT exchange, kind, routing_key, queue, arguments FROM binding WHERE exchange = ?"

_ADD: Final = """
INSERT OR REPLACE INTO binding (exchange, kind, routing_key, queue, arguments, owner) VALUES (?, ?, ?, ?, ?, ?)
"""
_FORGET: Final = "DELETE FROM binding WHERE queue = ?"
_OF_OWNER: Final = "SELECT DISTINCT queue FROM binding WHERE owner = ?"
_PURGE: Final = "DELETE FROM message WHERE queue = ? AND owner IS NULL"


def read_bindings(rows: Iterable[Sequence[Any]]) -> list[Binding]:
    """Return the bindings of rows that `BEHIND` has found; what is no binding is left out."""
    found = []
    for exchange, kind, routing_key, queue, arguments in rows:
        if all(isinstance(text, str) for text in (exchange, kind, routing_key, queue, arguments)):
            try:
                said = msgspec.json.decode(arguments, type=dict[str, Any] | None)
            except msgspec.DecodeError:
                continue
            found.append(Binding(exchange=exchange, kind=kind, routing_key=routing_key, queue=queue, arguments=said))
    return found


def bind(connection: sqlite3.Connection, leads: Mapping[str, Iterable[Binding]], owners: Mapping[str, int]) -> None:
    """Make known what leads to queues, instead of what was known before.

    Args:
        leads: by queue.
        owners: of queues that end with a node: the number of that.
    """
    for queue, bindings in leads.items():
        connection.execute(_FORGET, (queue,))
        rows = [
            (
                each.exchange,
                each.kind,
                each.routing_key,
                each.queue,
                msgspec.json.encode(each.arguments).decode(),
                owners.get(queue),
            )
            for each in bindings
        ]
        connection.executemany(_ADD, rows)


def end_with(connection: sqlite3.Connection, owner: int, *, but: Iterable[str] = ()) -> None:
    """Delete the queues that were an owner's, and what waits in them."""
    kept = set(but)
    for (queue,) in connection.execute(_OF_OWNER, (owner,)).fetchall():
        if queue not in kept:
            connection.execute(_FORGET, (queue,))
            keys.free_waiting(connection, queue)
            connection.execute(_PURGE, (queue,))
