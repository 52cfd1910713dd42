"""Commands about the queues that a node consumes."""

from __future__ import annotations

from typing import Any

from celeriac.brokers.topology import Exchange, Queue
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
    table = state.app.amqp.queues
    if exchange is None and exchange_type is None and routing_key is None and not options:
        wanted = table.find(queue) or Queue(queue, Exchange(queue), queue)
    else:
        options |= {"exchange": exchange or queue, "exchange_type": exchange_type or "direct"}
        wanted = Queue.from_dict(queue, routing_key=routing_key or queue, **options)
    if not state.node.consuming.add(wanted.name):
        return ok(f"already consuming from {queue}")
    table.select_add(wanted)
    return ok(f"add consumer {queue}")


@built_in("control", args=[("queue", str)], signature="<queue>")
def cancel_consumer(state: State, queue: str, **more: Any) -> dict[str, str]:
    """Consume a queue no more; what was claimed of it still runs."""
    table = state.app.amqp.queues
    found = table.aliases.get(queue)
    table.deselect(queue)
    state.node.consuming.cancel(queue if found is None else found.name)
    return ok(f"no longer consuming from {queue}")


@built_in("inspect")
def active_queues(state: State, **more: Any) -> list[dict[str, Any]]:
    """List the queues that are consumed."""
    table = state.app.amqp.queues
    return [described(table.find(name) or Queue(name, Exchange(name), name)) for name in state.node.consuming.names]


def described(queue: Queue) -> dict[str, Any]:
    """Describe a queue as Celery's workers do."""
    said = queue.as_dict(recurse=True)
    said.pop("queue", None)
    return said
