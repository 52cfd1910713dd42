"""What is revoked, in keys of its own, and who holds the messages of some ids."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, Final, TypeVar

from celeriac.brokers.redis.dialing import Word
from celeriac.brokers.redis.keys import Keys
from celeriac.brokers.redis.link import Link
from celeriac.brokers.redis.options import RedisOptions
from celeriac.brokers.redis.scripts import script
from celeriac.brokers.revocations import AGAIN_AFTER, RENEWED_BY, Feed, Revocation, kept_revocation, said_by

T = TypeVar("T")

ASK_WITHIN: Final = 10.0

_SHARE: Final = 1000
"""Ids in one script: others wait for the server meanwhile."""

_END_BYTES: Final = 16 * 1024
"""What is looked at of a held message: the properties are at its end, and they name the id of the run."""

_TEXT: Final = re.compile(rb'"((?:[^"\\]|\\.)*)"')


class RevokedInRedis:
    """Keep what is revoked in one database.

    Args:
        link: returns this process's connections.
        options: names of what is kombu's.
        keep: ids that are kept.
        ahead: seconds that the server's clock is taken to be ahead; tests move it.
    """

    def __init__(
        self, link: Callable[[], Link], keys: Keys, options: RedisOptions, *, keep: int, ahead: Callable[[], float]
    ) -> None:
        self._link = link
        self._keys = keys
        self._unacked = f"{options.global_keyprefix}{options.unacked_key}"
        self._keep = keep
        self._ahead = ahead

    def add(self, revocations: Sequence[Revocation], *, deadline_at: float) -> list[str]:
        """Keep revocations, and return the ids of those that are news.

        More than a thousand take several scripts. When one of those fails, the ones before stay revoked: whoever
        repeats all of them does what was left.
        """
        keys = self._keys
        names = [keys.revoked_version, keys.revoked_versions, keys.revoked]
        news: list[str] = []
        for share in _shares(revocations):
            words: list[Word] = []
            for one in share:
                again = AGAIN_AFTER if one.ends_runs else float("inf")
                words += [one.task_id, repr(one.at), repr(one.expires_at), again, RENEWED_BY, said_by(one)]
            found = self._link().run(script("revoke"), names, words, deadline_at=deadline_at)
            news += [share[at - 1].task_id for at in found]
        return news

    def since(self, version: int, *, limit: int) -> Feed:
        """Return what was revoked after a version."""
        keys = self._keys
        names = [keys.revoked_version, keys.revoked_versions, keys.revoked]
        last, now, more, up_to, found = self._run("revoked_since", names, [version, limit, self._ahead()])
        told = [_read(task_id, entry) for task_id, entry in zip(found[::2], found[1::2], strict=True)]
        return Feed(int(up_to if more else last), _alive(told, float(now)), bool(more))

    def among(self, task_ids: Collection[str]) -> dict[str, Revocation]:
        """Return the revocations of those ids that are revoked."""
        revoked: dict[str, Revocation] = {}
        for share in _shares(list(task_ids)):
            now, found = self._run("revoked_among", [self._keys.revoked], [self._ahead(), *share])
            told = [_read(share[at - 1], entry) for at, entry in zip(found[::2], found[1::2], strict=True)]
            revoked |= {one.task_id: one for one in _alive(told, float(now))}
        return revoked

    def claimed(self, task_ids: Collection[str]) -> set[str]:
        """Return those ids that are named in what nodes of ours hold, or Celery's workers have not acknowledged.

        A message also names other runs, such as the one that has sent it: of these too many may be returned.
        """
        wanted = {json.dumps(task_id)[1:-1].encode(): task_id for task_id in task_ids}
        if not wanted:
            return set()
        keys, link = self._keys, self._link()
        owners: list[bytes] = link.call("HKEYS", keys.epochs, deadline_at=_until(), repeatable=True)
        owners += link.call("SMEMBERS", keys.dying, deadline_at=_until(), repeatable=True)
        names: list[bytes | str] = [keys.held(int(owner)) for owner in owners if owner.isdigit()]
        found: set[str] = set()
        for name in [*names, self._unacked]:
            for end in self._ends(name):
                # What Celery's workers have taken is JSON within JSON: its quotes may be escaped.
                texts = _TEXT.findall(end) + _TEXT.findall(end.replace(b'\\"', b'"'))
                found.update(wanted[text] for text in texts if text in wanted)
        return found

    def has_workers_of_celery(self, exchange: str) -> bool:
        """Say whether workers of Celery listen to commands, as far as kombu's binding table tells.

        One that was killed stays in it: those of Celery 5.7 until an hour has passed in which none of them was seen.
        """
        keys, link = self._keys, self._link()
        commands = [
            ("SCARD", keys.bindings + exchange.encode()),
            ("ZSCORE", keys.binding_deadlines, exchange),
            ("TIME",),
        ]
        bound, deadline, (seconds, _) = link.pipeline(commands, deadline_at=_until(), repeatable=True)
        return bool(bound) and (deadline is None or float(deadline) > float(seconds))

    def clean(self) -> int:
        """Forget a bounded share of what has expired, or is too much, and say how many that were."""
        names = [self._keys.revoked_versions, self._keys.revoked]
        return int(self._run("clean_revoked", names, [self._keep, self._ahead(), _SHARE]))

    def _ends(self, name: bytes | str) -> Iterator[bytes]:
        cursor = b"0"
        while True:
            cursor, ends = self._run("ends_of", [name], [cursor, _END_BYTES])
            yield from ends
            if int(cursor) == 0:
                return

    def _run(self, name: str, keys: Sequence[bytes | str], words: Sequence[Word]) -> Any:
        return self._link().run(script(name), keys, words, deadline_at=_until())


def _read(task_id: bytes | str, entry: bytes) -> Revocation:
    _, at, expires_at, said = entry.split(b" ", 3)
    name = task_id if isinstance(task_id, str) else task_id.decode(errors="surrogateescape")
    return kept_revocation(name, float(at), float(expires_at), said)


def _alive(revocations: Sequence[Revocation], now: float) -> list[Revocation]:
    return [one for one in revocations if one.expires_at > now]


def _shares(all_of_them: Sequence[T]) -> Iterator[Sequence[T]]:
    for first in range(0, len(all_of_them), _SHARE):
        yield all_of_them[first : first + _SHARE]


def _until() -> float:
    return time.monotonic() + ASK_WITHIN
