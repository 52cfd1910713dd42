"""`celeriac control`: change what nodes do while they run."""

from __future__ import annotations

from typing import Any

import click

from celeriac.cli.pages import Command
from celeriac.cli.remote import (
    Answers,
    NobodyAnswered,
    app_for,
    arguments_for,
    list_option,
    remote_options,
    show_commands,
)
from celeriac.cli.session import Session, pass_session

FAILED = 1


@click.command("control", cls=Command)
@click.argument("command", required=False)
@click.argument("arguments", nargs=-1)
@list_option("control")
@click.option("--terminate", is_flag=True, help="With revoke...: also end what runs.")
@click.option("--signal", metavar="NAME", help="With --terminate: by this signal.")
@remote_options
@pass_session
def control(
    session: Session,
    /,
    command: str | None,
    arguments: tuple[str, ...],
    listed: bool,
    terminate: bool,
    signal: str | None,
    timeout: float,
    destination: tuple[str, ...] | None,
) -> int:
    """Tell nodes to do something, and show what they answer.

    `celeriac control --list` shows what they can be told. Workers of Celery obey as well, where they share the broker.

    \b
      celeriac control add_consumer mail -d w1@host
      celeriac control rate_limit shop.pay 10/m
      celeriac control pool_grow 2
    """
    if listed:
        show_commands(session, "control")
        return 0
    if command is None:
        raise click.UsageError("name a command; --list shows them.")
    app, info = app_for(session, "control", command)
    said = arguments_for(info, command, arguments) | _ending(command, terminate=terminate, signal=signal)
    shown = Answers(session.output)
    answers = app.control.broadcast(
        command,
        arguments=said,
        destination=destination,
        reply=True,
        timeout=timeout,
        callback=None if session.json else shown.show,
    )
    if not answers:
        raise NobodyAnswered
    for answer in answers:
        for value in answer.values():
            shown.note(value)
    if session.json:
        session.output.document(answers)
    return FAILED if shown.failed else 0


def _ending(command: str, *, terminate: bool, signal: str | None) -> dict[str, Any]:
    """Return what the options say that are for revoking only."""
    if not terminate and signal is None:
        return {}
    if command not in ("revoke", "revoke_by_stamped_headers"):
        raise click.UsageError(f"--terminate and --signal are for revoking, not for {command}.")
    return {"terminate": terminate, **({"signal": signal} if signal is not None else {})}
