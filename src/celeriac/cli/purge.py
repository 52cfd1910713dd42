"""`celeriac purge`: delete what waits in queues."""

from __future__ import annotations

from collections.abc import Mapping

import click

from celeriac.cli.apps import open_app
from celeriac.cli.asking import destructive, go_ahead
from celeriac.cli.output import plural
from celeriac.cli.pages import Command
from celeriac.cli.session import Session, pass_session
from celeriac.cli.values import names


@click.command("purge", cls=Command)
@click.option("-Q", "--queues", type=names, metavar="A,B", help="Only these queues, instead of all.")
@click.option("-X", "--exclude-queues", type=names, default="", metavar="A,B", help="Leave out these queues.")
@destructive
@pass_session
def purge(
    session: Session,
    /,
    queues: tuple[str, ...] | None,
    exclude_queues: tuple[str, ...],
    yes: bool,
    dry_run: bool,
) -> int:
    """Delete the messages that wait in queues, delayed ones too.

    Nothing brings them back. What workers have claimed stays, and so do dead letters.
    """
    broker = open_app(session).broker
    waiting = {depth.queue: depth.ready + depth.delayed for depth in broker.depths(queues)}
    waiting = {queue: count for queue, count in waiting.items() if count and queue not in exclude_queues}
    if dry_run or not waiting:
        _report(session, waiting, done=not dry_run)
        return 0
    for queue, count in waiting.items():
        session.output.say(f"  {queue}: {count:,}")
    if not go_ahead(f"Delete {_counted(waiting)} for good?", yes=yes):
        session.output.say("Nothing was deleted.")
        return 1
    _report(session, {queue: broker.purge(queue) for queue in waiting}, done=True)
    return 0


def _report(session: Session, counts: Mapping[str, int], *, done: bool) -> None:
    if session.json:
        session.output.document({"purged" if done else "would_purge": counts})
    else:
        session.output.line(f"{'Purged' if done else 'Would purge'} {_counted(counts)}.")


def _counted(counts: Mapping[str, int]) -> str:
    total = sum(counts.values())
    return f"{total:,} {plural('message', total)} from {len(counts)} {plural('queue', len(counts))}"
