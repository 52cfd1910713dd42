"""The start of a chord's join: by the program that sends the header, or with the outcome of the run that does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from celeriac.app.context import Context, worker_context
from celeriac.app.members import join_message
from celeriac.app.result_set import ResultSet
from celeriac.app.result_tree import result_from_tuple
from celeriac.brokers.joins import JoinEffects, JoinStart
from celeriac.canvas.plan import Join
from celeriac.canvas.signature import maybe_signature

if TYPE_CHECKING:
    from celeriac.app.application import Celery


def check_joins(app: Celery) -> None:
    """Raise where nothing can count the members of a chord.

    Raises:
        NotImplementedError: results are not kept, or by a backend that does not count.
    """
    backend = app.backend
    if backend is None:
        raise NotImplementedError(
            "a chord needs a result backend, which counts the members of its header; set `result_backend`"
        )
    if backend.sends_answers:
        raise NotImplementedError(
            f"{backend.url} sends results to their callers and keeps none, so nothing can count the members of a chord "
            "(a group that something follows is one as well); set `result_backend` to redis://… or sqlite:///…"
        )
    if not backend.counts_members:
        raise NotImplementedError(
            f"the result backend {backend.url} cannot count the members of chords in this version of celeriac; "
            "redis:// and sqlite:// can"
        )


def start_of(join: Join, app: Celery, parent: Context | None) -> JoinStart:
    """Return what starts the join of a chord that a run sends, or a program outside of one."""
    check_joins(app)
    parent_id = None if parent is None else parent.id
    root_id = None if parent is None else parent.root_id or parent.id
    headers = None if parent is None else parent.headers
    message = join_message(join.body, join.group_id, parent_id=parent_id, root_id=root_id, headers=headers, app=app)
    return JoinStart(join.group_id, join.size, message, _lists_of(join.header, app))


def start_now(join: Join, app: Celery, parent: Context | None) -> None:
    """Start the join of a chord whose last members go out next.

    Raises:
        OperationalError: the backend cannot be reached; those of the header that were published run in vain.
    """
    start = start_of(join, app, parent)
    backend = app.backend
    assert backend is not None, "check_joins has looked"
    complete = backend.join([JoinEffects(starts=(start,))])
    if complete:  # members that were sent before have ended, which completes it where it counts fewer than it has
        app.sender.publish(complete)


def start_unlocked(group_id: str, body: dict[str, Any], results: Sequence[Any], app: Celery) -> None:
    """Have the run that is under way start the join of a chord whose members are on their way already.

    Args:
        results: of the members, in the form of records, as ``celery.chord_unlock`` gets them.
    """
    context = worker_context()
    header = result_from_tuple([[group_id, None], list(results)], app)
    size = sum(_size_of(each) for each in header.results)
    join = Join(group_id, maybe_signature(body, app=app), size, header)
    start = start_of(join, app, context)
    if context is not None:
        context.note_joins(JoinEffects(starts=(start,)))


def _size_of(result: Any) -> int:
    return sum(_size_of(each) for each in result.results) if isinstance(result, ResultSet) else 1


def _lists_of(header: Any, app: Celery) -> bytes | None:
    """Return the record of a header that has groups in it, so that the body gets lists in lists; else None."""
    if not header.has_groups:
        return None
    return app.write_group(header)
