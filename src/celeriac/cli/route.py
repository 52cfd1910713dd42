"""`celeriac route`: where calls of a task go, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from celeriac.app.application import Celery
from celeriac.brokers.routing import Trial
from celeriac.cli.apps import open_app
from celeriac.cli.pages import Group
from celeriac.cli.session import Session, pass_session
from celeriac.cli.values import json_array, json_object, some_text
from celeriac.exceptions import QueueNotFound
from celeriac.message import Message
from celeriac.wire.reprs import bounded_repr


@click.group("route", cls=Group)
def route() -> None:
    """See where calls go."""


@route.command("explain")
@click.argument("task", type=some_text)
@click.option("-a", "--args", type=json_array, default="[]", metavar="JSON", help="Positional arguments of the call.")
@click.option("-k", "--kwargs", type=json_object, default="{}", metavar="JSON", help="Keyword arguments of the call.")
@click.option("--queue", type=some_text, metavar="NAME", help="The option queue= of the call.")
@click.option("--exchange", metavar="NAME", help="The option exchange= of the call.")
@click.option("--routing-key", metavar="KEY", help="The option routing_key= of the call.")
@click.option("--priority", type=click.IntRange(0, 255), metavar="N", help="The option priority= of the call.")
@pass_session
def explain(session: Session, /, task: str, args: Sequence[Any], kwargs: Mapping[str, Any], **options: Any) -> int:
    """Show which rules are tried for a call of TASK, what they say, and the queues that it reaches.

    Nothing is sent. The task need not be known here. Exits with 1 when the call would be an error.

    \b
      celeriac -A shop route explain shop.pay
      celeriac -A shop route explain shop.pay -k '{"country": "ch"}' --priority 3
    """
    app = open_app(session)
    app.load_tasks()
    said = {name: value for name, value in options.items() if value is not None}
    found = explained(app, task, args, kwargs, said)
    if session.json:
        session.output.document(found)
    else:
        _show(session, found)
    return 1 if "error" in found else 0


def explained(
    app: Celery, name: str, args: Sequence[Any], kwargs: Mapping[str, Any], options: Mapping[str, Any]
) -> dict[str, Any]:
    """Return how a call is routed, as data: rules, what was decided, queues; or the error that it would be."""
    task = app.tasks.get(name)
    trials = app.amqp.router.trials(name, args, kwargs, options, task)
    found: dict[str, Any] = {
        "task": name,
        "registered": task is not None,
        "options": dict(options),
        "rules": [{"rule": trial.rule, "says": _plain(trial)} for trial in trials],
    }
    try:
        said: Any = dict(options)
        message = app.builder.build(task if task is not None else name, args, kwargs, said)
        return found | _reached(app, message)
    except (QueueNotFound, ValueError, TypeError) as error:
        return found | {"error": str(error)}


def _plain(trial: Trial) -> Any:
    if trial.said is None:
        return None
    return {key: getattr(value, "name", value) for key, value in trial.said.items()}


def _reached(app: Celery, message: Message) -> dict[str, Any]:
    consumed = set(app.amqp.queues.consume_from)
    decided: dict[str, Any] = {"priority": message.priority}
    if message.route is None:
        queues = [message.queue]
        decided |= {"exchange": "", "routing_key": message.queue, "type": "direct"}
    else:
        queues = app.sender.queues_behind(message)
        route = message.route
        decided |= {"exchange": route.exchange, "routing_key": route.routing_key, "type": route.kind}
    left_out = [queue for queue in queues if queue not in consumed]
    return decided | {"queues": queues, "not_consumed_by_default": left_out}


def _show(session: Session, found: Mapping[str, Any]) -> None:
    say = session.output.line
    say(f"task         {found['task']}{'' if found['registered'] else '  (not registered here)'}")
    if found["options"]:
        say(f"options      {bounded_repr(found['options'])}")
    for number, rule in enumerate(found["rules"], 1):
        says = "-" if rule["says"] is None else bounded_repr(rule["says"])
        say(f"rule {number:<7} {rule['rule']}: {says}")
    if not found["rules"]:
        say("rules        none: task_routes is empty")
    elif found["rules"][-1]["says"] is None:
        say("decided by   the defaults: no rule says anything")
    if "error" in found:
        say(f"error        {found['error']}")
        return
    if found["exchange"]:
        say(f"exchange     {found['exchange']} ({found['type'] or 'type unknown'}), key {found['routing_key']!r}")
    say(f"queues       {', '.join(found['queues']) or 'none: the message reaches nobody'}")
    say(f"priority     {found['priority']}")
    if found["not_consumed_by_default"]:
        say(f"note         a worker without -Q does not work on {', '.join(found['not_consumed_by_default'])}")
