"""How RabbitMQ is reached and used: what the settings say beside the URL."""

from __future__ import annotations

import ssl

import msgspec

from celeriac.brokers.amqp.topology import Exchange, Queue, task_queue


class TaskQueue(msgspec.Struct, frozen=True, kw_only=True):
    """Say how a queue of tasks is declared, and how an exchange leads to it."""

    queue: Queue
    exchange: Exchange
    key: str


class AmqpOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Say how a server is reached, and what is declared there.

    Attributes:
        connect_timeout: seconds for connecting, of the deadline of a call; None: all of it.
        heartbeat: seconds of silence that a worker agrees on with the server; three of them end a connection.
        login_method: SASL's name; None lets the server choose among PLAIN and AMQPLAIN.
        tls: None: no encryption.
        queue_type: of queues that are not in `queues`: ``classic`` or ``quorum``; None leaves it to the server.
        max_priority: ``x-max-priority`` of those.
        delayed_queue_type: of the queues of the ladder.
        queues: how named queues are declared.
    """

    connect_timeout: float | None = 4.0
    heartbeat: int = 4
    login_method: str | None = None
    tls: ssl.SSLContext | None = None
    queue_type: str | None = None
    max_priority: int | None = None
    delayed_queue_type: str = "quorum"
    queues: tuple[TaskQueue, ...] = ()

    def task_queue(self, name: str) -> TaskQueue:
        """Return how a queue is declared: as the settings say, else as Celery makes one on the fly."""
        for one in self.queues:
            if one.queue.name == name:
                return one
        queue = task_queue(name, queue_type=self.queue_type, max_priority=self.max_priority)
        return TaskQueue(queue=queue, exchange=Exchange(name=name), key=name)
