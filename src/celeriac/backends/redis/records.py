"""Keys of results in Redis, and what is read under them. Pure; `brokers/redis/lua/results.lua` writes them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

import msgspec

from celeriac.backends.base import StoredResult
from celeriac.brokers.redis.joining import JoinNames
from celeriac.states import FAILURE
from celeriac.wire.told import told_state

_BOUND: Final = 256
"""Bytes at the end of a record that its attempt is bound to, besides its length."""


class ResultKeys(msgspec.Struct, frozen=True):
    """Name the keys of results.

    Attributes:
        prefix: what all keys begin with.
    """

    prefix: str = ""

    @classmethod
    def of(cls, global_keyprefix: str) -> ResultKeys:
        """Make them of the transport option, which Celery's result backend puts a ``_`` behind."""
        joined = not global_keyprefix or global_keyprefix.endswith((":", "_", "-", "."))
        return cls(global_keyprefix if joined else f"{global_keyprefix}_")

    def meta(self, task_id: str) -> str:
        """Name the key of a record, and the channel on which it is published."""
        return f"{self.prefix}celery-task-meta-{task_id}"

    def group(self, group_id: str) -> str:
        """Name the key of a saved group."""
        return f"{self.prefix}celery-taskset-meta-{group_id}"

    def attempt(self, task_id: str) -> str:
        """Name the key of what a record does not tell by itself."""
        return f"{self.prefix}celeriac-attempt-{task_id}"

    def join(self, group_id: str) -> JoinNames:
        """Name the keys of a join, as `brokers/redis/lua/joins.lua` lists them."""
        group = self.group(group_id)
        items, added, size, counted, publisher = (f"{group}.{letter}" for letter in "jtsdc")
        return (items, added, size, counted, publisher, group)

    def both(self, task_ids: Sequence[str]) -> list[str]:
        """Name the two keys of each run."""
        before = self.prefix
        return [
            key
            for task_id in task_ids
            for key in (f"{before}celery-task-meta-{task_id}", f"{before}celeriac-attempt-{task_id}")
        ]


def read_results(task_ids: Sequence[str], values: Sequence[bytes | None]) -> dict[str, StoredResult]:
    """Return the records there are, from the values of the keys that `ResultKeys.both` names."""
    return {
        task_id: read_result(task_id, record, attempt)
        for task_id, record, attempt in zip(task_ids, values[::2], values[1::2], strict=True)
        if record is not None
    }


def read_result(task_id: str, record: bytes, attempt: bytes | None) -> StoredResult:
    """Return one record.

    One that nobody can tell the state of, and that was not kept by celeriac, counts as FAILURE: who waits for it is to
    be told now that it cannot be read.
    """
    parts = [] if attempt is None else attempt.split(b" ", 3)
    if len(parts) == 4 and parts[1:3] == [b"%d" % len(record), _digest(record)]:
        return StoredResult(task_id=task_id, state=parts[3].decode(), record=record, retries=int(parts[0]))
    return StoredResult(task_id=task_id, state=told_state(record) or FAILURE, record=record)


def _digest(record: bytes) -> bytes:
    return hashlib.sha1(record[-_BOUND:], usedforsecurity=False).hexdigest().encode()
