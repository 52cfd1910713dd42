"""`celeriac queue`: what queues hold."""

from __future__ import annotations

from typing import Final

import click
import msgspec

from celeriac.cli.apps import open_app
from celeriac.cli.pages import Group
from celeriac.cli.session import Session, pass_session
from celeriac.cli.values import names

COLUMNS: Final = ("queue", "ready", "delayed", "claimed", "dead")


@click.group("queue", cls=Group)
def queue() -> None:
    """See what queues hold."""


@queue.command("list")
@click.option("-Q", "--queues", type=names, metavar="A,B", help="Only these, even when they are empty.")
@pass_session
def list_queues(session: Session, /, queues: tuple[str, ...] | None) -> None:
    """Count the messages of every queue that holds any.

    \b
      ready    wait for a worker
      delayed  wait for their time (ETA, countdown, retry)
      claimed  are with a worker
      dead     could not be settled: see `celeriac dlq`
    """
    depths = open_app(session).broker.depths(queues)
    if not depths:
        session.output.say("All queues are empty.")
    session.output.table(COLUMNS, [msgspec.structs.asdict(depth) for depth in depths])
