"""Tasks that every app has, under Celery's names: what canvases are made of on the wire."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from celeriac.app.bodies import add_join_task
from celeriac.app.members import JOIN_TASK
from celeriac.app.starting import start_unlocked
from celeriac.canvas.chord import chord
from celeriac.canvas.group import group
from celeriac.canvas.maps import chunks
from celeriac.canvas.signature import maybe_signature, signature

if TYPE_CHECKING:
    from celeriac.app.application import Celery


def add_builtin_tasks(app: Celery) -> None:
    """Give an app the tasks, except where it has one of that name itself."""

    def backend_cleanup() -> None:
        """Delete results that have expired."""
        backend = app.backend
        while backend is not None and backend.expire():
            continue

    def accumulate(*args: Any, index: int | None = None) -> Any:
        """Return one of the arguments, or all of them."""
        return args if index is None else args[index]

    def xmap(task: dict[str, Any], it: Iterable[Any]) -> list[Any]:
        """Call a task with each of many arguments."""
        function = _task_of(app, task)
        return [function(each) for each in it]

    def xstarmap(task: dict[str, Any], it: Iterable[Sequence[Any]]) -> list[Any]:
        """Call a task with each of many tuples of arguments."""
        function = _task_of(app, task)
        return [function(*each) for each in it]

    def chunk(task: dict[str, Any], it: Iterable[Any], n: int) -> Any:
        """Send calls in chunks, and return the result of the group that they are."""
        return chunks.apply_chunks(signature(task, app=app), it, n, app=app)

    def send_group(
        tasks: Iterable[dict[str, Any]],
        result: Any = None,
        group_id: str | None = None,
        partial_args: Sequence[Any] = (),
        add_to_parent: bool = True,
    ) -> Any:
        """Send the members of a group."""
        members = [maybe_signature(each, app=app, clone=True) for each in tasks]
        return group(members, app=app).apply_async(partial_args, task_id=group_id, add_to_parent=add_to_parent)

    def send_chord(header: Any, body: dict[str, Any], partial_args: Sequence[Any] = (), **how_to_poll: Any) -> Any:
        """Send a chord, for callers who leave that to a worker."""
        call = maybe_signature(body, app=app, clone=True)
        return chord(header, call, app=app).apply_async(partial_args, task_id=call.options.get("task_id"))

    def chord_unlock(group_id: str, callback: dict[str, Any], result: Any = (), **how_to_poll: Any) -> None:
        """Start the join of a chord, for callers who have a worker look again and again whether it is complete."""
        start_unlocked(group_id, callback, result, app)

    def chain(*args: Any, **kwargs: Any) -> None:
        """Raise: a chain is sent as its steps."""
        raise NotImplementedError("celery.chain is the name of a kind of signature, and no task that runs")

    for name, function in {
        "celery.accumulate": accumulate,
        "celery.backend_cleanup": backend_cleanup,
        "celery.chain": chain,
        "celery.chord": send_chord,
        "celery.chord_unlock": chord_unlock,
        "celery.chunks": chunk,
        "celery.group": send_group,
        "celery.map": xmap,
        "celery.starmap": xstarmap,
    }.items():
        if name not in app.tasks:
            make: Any = app.task(name=name, typing=False)
            make(function)
    if JOIN_TASK not in app.tasks:
        add_join_task(app)


def _task_of(app: Celery, task: dict[str, Any]) -> Any:
    return maybe_signature(task, app=app, clone=True)
