"""Commands about the queues that a node consumes."""

from __future__ import annotations

from typing import Any

from celeriac.worker.commands.panel import built_in, ok
from celeriac.worker.commands.state import State


@built_in(
    "control",
    args=[("queue", str), ("exchange", str), ("exchange_type", str), ("routing_key", str)],
    signature="<queue> [exchange [type [routing_key]]]",
)
def add_consumer(
    state: State,
    queue: str,
    exchange: str | None = None,
    exchange_type: str | None = None,
    routing_key: str | None = None,
    **options: Any,
) -> dict[str, str]:
    """Consume one more queue."""
    if state.node.consuming.add(queue):
        return ok(f"add consumer {queue}")
    return ok(f"already consuming from {queue}")


@built_in("control", args=[("queue", str)], signature="<queue>")
def cancel_consumer(state: State, queue: str, **more: Any) -> dict[str, str]:
    """Consume a queue no more; what was claimed of it still runs."""
    state.node.consuming.cancel(queue)
    return ok(f"no longer consuming from {queue}")


@built_in("inspect")
def active_queues(state: State, **more: Any) -> list[dict[str, Any]]:
    """List the queues that are consumed."""
    return [described(name) for name in state.node.consuming.names]


def described(queue: str) -> dict[str, Any]:
    """Describe a queue as Celery's workers do."""
    exchange = {
        "name": queue,
        "type": "direct",
        "arguments": None,
        "durable": True,
        "passive": False,
        "auto_delete": False,
        "delivery_mode": None,
        "no_declare": False,
    }
    return {
        "name": queue,
        "exchange": exchange,
        "routing_key": queue,
        "queue_arguments": None,
        "binding_arguments": None,
        "consumer_arguments": None,
        "durable": True,
        "exclusive": False,
        "auto_delete": False,
        "no_ack": False,
        "alias": None,
        "bindings": [],
        "no_declare": None,
        "expires": None,
        "message_ttl": None,
        "max_length": None,
        "max_length_bytes": None,
        "max_priority": None,
    }
