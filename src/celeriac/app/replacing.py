"""A run that puts another call in its own place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celeriac.canvas.chain import Chain
from celeriac.canvas.chord import chord as chord_of
from celeriac.canvas.group import group
from celeriac.canvas.signature import Signature, maybe_signature
from celeriac.exceptions import Ignore, ImproperlyConfigured

if TYPE_CHECKING:
    from celeriac.app.application import Celery
    from celeriac.app.context import Context


class Replaced(Ignore):
    """Say that a run in the calling process was replaced, and by what.

    Attributes:
        result: what the other call came to.
    """

    def __init__(self, result: Any) -> None:
        super().__init__(f"replaced by {result.id}")
        self.result = result


def replacement_of(sig: Any, context: Context, app: Celery) -> Any:
    """Return a copy of a signature that stands for a run: with its id, its place, and what follows it.

    A group ends in `celery.accumulate`, so that one run has the id, and the list of results, which may be empty.

    Raises:
        ImproperlyConfigured: a chain without members.
    """
    sig = maybe_signature(sig, app=app, clone=True)
    nesting = context.replaced_task_nesting + 1
    if isinstance(sig, group):
        sig = _accumulated(sig, app)
    elif isinstance(sig, Chain):
        if not sig.tasks:
            raise ImproperlyConfigured("a run cannot be replaced by an empty chain: nothing would ever have its id")
        if isinstance(sig.tasks[-1], group):
            then: Signature[Any] = Signature("celery.accumulate", kwargs={"index": 0}, app=app)
            sig = Chain.combine(*sig.tasks, then).set(**sig.options)
    for key, links in (("link", context.callbacks), ("link_error", context.errbacks)):
        for each in links or ():
            (sig.link if key == "link" else sig.link_error)(maybe_signature(each, app=app, clone=True))
    place: dict[str, Any] = {"chord": context.chord, "group_id": context.group, "group_index": context.group_index}
    if isinstance(sig, chord_of):
        sig.body.freeze(context.id)
        sig.body.options.update(place, root_id=context.root_id, replaced_task_nesting=nesting)
        return sig.set(root_id=context.root_id, replaced_task_nesting=nesting)
    sig.set(root_id=context.root_id, replaced_task_nesting=nesting)
    if isinstance(sig, Chain):
        sig.freeze(context.id, root_id=context.root_id, **place)
    else:
        sig.set(**{name: value for name, value in place.items() if value is not None})
        sig.freeze(context.id)
    return sig


def stamps_of(context: Context) -> dict[str, Any]:
    """Return the stamps of a run, as the options of a call that is to have them too."""
    if not context.stamped_headers:
        return {}
    stamps = context.stamps or {}
    return {name: stamps[name] for name in context.stamped_headers if name in stamps}


def _accumulated(sig: group, app: Celery) -> chord_of:
    return chord_of(sig, body=Signature("celery.accumulate", kwargs={"index": 0}, app=app), app=app)
