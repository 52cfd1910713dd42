"""Which calls of a task are the same, so that only one of them waits or runs: `unique_for` and its neighbours.

Pure: from a task's options and a call's arguments to the key that goes into the message.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from celeriac.app.call_keys import CallKey, signature_of
from celeriac.exceptions import UniqueConflict
from celeriac.message import OnConflict, Unique

_OPTIONS: Final = ("unique_for", "unique_key", "on_conflict")


class Uniqueness(msgspec.Struct, frozen=True, kw_only=True):
    """Say when two calls of one task are the same, for how long, and what becomes of the second.

    Attributes:
        lasts: seconds; 0: no two calls are the same.
        key: what makes them the same.
        on_conflict: what becomes of the second call.
    """

    key: CallKey
    lasts: float = 0.0
    on_conflict: OnConflict = OnConflict.SKIP

    def but(self, said: Mapping[str, Any]) -> Uniqueness:
        """Return this, as far as the options of a call do not say otherwise."""
        return Uniqueness(
            lasts=said.get("unique_for", self.lasts),
            key=CallKey("unique_key", said["unique_key"], self.key.signature) if "unique_key" in said else self.key,
            on_conflict=OnConflict(said.get("on_conflict", self.on_conflict)),
        )

    def of_call(self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Unique | None:
        """Return what the message of one call says; None when calls are not unique.

        Raises:
            TypeError: the arguments cannot be made a key of, or `unique_key` returns nothing that could be one.
            ValueError: a template names an argument that the call does not have.
        """
        if not self.lasts:
            return None
        return Unique(key=self.key.of_call(name, args, kwargs), lasts=self.lasts, on_conflict=self.on_conflict)


def uniqueness_of(task: Any) -> Uniqueness | None:
    """Return what a task's attributes say; None when its calls are never unique, unless one of them says so."""
    lasts, key, on_conflict = (getattr(task, name, None) for name in _OPTIONS)
    if not lasts and key is None and on_conflict is None:
        return None
    return Uniqueness(
        lasts=lasts or 0.0,
        key=CallKey("unique_key", key, signature_of(task)),
        on_conflict=OnConflict(on_conflict or OnConflict.SKIP),
    )


def uniqueness_of_call(task: Any, own: Uniqueness | None, said: Mapping[str, Any]) -> Uniqueness | None:
    """Return what counts for one call.

    Args:
        task: None when it is not registered here.
        own: what the task says.
        said: the options of the call.
    """
    said = {name: said[name] for name in _OPTIONS if name in said}
    if not said:
        return own
    if own is None:
        own = Uniqueness(key=CallKey("unique_key", None, None if task is None else signature_of(task)))
    return own.but(said)


def conflict_of(key: str, task_id: str) -> UniqueConflict:
    """Make the error of a call that is not published."""
    return UniqueConflict(
        f"nothing is published, because run {task_id} waits or runs under the same unique key {key!r}; wait for its "
        "result, or say on_conflict='skip' or 'replace'",
        key=key,
        task_id=task_id,
    )
