"""`celeriac report`: what belongs into a bug report."""

from __future__ import annotations

import click

from celeriac.app.imports import ModuleFailed, ModuleMissing
from celeriac.cli.apps import app_to_look_at
from celeriac.cli.pages import Command
from celeriac.cli.session import Session, pass_session


@click.command("report", cls=Command, takes_json=False)
@pass_session
def report(session: Session, /) -> None:
    """Print what belongs into a bug report.

    Versions, the platform, the app, its broker and result backend, and the settings that are not at their defaults.
    Passwords and keys are not shown, nothing is connected to. `celeriac doctor` looks for what is wrong.
    """
    app = app_to_look_at(session)
    try:
        app.load_tasks()
    except (ModuleFailed, ModuleMissing) as error:  # that may be what is reported
        session.output.warn(str(error))
    session.output.line(app.bugreport().rstrip())
