"""`celeriac queue`: what queues hold, and where future messages are kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import click
import msgspec

from celeriac.brokers.joins import JOINS_QUEUE
from celeriac.cli.apps import open_app
from celeriac.cli.asking import destructive, go_ahead
from celeriac.cli.migrate import leaving_of, refuse_with_nodes
from celeriac.cli.output import plural
from celeriac.cli.pages import Group
from celeriac.cli.session import Session, pass_session
from celeriac.cli.values import names

COLUMNS: Final = ("queue", "ready", "delayed", "claimed", "dead")


@click.group("queue", cls=Group)
def queue() -> None:
    """See what queues hold; give future messages to Celery."""


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

    \b
    In celeriac:joins are chords whose members have all ended: any node takes
    them, and sends their bodies.
    """
    depths = open_app(session).broker.depths(queues)
    if not depths:
        session.output.say("All queues are empty.")
    session.output.table(COLUMNS, [msgspec.structs.asdict(depth) for depth in depths])
    if any(depth.queue == JOINS_QUEUE for depth in depths):
        session.output.say(f"{JOINS_QUEUE} holds chords whose members have all ended; any node sends their bodies.")


@queue.command("undelay")
@click.option("-Q", "--queues", type=names, metavar="A,B", help="Only messages of these queues.")
@destructive
@pass_session
def undelay(session: Session, /, queues: tuple[str, ...] | None, yes: bool, dry_run: bool) -> int:
    """Put future messages into their queues, where Celery's workers wait for their time.

    Nodes of celeriac would set them apart again: stop them first. `celeriac migrate back` does this and the rest.
    """
    app = open_app(session)
    leaving = leaving_of(app)
    counts = {depth.queue: depth.delayed for depth in app.broker.depths(queues) if depth.delayed}
    total = sum(counts.values())
    if dry_run:
        _report(session, counts, done=False)
        return 0
    session.output.say("Looking for nodes that live ...")
    refuse_with_nodes(leaving.living())
    if not go_ahead(f"Put {total:,} {plural('message', total)} into Celery's queues?", yes=yes or not total):
        session.output.say("Nothing was moved.")
        return 1
    leaving.announce_end()
    _report(session, leaving.undelay(queues), done=True)
    return 0


def _report(session: Session, counts: Mapping[str, int], *, done: bool) -> None:
    if session.json:
        session.output.document({"undelayed" if done else "would_undelay": dict(counts)})
    else:
        total = sum(counts.values())
        session.output.line(f"{'Undelayed' if done else 'Would undelay'} {total:,} {plural('message', total)}.")
