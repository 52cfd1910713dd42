"""`celeriac result`: what became of one call."""

from __future__ import annotations

from typing import Any

import click

from celeriac import states
from celeriac.app.application import Celery
from celeriac.app.result import AsyncResult
from celeriac.app.task import Task
from celeriac.cli.apps import open_app
from celeriac.cli.pages import Command
from celeriac.cli.session import Session, pass_session
from celeriac.cli.values import seconds
from celeriac.exceptions import DecodeError
from celeriac.wire.reprs import bounded_repr


@click.command("result", cls=Command)
@click.argument("task_id", metavar="ID")
@click.option("-t", "--task", metavar="NAME", help="Name of the task, which the app must know; the id alone is enough.")
@click.option("--traceback", is_flag=True, help="Print the traceback instead of the value.")
@click.option("--timeout", type=seconds, metavar="SECONDS", help="Wait no longer for it to end; 0 only looks.")
@pass_session
def result(session: Session, /, task_id: str, task: str | None, traceback: bool, timeout: float | None) -> int:
    """Print what the call ID returned.

    Waits until the run has ended. Says also when that was and which calls the run has sent, and, of records that were
    stored with `result_extended`, the task, its arguments, node, queue and retries.

    Ends with 0 when it returned, with 1 and the traceback when it failed, and with 75 when it had not ended by the
    timeout. An id that nobody has heard of is one whose run has not ended.
    """
    app = open_app(session)
    run = _task(app, task).AsyncResult(task_id) if task else app.AsyncResult(task_id)
    state = run.state
    if timeout != 0 and state not in states.READY_STATES:
        session.output.say(f"Task {task_id} is {state}; waiting for it to end.")
    value = run.get(timeout=timeout, propagate=False)
    if session.json:
        session.output.document(as_json(run, value))
    else:
        _say_details(session, run)
        _print(session, run, value, traceback=traceback)
    return 0 if run.successful() else 1


def _task(app: Celery, name: str) -> Task[..., Any]:
    if name not in app.tasks:
        app.load_tasks()
    return app.tasks[name]


def as_json(run: AsyncResult[Any], value: object) -> dict[str, object]:
    """Return what is known of a run that has ended, as JSON shows it."""
    failed = run.state in states.EXCEPTION_STATES
    return {
        "task_id": run.id,
        "state": run.state,
        "result": None if failed else value,
        "exception": _described(value) if failed else None,
        "traceback": run.traceback,
        **details(run),
    }


def details(run: AsyncResult[Any]) -> dict[str, Any]:
    """Return what is known of a run beside its end, without what is not known."""
    ended = run.date_done
    known = {
        "name": run.name,
        "args": run.args,
        "kwargs": run.kwargs,
        "worker": run.worker,
        "queue": run.queue,
        "retries": run.retries,
        "date_done": ended.isoformat() if ended is not None else None,
        "children": _children(run),
    }
    return {name: value for name, value in known.items() if value is not None}


def _children(run: AsyncResult[Any]) -> list[str] | None:
    try:
        return [child.id for child in run.children or ()] or None
    except DecodeError:
        return None


def _say_details(session: Session, run: AsyncResult[Any]) -> None:
    for name, value in details(run).items():
        text = ", ".join(value) if name == "children" else value if isinstance(value, str) else bounded_repr(value)
        session.output.say(f"{name}: {text}")


def _print(session: Session, run: AsyncResult[Any], value: object, *, traceback: bool) -> None:
    """Print the value or the traceback, whichever is asked for; a failure that is not asked for is talk."""
    failed = run.state in states.EXCEPTION_STATES
    account = (run.traceback or "").rstrip() or (_described(value) if failed else "")
    if traceback:
        if account:
            session.output.line(account)
    elif failed:
        click.echo(f"Task {run.id} ended in {run.state}.\n{account}", err=True)
    else:
        session.output.line(str(value))


def _described(error: object) -> str:
    return f"{type(error).__name__}: {error}"
