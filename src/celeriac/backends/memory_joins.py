"""Joins in the store of the memory broker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from celeriac.backends.joins import CountedMember, KeptJoin
from celeriac.brokers.joins import JoinAddition, Member
from celeriac.brokers.memory.store import Store, Transaction

_Key = tuple[str, int | None]


class MemoryJoins:
    """Be the table of joins, within one transaction of a store."""

    def __init__(self, store: Store, transaction: Transaction) -> None:
        self._store = store
        self._transaction = transaction

    def read(self, group_id: str) -> KeptJoin | None:
        kept: KeptJoin | None = self._store.joins.get(group_id)
        return kept

    def write(self, group_id: str, kept: KeptJoin) -> None:
        self._transaction.write(self._store.joins, group_id, kept)

    def insert_members(self, group_id: str, members: Sequence[Member]) -> int:
        rows = {
            (one.task_id, one.index): CountedMember(one.task_id, one.index, one.state, one.item)
            for one in reversed(members)  # the first of an id stays
        }
        return self._insert(self._store.join_members, group_id, rows)

    def insert_additions(self, group_id: str, additions: Sequence[JoinAddition]) -> int:
        rows = {(one.task_id, one.index): one for one in additions}
        return self._insert(self._store.join_additions, group_id, rows)

    def drop_members(self, group_id: str) -> None:
        for table in (self._store.join_members, self._store.join_additions):
            if group_id in table:
                self._transaction.write(table, group_id, None)

    def _insert(self, table: dict[str, dict[_Key, Any]], group_id: str, rows: dict[_Key, Any]) -> int:
        kept = table.get(group_id)
        if kept is None:
            self._transaction.write(table, group_id, {})
            kept = table[group_id]
        new = [key for key in rows if key not in kept]

        def undo() -> None:
            for key in new:
                kept.pop(key, None)

        self._transaction.before_write(undo)
        kept.update((key, rows[key]) for key in new)
        return len(new)


def delete_expired_joins(store: Store, transaction: Transaction, *, now: float, at_most: int) -> int:
    """Delete joins that have expired, with their members, and say how many."""
    expired = [group_id for group_id, kept in store.joins.items() if kept.expires_at <= now][:at_most]
    table = MemoryJoins(store, transaction)
    for group_id in expired:
        transaction.write(store.joins, group_id, None)
        table.drop_members(group_id)
    return len(expired)
