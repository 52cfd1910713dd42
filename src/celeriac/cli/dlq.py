"""`celeriac dlq`: look at dead letters, and decide what becomes of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Sized
from typing import Any, Final

import click

from celeriac.cli import letters
from celeriac.cli.apps import open_app
from celeriac.cli.asking import destructive, go_ahead
from celeriac.cli.output import plural
from celeriac.cli.pages import Group
from celeriac.cli.session import Session, pass_session

Decorated = Callable[..., Any]

NUMBER: Final = click.IntRange(1, 2**63 - 1)


@click.group("dlq", cls=Group)
def dlq() -> None:
    """Look at dead letters: messages that no worker could settle."""


@dlq.command("list")
@click.option("-Q", "--queue", metavar="NAME", help="Only those that died in this queue.")
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True, metavar="N", help="How many.")
@pass_session
def list_letters(session: Session, /, queue: str | None, limit: int) -> None:
    """List dead letters, the newest first."""
    found = open_app(session).broker.dead_letters(queue=queue, limit=limit)
    if not found:
        session.output.say("There are no dead letters.")
    session.output.table(letters.COLUMNS, [letters.facts(letter) for letter in found])
    if len(found) == limit:
        session.output.say(f"There may be more than {limit}; --limit shows them.")


@dlq.command("show")
@click.argument("number", type=NUMBER)
@pass_session
def show(session: Session, /, number: int) -> None:
    """Show what is in dead letter NUMBER, and why it died."""
    letter = letters.opened(open_app(session).broker, number)
    if session.json:
        session.output.document(letter)
    else:
        for line in letters.lines(letter):
            session.output.line(line)


def selecting(command: Decorated) -> Decorated:
    """Add the ways to name dead letters: by number, by queue, or all."""
    command = click.option("--all", "everything", is_flag=True, help="All of them.")(command)
    command = click.option("-Q", "--queue", metavar="NAME", help="All that died in this queue.")(command)
    return click.argument("numbers", type=NUMBER, nargs=-1, metavar="[NUMBER]...")(command)


@dlq.command("replay")
@selecting
@destructive
@pass_session
def replay(
    session: Session, /, numbers: Sequence[int], queue: str | None, everything: bool, yes: bool, dry_run: bool
) -> int:
    """Put dead letters back into their queues, to run again under the same ids.

    Prints the ids. Asks first where the letters are not named by number.
    """
    app = open_app(session)
    broker = app.broker
    chosen = letters.choose(broker, numbers=numbers, queue=queue, everything=everything)
    if dry_run:
        return _report(session, "would_replay", list(chosen.values()))
    if not go_ahead(f"Replay {_counted(chosen)}?", yes=yes or bool(numbers) or not chosen):
        session.output.say("Nothing was replayed.")
        return 1
    ids = [task_id for chunk in letters.chunks(chosen) for task_id in app.dead_letters.replay(chunk)]
    return _report(session, "replayed", ids)


@dlq.command("discard")
@selecting
@destructive
@pass_session
def discard(
    session: Session, /, numbers: Sequence[int], queue: str | None, everything: bool, yes: bool, dry_run: bool
) -> int:
    """Delete dead letters. Nothing brings them back.

    Prints the ids of the calls that they were.
    """
    broker = open_app(session).broker
    chosen = letters.choose(broker, numbers=numbers, queue=queue, everything=everything)
    if dry_run:
        return _report(session, "would_discard", list(chosen.values()))
    if not go_ahead(f"Discard {_counted(chosen)} for good?", yes=yes or not chosen):
        session.output.say("Nothing was discarded.")
        return 1
    for chunk in letters.chunks(chosen):
        broker.discard(chunk)
    return _report(session, "discarded", list(chosen.values()))


def _report(session: Session, done: str, ids: Sequence[str]) -> int:
    if session.json:
        session.output.document({done: ids})
    else:
        for task_id in ids:
            session.output.line(task_id)
    session.output.say(f"{done.replace('_', ' ').capitalize()} {_counted(ids)}.")
    return 0


def _counted(chosen: Sized) -> str:
    return f"{len(chosen):,} {plural('dead letter', len(chosen))}"
