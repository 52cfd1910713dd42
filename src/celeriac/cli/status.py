"""`celeriac status`: which nodes are there."""

from __future__ import annotations

import click

from celeriac.cli.apps import open_app
from celeriac.cli.pages import Command
from celeriac.cli.remote import Answers, remote_options, show_who_answered
from celeriac.cli.session import Session, pass_session


@click.command("status", cls=Command)
@remote_options
@pass_session
def status(session: Session, /, timeout: float, destination: tuple[str, ...] | None) -> int:
    """List the nodes that answer, and workers of Celery, where they share the broker."""
    app = open_app(session)
    shown = Answers(session.output, with_bodies=False)
    answers = app.control.inspect(
        destination=destination, timeout=timeout, callback=None if session.json else shown.show
    ).ping()
    show_who_answered(session, answers)
    return 0
