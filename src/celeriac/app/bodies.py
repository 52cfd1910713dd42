"""The task that makes the body of a chord, when all members of the header have ended.

It runs for the internal message of a join (`members.py`), as a run that is replaced by another: by the body, whose id
it has. When a member has failed it fails in the body's stead.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from celeriac.app.context import Context
from celeriac.app.follow import after_failure, call_inline
from celeriac.app.members import JOIN_TASK
from celeriac.app.result_set import ResultSet
from celeriac.app.task import Task
from celeriac.app.trace import in_one_step
from celeriac.backends.base import ResultBackend
from celeriac.brokers.joins import JoinEffects
from celeriac.canvas.group import group
from celeriac.canvas.links import listed
from celeriac.canvas.signature import Signature, maybe_signature
from celeriac.exceptions import ChordError, Ignore, OperationalError
from celeriac.states import PROPAGATE_STATES
from celeriac.wire.members import read_item
from celeriac.wire.results import exception_from_map

if TYPE_CHECKING:
    from celeriac.app.application import Celery
    from celeriac.backends.joins import KeptJoin

logger: Final = logging.getLogger("celeriac.trace")

_LOOKS: Final = 12
_LONGEST_WAIT: Final = 60
_OF_EACH_CLASS: Final = ("__dict__", "__weakref__", "__annotations__", "__orig_bases__", "__parameters__", "__doc__")


class _NotCounted(Exception):
    """Say that a join is complete by its numbers and not by its members.

    Celery before 5.7 sets the number of a header anew when a chain in it sends the group that it ends in.
    """


def add_join_task(app: Celery) -> None:
    """Give an app the task, which does the same whatever its other tasks are made of."""
    make: Any = app.task(
        name=JOIN_TASK,
        base=_as_plain(app.Task),
        bind=True,
        typing=False,
        acks_late=True,
        acks_on_failure_or_timeout=True,
        reject_on_worker_lost=True,
        ignore_result=False,
        send_events=False,
        track_started=False,
        rate_limit=0,
        max_retries=None,
        autoretry_for=(),
    )

    def join(self: Task[..., Any], group_id: str, body: dict[str, Any]) -> None:
        """Send the body of a chord with what its members returned, or fail in its stead."""
        backend, context = app.backend, self.request
        if backend is None:
            raise ChordError(f"the chord of group {group_id} cannot be joined: this node keeps no results")
        try:
            kept = backend.kept_join(group_id)
            if kept is None:
                _look_again(self, group_id)
            elif not kept.is_joined:
                _send_body(context, group_id, kept, maybe_signature(body, app=app), backend, app)
        except (OperationalError, _NotCounted) as error:
            raise self.retry(exc=error, countdown=_wait(context.retries)) from error
        context.is_replaced = True
        raise Ignore(f"the body of the chord of group {group_id} takes its place")

    make(join)


def _as_plain(kind: type[Task[..., Any]]) -> type[Task[..., Any]]:
    """Return a class that does as `Task` does, and has what another one has besides, which receivers may ask for."""
    own = {name: value for base in reversed(Task.__mro__[:-1]) for name, value in vars(base).items()}
    for name in (*_OF_EACH_CLASS, "app"):
        own.pop(name, None)
    try:
        return type("JoinTask", (kind,), own)
    except Exception:  # noqa: BLE001 - a class of users may refuse to have subclasses, and chords must come to their end
        return Task


def _look_again(task: Task[..., Any], group_id: str) -> None:
    """Try again later: the join may be kept elsewhere, where another node looks."""
    gone = ChordError(f"the members of group {group_id} are gone: nothing is kept of its chord in {task.app.backend}")
    raise task.retry(exc=gone, countdown=_wait(task.request.retries), max_retries=_LOOKS)


def _wait(retries: int) -> int:
    return min(1 << min(retries, 10), _LONGEST_WAIT)


def _send_body(
    context: Context, group_id: str, kept: KeptJoin, call: Signature[Any], backend: ResultBackend, app: Celery
) -> None:
    """Have the body published with the outcome of this run.

    Raises:
        ChordError: a member has failed, or the body cannot be sent. Where the body is a group: what it came from.
        OperationalError: the backend cannot be reached.
        _NotCounted: a member is missing that may still end.
    """
    context.note_joins(JoinEffects(joined=(group_id,)))
    try:
        values = _values(group_id, kept, backend, app)
        options = {"parent_id": context.parent_id, "root_id": context.root_id}
        context.following.extend(app.canvas.following(call, (values,), options, context)[0])
        return
    except OperationalError:
        context.joins = None
        raise
    except _NotCounted as error:
        if context.retries < _LOOKS:
            context.joins = None
            raise
        failure = ChordError(f"Join error: {error}")
    except ChordError as error:
        failure = error
    except Exception as error:  # noqa: BLE001 - whatever it is, the body cannot be sent, and somebody waits for it
        failure = ChordError(f"Callback error: {error!r}")
        failure.__cause__ = error
    raise _failed(context, call, failure, app)


def _failed(context: Context, body: Signature[Any], error: ChordError, app: Celery) -> BaseException:
    """Have errbacks and records told of the body, and not of this task; return what it fails with.

    As in Celery the members of a group fail with the reason itself, and have errbacks of their own, told of their ids.
    """
    context.task, context.args, context.kwargs = body.task, body.args, body.kwargs
    if not isinstance(body, group):
        return error
    reason = error.__cause__ or error
    for member in body.tasks:
        run = Context(
            id=member.options.get("task_id"),
            task=member.task,
            errbacks=listed(member.options.get("link_error")),
            root_id=context.root_id,
        )
        messages, inline = after_failure(run, reason, app=app)
        context.following.extend(messages)
        in_one_step(call_inline(inline, run, reason, None, wait_for=app.eager.wait_for))
    return reason


def _values(group_id: str, kept: KeptJoin, backend: ResultBackend, app: Celery) -> list[Any]:
    """Return what the members returned, in the order of the header, in lists where it is made of lists.

    Raises:
        ChordError: a member has not succeeded; the text names the first one.
        _NotCounted: the header has lists in it, and a member that is missing.
    """
    values: dict[str, Any] = {}
    ordered = []
    for chunk in backend.members(group_id):
        for one in chunk:
            try:
                item = read_item(one.item, app.conf.record_form)
            except Exception as error:
                raise ChordError(f"Join error: {error!r}") from error
            if item.state in PROPAGATE_STATES:
                raised = exception_from_map(item.value)
                raise ChordError(f"Dependency {item.task_id} raised {raised!r}") from raised
            ordered.append(item.value)
            values[item.task_id] = item.value
    if kept.header is None:
        return ordered
    try:
        return [_value_of(each, values) for each in app.read_group(kept.header).results]
    except KeyError as error:
        raise _NotCounted(f"member {error} of group {group_id} has not been counted") from error


def _value_of(result: Any, values: dict[str, Any]) -> Any:
    if isinstance(result, ResultSet):
        return [_value_of(each, values) for each in result.results]
    return values[result.id]
