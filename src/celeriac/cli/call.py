"""`celeriac call`: publish one call of a task by its name."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

import click

from celeriac.app.application import Celery
from celeriac.cli.apps import open_app
from celeriac.cli.pages import Command
from celeriac.cli.session import Session, pass_session
from celeriac.cli.values import instant, instant_or_seconds, json_array, json_object, seconds, some_text


@click.command("call", cls=Command)
@click.argument("name", type=some_text)
@click.option("-a", "--args", type=json_array, default="[]", metavar="JSON", help="Positional arguments, an array.")
@click.option("-k", "--kwargs", type=json_object, default="{}", metavar="JSON", help="Keyword arguments, an object.")
@click.option("--countdown", type=seconds, metavar="SECONDS", help="Run it not before so many seconds from now.")
@click.option("--eta", type=instant, metavar="TIME", help="Run it not before this time (ISO 8601).")
@click.option("--expires", type=instant_or_seconds, metavar="TIME|SECONDS", help="Do not start it after this time.")
@click.option("--queue", type=some_text, metavar="NAME", help="Queue to put it in, whatever the routes say.")
@click.option("--exchange", metavar="NAME", help="Exchange to send it to, which leads on to queues.")
@click.option("--routing-key", metavar="KEY", help="What that leads on by.")
@click.option("--priority", type=click.IntRange(0, 255), metavar="N", help="0 is served first.")
@click.option("--task-id", type=some_text, metavar="ID", help="Id of the call, instead of a new one.")
@click.option("--serializer", type=click.Choice(["json"]), help="How the arguments travel.")
@pass_session
def call(session: Session, /, name: str, **options: Any) -> None:
    """Call the task NAME and print the id of the call.

    The task need not be known here: any worker that knows it will run it.

    \b
      celeriac -A shop call shop.pay -a '[1200]' -k '{"currency": "EUR"}'
      celeriac -A shop call shop.remind --countdown 3600
    """
    if options["countdown"] is not None and options["eta"] is not None:
        raise click.UsageError("--countdown and --eta exclude each other.")
    app = open_app(session)
    _note_unknown(session, name, app)
    result = app.send_task(name, **{key: value for key, value in options.items() if value is not None})
    if session.json:
        session.output.document({"task_id": result.id, "task": name})
    else:
        session.output.line(result.id)


def _note_unknown(session: Session, name: str, app: Celery) -> None:
    """Warn of a name that may be misspelled: the workers would wait 10 minutes for a node that knows it."""
    known = list(app.tasks)
    complete = not (app.conf.imports or app.conf.include)
    if complete and known and name not in app.tasks:
        near = get_close_matches(name, known, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        session.output.warn(f"the app has no task {name!r}{hint}")
