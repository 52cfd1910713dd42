"""A run that adds a member to the chord that it is a member of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celeriac.app.composing import note_result
from celeriac.app.starting import check_joins
from celeriac.brokers.joins import JoinAddition, JoinEffects
from celeriac.canvas.places import places_of
from celeriac.canvas.signature import maybe_signature

if TYPE_CHECKING:
    from celeriac.app.application import Celery
    from celeriac.app.context import Context


def add_to_chord(sig: Any, context: Context, app: Celery, *, sends: bool) -> Any:
    """Have a chord wait for a call besides, and send it with the outcome of the run that adds it.

    Args:
        sends: False only settles that the chord waits for it, at once, and returns the call: whoever asked for that
            sends it when he likes.

    Raises:
        ValueError: the run is a member of no chord.
        NotImplementedError: the result backend counts no members.
    """
    if not context.chord or context.group is None:
        raise ValueError(f"run {context.id} of task {context.task!r} is no member of a chord")
    check_joins(app)
    call = maybe_signature(sig, app=app, clone=True)
    place = {"group_id": context.group, "group_index": context.group_index, "chord": context.chord}
    call.set(**place, root_id=context.root_id)
    result = call.freeze(None, root_id=context.root_id, **place)
    effects = JoinEffects(
        additions=tuple(JoinAddition(each.group_id, each.task_id, each.place) for each in places_of(call))
    )
    if not sends:
        # Not with the outcome: the call may have ended by then, and would have been counted in place of another.
        assert app.backend is not None, "check_joins has looked"
        app.backend.join([effects])
        return call
    messages, _ = app.canvas.following(call, None, {}, context)
    context.note_joins(effects)
    context.following.extend(messages)
    note_result(context, result)
    return result
