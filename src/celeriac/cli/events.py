"""`celeriac events`: see what nodes and tasks do, as it happens."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from celeriac.app.application import Celery
from celeriac.cli.apps import open_app
from celeriac.cli.output import draws_pages
from celeriac.cli.pages import Command
from celeriac.cli.session import Session, pass_session
from celeriac.cli.values import seconds, some_text


@click.command("events", cls=Command)
@click.option("-d", "--dump", is_flag=True, help="Write a line for each event, instead of a table.")
@click.option("-c", "--camera", type=some_text, metavar="CLASS", help="Have a camera take snapshots: module.Class.")
@click.option("-F", "--frequency", "--freq", type=seconds, default="1", metavar="SECONDS", help="Time between two.")
@click.option("-r", "--maxrate", type=some_text, metavar="RATE", help="Take no more snapshots than that, such as 10/m.")
@pass_session
def events(session: Session, /, dump: bool, camera: str | None, frequency: float, maxrate: str | None) -> int:
    """See what nodes and tasks do, until Ctrl-C.

    On a terminal a table shows nodes and the newest tasks; elsewhere, and with --dump, every event is a line, and with
    --json a JSON object on a line. Nodes send events of tasks when they were started with -E, or after
    `celeriac control enable_events`.

    \b
      celeriac -A shop events
      celeriac -A shop events --json | jq 'select(.type == "task-failed")'
      celeriac -A shop events --camera shop.cameras.Ledger --freq 5
    """
    if dump and camera:
        raise click.UsageError("--dump and --camera exclude each other.")
    if session.json and camera:
        raise click.UsageError("--json: what a camera shows is up to the camera.")
    app = open_app(session)
    if camera is not None:
        take_snapshots(app, camera, frequency, maxrate)
    elif session.json:
        write_json(app)
    elif dump or not draws_pages(color=None):
        from celeriac.app.events.dumper import evdump

        evdump(app)
    else:
        from celeriac.cli.events_screen import show

        show(app, color=session.color)
    return 0


def take_snapshots(app: Celery, camera: str, frequency: float, maxrate: str | None) -> None:
    """Have a camera look, until somebody interrupts."""
    from celeriac.app.events.snapshot import evcam
    from celeriac.app.timing import interval_of

    try:
        interval_of(maxrate)
    except (ValueError, KeyError):
        raise click.UsageError(f"--maxrate: a rate such as 10/m is needed, got {maxrate!r}.") from None
    evcam(camera, freq=frequency, maxrate=maxrate, app=app)


def write_json(app: Celery) -> None:
    """Write every event as a JSON object on a line."""
    from celeriac.app.events.snapshot import hear_for_ever

    def write(event: dict[str, Any]) -> None:
        sys.stdout.write(json.dumps(event, default=str) + "\n")
        sys.stdout.flush()

    hear_for_ever(app, {"*": write})
