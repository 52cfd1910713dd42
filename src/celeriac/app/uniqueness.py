"""Which calls of a task are the same, so that only one of them waits or runs: `unique_for` and its neighbours.

Pure: from a task's options and a call's arguments to the key that goes into the message, and from the broker's answer
to what the call came to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar

import msgspec

from celeriac.app.call_keys import CallKey, signature_of
from celeriac.brokers.base import Conflict
from celeriac.exceptions import UniqueConflict
from celeriac.message import Message, OnConflict, Unique
from celeriac.wire.protocol import Call

T = TypeVar("T")

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


def yielding(call: Call) -> Call:
    """Let a unique call that follows a run be published in any case: there, nobody could be told that it is not."""
    unique = call.unique
    if unique is None or unique.on_conflict is OnConflict.REPLACE:
        return call
    return msgspec.structs.replace(call, unique=msgspec.structs.replace(unique, on_conflict=OnConflict.YIELD))


def published_as(message: Message, conflicts: Sequence[Conflict]) -> str:
    """Return the id of the run that a call came to: its own, or that of the run which is in its way."""
    return conflicts[0].task_id if conflicts else message.task_id


def published(batch: Sequence[T], conflicts: Sequence[Conflict]) -> list[T]:
    """Leave out what was not published, of as many things as messages were to be."""
    left_out = {conflict.position for conflict in conflicts}
    return [one for position, one in enumerate(batch) if position not in left_out]


def raise_conflicts(messages: Sequence[Message], conflicts: Sequence[Conflict]) -> None:
    """Do nothing, unless a message that was not published says that there is to be an error.

    Raises:
        UniqueConflict: the first of these.
    """
    for conflict in conflicts:
        unique = messages[conflict.position].unique
        if unique is not None and unique.on_conflict is OnConflict.RAISE:
            raise _error_of(conflict)


def _error_of(conflict: Conflict) -> UniqueConflict:
    return UniqueConflict(
        f"nothing is published, because run {conflict.task_id} waits or runs under the same unique key "
        f"{conflict.key!r}; wait for its result, or say on_conflict='skip' or 'replace'",
        key=conflict.key,
        task_id=conflict.task_id,
    )
