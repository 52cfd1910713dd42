"""What is done to joins, as scripts read it. Pure; `lua/joins.lua` has the rules.

A result backend says which keys a join has; whoever puts a script together gives keys and byte strings their positions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from celeriac.brokers.joins import JoinAddition, JoinEffects, JoinStart, Member
from celeriac.message import Message

JoinNames = tuple[str, str, str, str, str, str]
"""Keys of one join, in the order in which `lua/joins.lua` names them."""

_START: Final = 1
_ADD: Final = 2
_COUNT: Final = 3
_FINISH: Final = 4


class JoinRow(msgspec.Struct, frozen=True, gc=False):
    """Hold what one settlement does to joins, and how the backend keeps them.

    Attributes:
        names_of: returns the keys of a join by its group's id.
        ordered: items are in sorted sets.
        lifetime_ms: for which results are kept; 0 is for ever.
    """

    effects: JoinEffects
    names_of: Callable[[str], JoinNames]
    ordered: bool
    lifetime_ms: int


class JoinWriter:
    """Write steps for a script.

    Args:
        name: returns the position of the first of a join's keys.
        string: returns the position of a byte string.
        envelope: writes the envelope of a message.
    """

    def __init__(
        self,
        name: Callable[[JoinNames], int],
        string: Callable[[bytes], int],
        envelope: Callable[[Message], bytes],
    ) -> None:
        self._name = name
        self._string = string
        self._envelope = envelope

    def start(self, start: JoinStart, row: JoinRow) -> tuple[object, ...]:
        envelope = 0 if start.message is None else self._string(self._envelope(start.message))
        header = 0 if start.header is None else self._string(start.header)
        return (_START, self._at(start.group_id, row), start.size, envelope, header)

    def add(self, one: JoinAddition, row: JoinRow) -> tuple[object, ...]:
        return (_ADD, self._at(one.group_id, row), member_word(one.task_id, one.index))

    def count(self, one: Member, row: JoinRow) -> tuple[object, ...]:
        score = _score(one.index) if row.ordered else 0
        word = member_word(one.task_id, one.index)
        return (_COUNT, self._at(one.group_id, row), word, score, self._string(one.item))

    def finish(self, group_id: str, row: JoinRow) -> tuple[object, ...]:
        return (_FINISH, self._at(group_id, row))

    def _at(self, group_id: str, row: JoinRow) -> int:
        return self._name(row.names_of(group_id))


def member_word(task_id: str, index: int | None) -> str:
    """Name a member as Celery does in its set of those that were counted."""
    return f"{task_id}:{_score(index)}"


def _score(index: int | None) -> str:
    return "+inf" if index is None else str(index)


def steps_of(row: JoinRow, writer: JoinWriter) -> Sequence[tuple[object, ...]]:
    """Write all that a row does, but for its counts, which are told with their messages."""
    effects = row.effects
    return [
        *(writer.start(one, row) for one in effects.starts),
        *(writer.add(one, row) for one in effects.additions),
        *(writer.finish(one, row) for one in effects.joined),
    ]
