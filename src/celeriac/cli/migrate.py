"""`celeriac migrate`: from here to elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import click

from celeriac.app.application import Celery
from celeriac.brokers.base import Incarnation
from celeriac.brokers.leaving import Leaving
from celeriac.cli import letters
from celeriac.cli.apps import open_app
from celeriac.cli.asking import destructive, go_ahead
from celeriac.cli.output import plural
from celeriac.cli.pages import Group
from celeriac.cli.session import Session, pass_session

_COLUMNS: Final = ("queue", "delayed", "claimed", "dead")


@click.group("migrate", cls=Group)
def migrate() -> None:
    """Move messages away from here."""


@migrate.command("back")
@click.option("--without-dead-letters", is_flag=True, help="Leave dead letters where they are.")
@destructive
@pass_session
def back(session: Session, /, without_dead_letters: bool, yes: bool, dry_run: bool) -> int:
    """Give everything back to Celery's workers: stop all nodes first.

    What waits in queues is there for them already. Back into the queues go future messages, what dead nodes had
    claimed, and dead letters, which run once more. Dead letters that no worker could read stay: some of them would
    stop a Celery worker. Nothing is lost when this is broken off; give the command again.
    """
    app = open_app(session)
    leaving = leaving_of(app)
    session.output.say("Looking for nodes that live ...")
    refuse_with_nodes(leaving.living())
    plan = _plan(app, with_letters=not without_dead_letters)
    if dry_run:
        _report(session, plan, done=False)
        return 0
    for row in plan.rows:
        session.output.say("  {queue}: {delayed:,} delayed, {claimed:,} claimed, {dead:,} dead".format_map(row))
    if not go_ahead(f"Put {_counted(plan.total)} back into Celery's queues?", yes=yes or not plan.total):
        session.output.say("Nothing was moved.")
        return 1
    leaving.announce_end()
    claimed = leaving.recover()
    delayed = sum(leaving.undelay().values())
    replayed = [task_id for chunk in letters.chunks(plan.letters) for task_id in app.dead_letters.replay(chunk)]
    _report(session, _Plan([], plan.letters, plan.unreadable, delayed, claimed, len(replayed)), done=True)
    return 0


@dataclass(frozen=True, slots=True)
class _Plan:
    """Say what goes back: by queue, and together."""

    rows: list[dict[str, object]]
    letters: Mapping[int, str]
    unreadable: int
    delayed: int
    claimed: int
    dead: int

    @property
    def total(self) -> int:
        return self.delayed + self.claimed + self.dead


def _plan(app: Celery, *, with_letters: bool) -> _Plan:
    depths = app.broker.depths()
    found = letters.choose(app.broker, numbers=(), queue=None, everything=True) if with_letters else {}
    readable = {number: task_id for number, task_id in found.items() if letters.is_readable(app.broker, number)}
    rows: list[dict[str, object]] = [
        {
            "queue": depth.queue,
            "delayed": depth.delayed,
            "claimed": depth.claimed,
            "dead": depth.dead if with_letters else 0,
        }
        for depth in depths
        if depth.delayed or depth.claimed or (depth.dead and with_letters)
    ]
    return _Plan(
        rows,
        readable,
        len(found) - len(readable),
        sum(depth.delayed for depth in depths),
        sum(depth.claimed for depth in depths),
        len(readable),
    )


def leaving_of(app: Celery) -> Leaving:
    """Return the way from an app's broker to Celery's workers.

    Raises:
        click.ClickException: its queues are not Celery's.
    """
    leaving = app.broker.leaving()
    if leaving is None:
        raise click.ClickException(f"Celery does not read the queues of {app.broker.url}; those of Redis it does.")
    return leaving


def refuse_with_nodes(living: list[Incarnation]) -> None:
    """Refuse to go on while nodes live, who would take everything back.

    Raises:
        click.ClickException: there are some; the text names them.
    """
    if living:
        names = ", ".join(f"{node.node} (pid {node.pid} on {node.host})" for node in living[:5])
        raise click.ClickException(
            f"{len(living)} {plural('node', len(living))} of celeriac would take the messages back: {names}"
            f"{' ...' if len(living) > 5 else ''}. Stop them first."
        )


def _report(session: Session, plan: _Plan, *, done: bool) -> None:
    counts = {"delayed": plan.delayed, "claimed": plan.claimed, "dead_letters": plan.dead}
    if session.json:
        session.output.document({"moved" if done else "would_move": counts, "left_unreadable": plan.unreadable})
    else:
        parts = f"{plan.delayed:,} delayed, {plan.claimed:,} claimed, {plan.dead:,} dead"
        session.output.line(f"{'Moved' if done else 'Would move'} {_counted(plan.total)}: {parts}.")
    if plan.unreadable:
        left = f"{plan.unreadable:,} {plural('dead letter', plan.unreadable)}"
        session.output.say(
            f"{'Left' if done else 'Would leave'} {left} that no worker could read; see `celeriac dlq list`."
        )


def _counted(total: int) -> str:
    return f"{total:,} {plural('message', total)}"
