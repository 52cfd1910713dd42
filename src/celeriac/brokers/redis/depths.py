"""Count what queues hold, and empty them."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Collection
from typing import Any, Final

import msgspec

from celeriac.brokers.base import QueueDepth
from celeriac.brokers.redis.keys import Keys
from celeriac.brokers.redis.link import Link
from celeriac.brokers.redis.records import split_member
from celeriac.brokers.redis.scripts import script
from celeriac.brokers.redis.uniqueness import runs_of
from celeriac.exceptions import DecodeError
from celeriac.message import Message
from celeriac.wire.envelope import read_envelope

_WITHIN: Final = 10.0
_SCAN: Final = 1000
_SHARE: Final = 200
_LOOK_MAX: Final = 10_000
"""Members of the delayed set that are looked at for those of some queues."""
_NOT_OF_TASKS: Final = (b"celeryev", b"pidbox")
"""How exchanges end whose queues hold no tasks."""


class Depths:
    """Count and empty queues.

    Args:
        link: returns this process's connections.
    """

    def __init__(self, link: Callable[[], Link], keys: Keys) -> None:
        self._link = link
        self._keys = keys

    def count(self, queues: Collection[str] | None) -> list[QueueDepth]:
        """Count what each queue holds; None counts those that hold anything."""
        names = sorted(self.known() if queues is None else set(queues))
        lists = {name: queue for queue in names for name in self._keys.lists_of(queue)}
        commands = [("LLEN", name) for name in lists]
        commands += [("ZCARD", self._keys.dead_of(queue)) for queue in names]
        answers = self._link().pipeline(commands, deadline_at=self._until(), repeatable=True)
        ready: Counter[str] = Counter()
        for queue, length in zip(lists.values(), answers, strict=False):
            ready[queue] += length
        dead = dict(zip(names, answers[len(lists) :], strict=True))
        delayed, claimed = self._delayed(), self._claimed()
        counted = [
            QueueDepth(
                queue=queue, ready=ready[queue], delayed=delayed[queue], claimed=claimed[queue], dead=dead[queue]
            )
            for queue in names
        ]
        return [one for one in counted if queues is not None or one.ready or one.delayed or one.claimed or one.dead]

    def known(self) -> set[str]:
        """Return the queues that anybody has ever named: nodes and producers of ours, and those bound by kombu."""
        link, keys = self._link(), self._keys
        members = link.call("SMEMBERS", keys.queues, deadline_at=self._until(), repeatable=True)
        found = {name.decode(errors="replace") for name in members}
        found.update(self._delayed(), self._claimed())
        pattern = _SPECIAL.sub(rb"\\\g<0>", keys.bindings) + b"*"
        cursor = b"0"
        while True:
            scan = ("SCAN", cursor, "MATCH", pattern, "COUNT", _SCAN, "TYPE", "set")
            cursor, tables = link.call(*scan, deadline_at=self._until(), repeatable=True)
            for table in tables:
                if not table.endswith(_NOT_OF_TASKS):
                    members = link.call("SMEMBERS", table, deadline_at=self._until(), repeatable=True)
                    found.update(map(keys.queue_of_binding, members))
            if int(cursor) == 0:
                return found

    def _delayed(self) -> Counter[str]:
        counts = self._link().call("HGETALL", self._keys.delayed_counts, deadline_at=self._until(), repeatable=True)
        return self._by_queue(counts)

    def _claimed(self) -> Counter[str]:
        link, keys = self._link(), self._keys
        owners = link.call("HKEYS", keys.owners, deadline_at=self._until(), repeatable=True)
        owners += link.call("SMEMBERS", keys.dying, deadline_at=self._until(), repeatable=True)
        held = [keys.held(int(owner)) for owner in set(owners) if owner.isdigit()]
        total: Counter[str] = Counter()
        for name in held:
            cursor = b"0"
            while True:
                cursor, counts = link.run(script("claimed"), [name], [cursor], deadline_at=self._until())
                total += self._by_queue(counts)
                if int(cursor) == 0:
                    break
        return total

    def _by_queue(self, counts: list[bytes | int]) -> Counter[str]:
        total: Counter[str] = Counter()
        for name, count in zip(counts[::2], counts[1::2], strict=True):
            assert isinstance(name, bytes)
            total[self._keys.queue_of(name)] += int(count)
        return total

    def delayed(self, queues: Collection[str], limit: int) -> list[Message]:
        """Return messages that wait for their time in some queues, the next ones first; looks at some of all queues."""
        key, found = self._keys.delayed, list[Message]()
        for at in range(0, _LOOK_MAX, _SCAN):
            pairs = self._link().call(
                *("ZRANGE", key, at, at + _SCAN - 1, "WITHSCORES"), deadline_at=self._until(), repeatable=True
            )
            for member, due_at in in_pairs(pairs):
                message = self._waiting_in(queues, member, float(due_at))
                if message is not None:
                    found.append(message)
            if len(found) >= limit or len(pairs) < _SCAN:
                break
        return found[:limit]

    def _waiting_in(self, queues: Collection[str], member: bytes, due_at: float) -> Message | None:
        try:
            name, envelope = split_member(member)
            queue = self._keys.queue_of(name)
            if queue not in queues:
                return None
            return msgspec.structs.replace(read_envelope(envelope, queue=queue), eta_at=due_at)
        except (DecodeError, ValueError):
            return None  # it is none, or is found to be unreadable when its time has come

    def purge(self, queue: str) -> int:
        """Delete what waits in a queue, delayed messages too, and say how many they were."""
        link, keys = self._link(), self._keys
        lists = keys.lists_of(queue)
        if link.call("EXISTS", keys.unique_in_use, deadline_at=self._until(), repeatable=True):
            purged = self._purge_looking(queue, lists)
        else:
            purged = int(link.run(script("purge"), lists, [], deadline_at=self._until(), repeatable=False))
        at = 0
        while at >= 0:
            names = [keys.delayed, keys.delayed_counts, *lists]
            deleted, at, unique = link.run(script("purge_delayed"), names, [at, _SHARE], deadline_at=self._until())
            self._free(queue, unique)
            purged += deleted
        return purged

    def _purge_looking(self, queue: str, lists: list[bytes]) -> int:
        """Delete what is in lists now, and give the unique keys back that some of it has."""
        link, purged = self._link(), 0
        lengths = link.pipeline([("LLEN", name) for name in lists], deadline_at=self._until(), repeatable=True)
        while purged < sum(lengths):
            deleted, unique = link.run(
                script("purge_some"), lists, [_SHARE], deadline_at=self._until(), repeatable=False
            )
            if not deleted:
                break
            self._free(queue, unique)
            purged += deleted
        return purged

    def _free(self, queue: str, envelopes: list[bytes]) -> None:
        runs = runs_of([message for one in envelopes if (message := _read(one, queue)) is not None])
        if runs:
            names = [self._keys.replaced, *(self._keys.unique(key) for key, _ in runs)]
            self._link().run(script("free"), names, [task_id for _, task_id in runs], deadline_at=self._until())

    @staticmethod
    def _until() -> float:
        return time.monotonic() + _WITHIN


def _read(envelope: bytes, queue: str) -> Message | None:
    try:
        return read_envelope(envelope, queue=queue)
    except DecodeError:
        return None


_SPECIAL: Final = re.compile(rb"[]*?[\\]")


def in_pairs(scored: list[Any]) -> list[tuple[bytes, Any]]:
    """Return members with their scores, which protocol 2 answers in one list and protocol 3 in pairs."""
    if scored and isinstance(scored[0], list):
        return [(member, score) for member, score in scored]
    return list(zip(scored[::2], scored[1::2], strict=True))
