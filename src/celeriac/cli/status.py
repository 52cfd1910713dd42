"""`celeriac status`: which nodes are there."""

from __future__ import annotations

import click

from celeriac.cli.apps import open_app
from celeriac.cli.pages import Command
from celeriac.cli.remote import Answers, NobodyAnswered, count_line, remote_options
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
    if not answers:
        raise NobodyAnswered
    if session.json:
        session.output.document(answers)
    elif not session.quiet:
        session.output.line(count_line(len(answers)))
    return 0
