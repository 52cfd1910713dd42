"""`celeriac list`: what leads where."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Final

import click

from celeriac.app.application import Celery
from celeriac.brokers.topology import Binding
from celeriac.cli.apps import open_app
from celeriac.cli.pages import Group
from celeriac.cli.session import Session, pass_session

COLUMNS: Final = ("queue", "exchange", "kind", "routing key")

_WITHIN: Final = 10.0


@click.group("list", cls=Group)
def listing() -> None:
    """See what leads to queues."""


@listing.command("bindings")
@click.argument("exchanges", nargs=-1, metavar="[EXCHANGE]...")
@pass_session
def bindings(session: Session, /, exchanges: tuple[str, ...]) -> None:
    """List what leads from exchanges to queues; without names, from those of the app's queues.

    Redis and SQLite tell what programs have declared there. RabbitMQ tells no client: from there it is what this app
    declares.
    """
    rows = [
        {
            "queue": one.queue,
            "exchange": one.exchange,
            "kind": one.kind,
            "routing key": one.routing_key,
            "arguments": one.arguments,
        }
        for one in bindings_of(open_app(session), exchanges)
    ]
    if not rows:
        session.output.say("Nothing leads from there to any queue.")
    session.output.table(COLUMNS, rows)


def bindings_of(app: Celery, exchanges: Iterable[str] = ()) -> list[Binding]:
    """Return what leads from exchanges to queues, each once, in the order of queues."""
    deadline_at = time.monotonic() + _WITHIN
    declared = [lead for queue in app.amqp.queues.values() for lead in queue.leads_here()]
    wanted = dict.fromkeys(exchanges or [lead.exchange for lead in declared])
    found = {
        (one.queue, one.exchange, one.routing_key): one
        for exchange in wanted
        for one in (
            *(lead for lead in declared if lead.exchange == exchange),
            *app.broker.bindings(exchange, deadline_at=deadline_at),
        )
    }
    return sorted(found.values(), key=lambda one: (one.queue, one.exchange, one.routing_key))
