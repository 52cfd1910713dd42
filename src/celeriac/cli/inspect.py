"""`celeriac inspect`: look at what nodes do."""

from __future__ import annotations

import click

from celeriac.cli.pages import Command
from celeriac.cli.remote import (
    Answers,
    app_for,
    arguments_for,
    list_option,
    remote_options,
    show_commands,
    show_who_answered,
)
from celeriac.cli.session import Session, pass_session


@click.command("inspect", cls=Command)
@click.argument("command", required=False)
@click.argument("arguments", nargs=-1)
@list_option("inspect")
@remote_options
@pass_session
def inspect(
    session: Session,
    /,
    command: str | None,
    arguments: tuple[str, ...],
    listed: bool,
    timeout: float,
    destination: tuple[str, ...] | None,
) -> int:
    """Ask nodes something, and show what they answer.

    `celeriac inspect --list` shows what they can be asked. Workers of Celery answer as well, where they share the
    broker.

    \b
      celeriac inspect active
      celeriac inspect query_task ID -d w1@host
      celeriac inspect registered max_retries
    """
    if listed:
        show_commands(session, "inspect")
        return 0
    if command is None:
        raise click.UsageError("name a command; --list shows them.")
    app, info = app_for(session, "inspect", command)
    said = arguments_for(info, command, arguments)
    shown = Answers(session.output)
    answers = app.control.inspect(
        destination=destination, timeout=timeout, callback=None if session.json else shown.show
    )._request(command, **said)
    show_who_answered(session, answers)
    return 0
