"""Commands about the queues that a node consumes."""

from __future__ import annotations

import contextlib
import logging
from typing import Any, Final

from celeriac.app.application import Celery
from celeriac.exceptions import ImproperlyConfigured, OperationalError
from celeriac.worker.commands.panel import built_in, ok
from celeriac.worker.commands.state import State
from celeriac.worker.consuming import no_ack_concern

logger: Final = logging.getLogger("celeriac.worker")


@built_in(
    "control",
    args=[("queue", str), ("exchange", str), ("exchange_type", str), ("routing_key", str)],
    signature="<queue> [exchange [type [routing_key]]]",
)
async def add_consumer(
    state: State,
    queue: str,
    exchange: str | None = None,
    exchange_type: str | None = None,
    routing_key: str | None = None,
    **options: Any,
) -> dict[str, str]:
    """Consume one more queue; one that the app does not list is declared as is said here.

    One that the broker has otherwise is left out, and the answer says what it has.
    """
    consuming, listed = state.node.consuming, state.app.amqp.queues
    if queue in consuming.names:
        return ok(f"already consuming from {queue}")
    consuming.check(queue)
    is_new = queue not in listed
    if is_new:
        options |= {"exchange": exchange or queue, "exchange_type": exchange_type or "direct"}
        listed.add(queue, routing_key=routing_key, **options)
    try:
        with contextlib.suppress(OperationalError):  # the next claim tries it again
            await state.node.attend([queue])
    except ImproperlyConfigured:
        if is_new:
            listed.pop(queue, None)
        raise
    if is_new:
        consuming.listed_here.add(queue)
    consuming.add(queue)
    concern = no_ack_concern([queue], listed)
    if concern is not None:
        logger.warning("%s", concern)
        return ok(f"add consumer {queue} (its no_ack=True has no effect)")
    return ok(f"add consumer {queue}")


@built_in("control", args=[("queue", str)], signature="<queue>")
async def cancel_consumer(state: State, queue: str, **more: Any) -> dict[str, str]:
    """Consume a queue no more; what was claimed of it still runs."""
    consuming = state.node.consuming
    consuming.cancel(queue)
    if queue in consuming.listed_here:
        consuming.listed_here.discard(queue)
        state.app.amqp.queues.pop(queue, None)
    return ok(f"no longer consuming from {queue}")


@built_in("inspect")
def active_queues(state: State) -> list[dict[str, Any]]:
    """List the queues that are consumed."""
    return [described(state.app, name) for name in state.node.consuming.names]


def described(app: Celery, name: str) -> dict[str, Any]:
    """Describe a queue as Celery's workers do."""
    listed = app.amqp.queues
    found = listed.find(name) or listed.new_missing(name)
    return found.as_dict(recurse=True)
