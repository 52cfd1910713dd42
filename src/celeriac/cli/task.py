"""`celeriac task`: which tasks there are, what is known of one run, and how to end it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import click

from celeriac import states
from celeriac.app.application import Celery
from celeriac.app.task import Task
from celeriac.brokers.revocations import Revocation
from celeriac.cli.apps import open_app
from celeriac.cli.asking import destructive, go_ahead
from celeriac.cli.output import plural
from celeriac.cli.pages import Group
from celeriac.cli.result import as_json, details
from celeriac.cli.session import Session, pass_session
from celeriac.cli.values import seconds, some_text
from celeriac.wire.control import signal_name
from celeriac.wire.reprs import bounded_repr

COLUMNS: Final = ("task", "queue", "about")

_BUILT_IN: Final = "celery."
_SHOWN: Final = (
    *("max_retries", "default_retry_delay", "autoretry_for", "acks_late", "ignore_result", "track_started", "priority"),
    *("expires", "serializer", "compression", "time_limit", "soft_time_limit", "rate_limit", "rate_limit_scope"),
    *("concurrency_limit", "concurrency_key", "unique_for", "unique_key", "on_conflict", "sensitive", "throws"),
)
"""Options that are shown of a task when they say something."""


@click.group("task", cls=Group)
def task() -> None:
    """See tasks and what became of their runs; revoke or cancel runs."""


@task.command("list")
@click.option("--all", "everything", is_flag=True, help="Also those that every app has.")
@pass_session
def list_tasks(session: Session, /, everything: bool) -> None:
    """List the tasks that are registered in the app."""
    app = open_app(session)
    app.load_tasks()
    names = sorted(name for name in app.tasks if everything or not name.startswith(_BUILT_IN))
    if not names:
        session.output.say("No tasks are registered; the app names their modules in `include` or `imports`.")
    session.output.table(COLUMNS, [_facts(app, app.tasks[name]) for name in names])


def _facts(app: Celery, one: Task[..., Any]) -> dict[str, Any]:
    about = (one.__doc__ or "").strip().partition("\n")[0]
    queue = app.builder.queue_of(one)
    options = {name: getattr(one, name, None) for name in _SHOWN}
    said = {name: value for name, value in options.items() if value not in (None, (), False)}
    return {"task": one.name, "queue": queue, "about": about or None, "options": _as_data(said)}


def _as_data(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options as JSON can carry them: classes and functions by what they are called."""
    return {name: _plain(value) for name, value in options.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return getattr(value, "__qualname__", value)


@task.command("show")
@click.argument("name_or_id", type=some_text, metavar="NAME|ID")
@pass_session
def show(session: Session, /, name_or_id: str) -> None:
    """Show the options of a task, or what is known of a run.

    Of a run: its state and what its record says, whether a worker holds its message now, and whether it is revoked.
    """
    app = open_app(session)
    app.load_tasks()
    known = _facts(app, app.tasks[name_or_id]) if name_or_id in app.tasks else _known_of(app, name_or_id)
    if session.json:
        session.output.document(known)
        return
    options = known.pop("options", {})
    for name, value in {**known, **options}.items():
        text = value if isinstance(value, (str, int)) else bounded_repr(value)
        session.output.line(f"{name:<20} {text}")


def _known_of(app: Celery, task_id: str) -> dict[str, Any]:
    """Return what is known of a run.

    Raises:
        click.ClickException: nothing is, and there is no task of that name either.
    """
    run = app.AsyncResult(task_id)
    is_recorded = app.backend is not None and run.exists()
    is_held = bool(app.broker.claimed([task_id]))
    revocation = app.broker.revoked([task_id]).get(task_id)
    if not (is_recorded or is_held or revocation):
        raise click.ClickException(
            f"nothing is known of {task_id!r}: no task of that name is registered, no result is recorded and no worker "
            "holds such a message. One that waits in a queue is not to be found by its id."
        )
    known: dict[str, Any] = {"task_id": task_id, "state": run.state if is_recorded else states.PENDING}
    if is_recorded:
        ended = as_json(run, run.result) if run.ready() else {}
        known |= {**{name: value for name, value in ended.items() if value is not None}, **details(run)}
    known["held_by_a_worker"] = is_held
    return known | ({} if revocation is None else {"revoked": _said_by(revocation)})


def _said_by(revocation: Revocation) -> dict[str, Any]:
    said = {
        "at": datetime.fromtimestamp(revocation.at, UTC).astimezone().isoformat(timespec="seconds"),
        "reason": revocation.reason,
        "by": revocation.by,
        "terminate": revocation.signal if revocation.terminate else None,
        "cancel": revocation.cancel or None,
        "grace": revocation.grace,
    }
    return {name: value for name, value in said.items() if value is not None}


def _signal(text: str) -> str:
    """Read the name or number of a signal."""
    try:
        return signal_name(text)
    except ValueError as error:
        raise click.BadParameter(f"{error}.") from error


_ids = click.argument("ids", type=some_text, nargs=-1, required=True, metavar="ID...")


@task.command("revoke")
@_ids
@click.option("--terminate", is_flag=True, help="Also end what is under way, by killing its process.")
@click.option("--signal", type=_signal, default="SIGTERM", show_default=True, help="With that signal.")
@click.option("--reason", metavar="TEXT", help="Why, for people.")
@destructive
@pass_session
def revoke(
    session: Session,
    /,
    ids: Sequence[str],
    terminate: bool,
    signal: str,
    reason: str | None,
    yes: bool,
    dry_run: bool,
) -> int:
    """Have runs not begin, now or later. Prints their ids.

    It is stored, for all workers and for those to come. What is under way goes on, unless it is terminated.
    """
    app = open_app(session)
    control = app.control
    how = f"Terminate, by {signal}," if terminate else "Revoke"
    return _end(
        session,
        app,
        ids,
        "revoked",
        question=how,
        end=lambda chosen: control.revoke(chosen, terminate=terminate, signal=signal, reason=reason),
        yes=yes,
        dry_run=dry_run,
    )


@task.command("cancel")
@_ids
@click.option("--reason", metavar="TEXT", help="Why: what the run is told.")
@click.option("--grace", type=seconds, metavar="SECONDS", help="Kill what has not ended by then.")
@destructive
@pass_session
def cancel(
    session: Session, /, ids: Sequence[str], reason: str | None, grace: float | None, yes: bool, dry_run: bool
) -> int:
    """Have runs not begin, or end with TaskCancelled when they are under way. Prints their ids."""
    app = open_app(session)
    control = app.control
    return _end(
        session,
        app,
        ids,
        "cancelled",
        question="Cancel",
        end=lambda chosen: control.cancel(chosen, reason, grace),
        yes=yes,
        dry_run=dry_run,
    )


def _end(
    session: Session,
    app: Celery,
    ids: Sequence[str],
    done: str,
    *,
    question: str,
    end: Callable[[list[str]], object],
    yes: bool,
    dry_run: bool,
) -> int:
    chosen = list(dict.fromkeys(ids))
    counted = f"{len(chosen):,} {plural('run', len(chosen))}"
    known = known_before(app, chosen)
    if not dry_run:
        if not go_ahead(f"{question} {counted}?", yes=yes):
            session.output.say(f"Nothing was {done}.")
            return 1
        end(chosen)
    if session.json:
        session.output.document({f"would_be_{done}" if dry_run else done: chosen})
    else:
        for task_id in chosen:
            session.output.line(task_id)
    verb = "would be" if dry_run else "was" if len(chosen) == 1 else "were"
    session.output.say(f"{counted} {verb} {done}: {known}.")
    return 0


def known_before(app: Celery, ids: Sequence[str]) -> str:
    """Say in words what is known of runs that are about to be ended."""
    recorded = {} if app.backend is None else app.backend.get_many(ids)
    ended = {task_id for task_id, record in recorded.items() if record.state in states.READY_STATES}
    held = app.broker.claimed([task_id for task_id in ids if task_id not in ended])
    begun = recorded.keys() - ended - held
    counts = {
        "had ended before": len(ended),
        "may be held by a worker now": len(held),
        "had a record, but no worker": len(begun),
        "not known here, and kept from beginning should it wait in a queue": len(ids) - len(ended) - len(held | begun),
    }
    told = [what if count == len(ids) else f"{count:,} {what}" for what, count in counts.items() if count]
    return ", ".join(told)
