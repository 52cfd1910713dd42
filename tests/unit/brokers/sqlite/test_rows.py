from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from celeriac.brokers.sqlite import schema
from celeriac.brokers.sqlite.rows import COLUMNS, insertion, insertions, message_of
from celeriac.message import Message

USUAL = Message(task_id="a", queue="q", headers=b"{}", body=b"[[], {}, {}]", priority=3)
UNUSUAL = [
    replace(USUAL, eta_at=1.5),
    replace(USUAL, properties=b"{}"),
    replace(USUAL, content_type="text/plain"),
    replace(USUAL, content_encoding="binary"),
]


def stored(messages: list[Message], *, together: bool) -> list[Message]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        schema.ensure(connection, Path("memory"))
        if together:
            connection.executemany(*insertions(messages))
        else:
            for message in messages:
                connection.execute(*insertion(message))
        read = [message_of(row) for row in connection.execute(f"SELECT {COLUMNS} FROM message ORDER BY id")]
    assert all(fault is None for _, fault in read)
    return [message for message, _ in read]


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("unusual", UNUSUAL)
def test_messages_come_out_of_the_table_as_they_went_in(unusual: Message, together):
    for messages in ([USUAL], [unusual], [USUAL, unusual, USUAL], []):
        assert stored(messages, together=together) == messages
