"""Commands of a worker's driver that name queues and exchanges, by whatever names RabbitMQ lets them have.

The driver's own refuse all letters but those of ASCII and a few signs, so a queue of Celery's that has others could not
be consumed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pamqp import commands as spec


class _Unchecked:
    def validate(self) -> None:
        """Leave it to the server."""


class _DeclareExchange(_Unchecked, spec.Exchange.Declare): ...


class _BindExchange(_Unchecked, spec.Exchange.Bind): ...


class _DeclareQueue(_Unchecked, spec.Queue.Declare): ...


class _BindQueue(_Unchecked, spec.Queue.Bind): ...


class _DeleteQueue(_Unchecked, spec.Queue.Delete): ...


class _Consume(_Unchecked, spec.Basic.Consume): ...


async def declare_exchange(channel: Any, name: str, kind: str, **said: Any) -> None:
    """Declare an exchange on a channel of aiormq."""
    await channel.rpc(_DeclareExchange(exchange=name, exchange_type=kind, **said))


async def bind_exchange(channel: Any, name: str, source: str, key: str) -> None:
    """Lead from an exchange to another."""
    await channel.rpc(_BindExchange(destination=name, source=source, routing_key=key))


async def declare_queue(channel: Any, name: str, **said: Any) -> Any:
    """Declare a queue, and return what the server tells of it."""
    return await channel.rpc(_DeclareQueue(queue=name, **said))


async def bind_queue(channel: Any, name: str, source: str, key: str, arguments: Mapping[str, Any]) -> None:
    """Lead from an exchange to a queue."""
    await channel.rpc(_BindQueue(queue=name, exchange=source, routing_key=key, arguments=dict(arguments)))


async def delete_queue(channel: Any, name: str) -> None:
    """Delete a queue."""
    await channel.rpc(_DeleteQueue(queue=name))


async def consume(
    channel: Any, queue: str, tag: str, *, no_ack: bool = False, arguments: Mapping[str, Any] | None = None
) -> None:
    """Consume a queue. What is delivered is taken out before the driver sees it (`wire.py`)."""
    channel.consumers[tag] = taken_before
    await channel.rpc(_Consume(queue=queue, consumer_tag=tag, no_ack=no_ack, arguments=dict(arguments or {})))


async def taken_before(message: Any) -> None:
    """Be the driver's consumer, to which nothing comes."""
