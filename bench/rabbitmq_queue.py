"""The queue of entrants on RabbitMQ, looked at by py-amqp itself."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import amqp

from bench.rabbitmq_server import PORT_VARIABLE, QUEUE


@contextmanager
def connected(**options: Any) -> Iterator[Any]:
    """Yield a connection of py-amqp to the server of this run."""
    connection = amqp.Connection(host=f"127.0.0.1:{os.environ[PORT_VARIABLE]}", **options)
    connection.connect()
    try:
        yield connection
    finally:
        connection.close()


def empty() -> None:
    """Remove what waits, and the queue itself."""
    with connected() as connection, connection.channel() as channel:
        channel.queue_delete(QUEUE)
