"""How joins go on: what is kept of one, and what members, starts and ends change. Pure but for the table it is told of.

Adapters whose tables are changed in transactions give `apply_effects` a `JoinTable`, and have no rule of their own.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

import msgspec

from celeriac.brokers.joins import JOIN_EXPIRES, JOINED_EXPIRES, JoinAddition, JoinEffects, JoinStart, Member
from celeriac.message import Message


class JoinState(enum.IntEnum):
    """Say how far a join has come.

    OPEN waits for members. ANNOUNCED has all of them, and its internal message was handed out. JOINED is done: the body
    was published.
    """

    OPEN = 0
    ANNOUNCED = 1
    JOINED = 2


class KeptJoin(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Keep one join.

    Attributes:
        size: members that it was started with; None: nobody has started it yet.
        added: members that were added since.
        counted: members that have ended.
        message, header: see `JoinStart`.
        expires_at: unix instant until which it is kept.
    """

    size: int | None = None
    added: int = 0
    counted: int = 0
    state: JoinState = JoinState.OPEN
    message: Message | None = None
    header: bytes | None = None
    expires_at: float = 0.0

    @property
    def is_complete(self) -> bool:
        """True when all members that it waits for have ended."""
        return self.size is not None and self.counted >= self.size + self.added

    @property
    def is_joined(self) -> bool:
        """True when its body was published."""
        return self.state is JoinState.JOINED


class CountedMember(msgspec.Struct, frozen=True, gc=False):
    """Return what a member came to; see `Member`. Only the item always says it: id and state may be ""."""

    task_id: str
    index: int | None
    state: str
    item: bytes


class JoinTable(Protocol):
    """Keep joins and their members, inside of one transaction."""

    def read(self, group_id: str) -> KeptJoin | None:
        """Return what is kept of a join, expired or not."""

    def write(self, group_id: str, kept: KeptJoin) -> None:
        """Keep a join in place of what was kept of it."""

    def insert_members(self, group_id: str, members: Sequence[Member]) -> int:
        """Keep members, but for those of an id and index that are there; say how many were new."""

    def insert_additions(self, group_id: str, additions: Sequence[JoinAddition]) -> int:
        """Keep which members were added, likewise."""

    def drop_members(self, group_id: str) -> None:
        """Forget the members of a join, and the additions; an adapter may leave some of many for its upkeep."""


def apply_effects(
    effects: Iterable[JoinEffects], table: JoinTable, *, now: float, repeats: bool = False
) -> list[Message]:
    """Change joins, and return the internal messages of those that are complete.

    Args:
        repeats: return the message of a join each time that a member of it is counted, until it is joined: whoever
            asks publishes elsewhere, and may have failed to. Else it is returned once, to be published in the same
            transaction.
    """
    work = _Work(table, now)
    counts: dict[str, list[Member]] = {}
    for one in effects:
        for start in one.starts:
            work.start(start)
        for addition in one.additions:
            work.add(addition)
        for member in one.counts:
            counts.setdefault(member.group_id, []).append(member)
        for group_id in one.joined:
            work.finish(group_id)
    for group_id, members in counts.items():
        work.count(group_id, members)
    return list(work.due(repeats))


class _Work:
    """Change each join of a batch in memory, and write it once."""

    def __init__(self, table: JoinTable, now: float) -> None:
        self._table = table
        self._now = now
        self._joins: dict[str, KeptJoin] = {}
        self._told: dict[str, Message | None] = {}

    def start(self, start: JoinStart) -> None:
        kept = self._read(start.group_id)
        if kept.is_joined:
            return
        self._told.setdefault(start.group_id, None)
        if kept.size is None:
            kept = msgspec.structs.replace(kept, size=start.size, message=start.message, header=start.header)
        self._joins[start.group_id] = kept

    def add(self, addition: JoinAddition) -> None:
        group_id = addition.group_id
        kept = self._read(group_id)
        if not kept.is_joined:
            new = self._table.insert_additions(group_id, [addition])
            self._told.setdefault(group_id, None)
            self._joins[group_id] = msgspec.structs.replace(kept, added=kept.added + new)

    def count(self, group_id: str, members: Sequence[Member]) -> None:
        kept = self._read(group_id)
        if kept.is_joined:
            return  # late: the body has its arguments
        new = self._table.insert_members(group_id, members)
        self._joins[group_id] = msgspec.structs.replace(kept, counted=kept.counted + new)
        self._told[group_id] = next((one.message for one in reversed(members) if one.message is not None), None)

    def finish(self, group_id: str) -> None:
        self._read(group_id)
        self._told.pop(group_id, None)
        self._joins[group_id] = KeptJoin(state=JoinState.JOINED)

    def _read(self, group_id: str) -> KeptJoin:
        kept = self._joins.get(group_id)
        if kept is None:
            kept = self._table.read(group_id)
            if kept is not None and kept.expires_at <= self._now:
                self._table.drop_members(group_id)
                kept = None
        return kept or KeptJoin()

    def due(self, repeats: bool) -> Iterator[Message]:
        """Write all joins, and yield the messages of those that are complete."""
        for group_id, kept in self._joins.items():
            message = self._told.get(group_id) or kept.message
            if group_id in self._told and kept.is_complete and message is not None:
                if repeats or kept.state is JoinState.OPEN:
                    yield message
                kept = msgspec.structs.replace(kept, state=JoinState.ANNOUNCED)
            lasts = JOINED_EXPIRES if kept.is_joined else JOIN_EXPIRES
            self._table.write(group_id, msgspec.structs.replace(kept, expires_at=self._now + lasts))
            if kept.is_joined:
                self._table.drop_members(group_id)
