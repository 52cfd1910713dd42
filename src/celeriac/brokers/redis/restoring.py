"""What stock workers took and never acknowledged: kombu's sweep, run by our nodes too.

A Celery worker writes what it takes into a hash, `unacked`, and when, into `unacked_index`. Whose it is stands nowhere.
Whoever finds a message there that is older than the visibility timeout puts it back; nodes do that as well, so that the
last Celery worker can be switched off, or die, and nothing of it is left behind.
"""

from __future__ import annotations

import json
import logging
import secrets
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from celeriac.brokers.redis.bindings import bound_queues
from celeriac.brokers.redis.keys import Keys
from celeriac.brokers.redis.link import Link
from celeriac.brokers.redis.options import RedisOptions
from celeriac.brokers.redis.scripts import script
from celeriac.exceptions import DecodeError
from celeriac.wire.jsontypes import loads_untagged

logger: Final = logging.getLogger("celeriac.worker")

SHARE: Final = 100
"""Messages that are put back by one script."""

_SHARE_BYTES: Final = 8 * 1024 * 1024
_LEFT_MOST: Final = 1000  # messages that nobody could restore; a store with more has another trouble
_ANSWERS_WITHIN: Final = 5.0


class Overdue(msgspec.Struct, frozen=True):
    """Hold one entry of `unacked`.

    Attributes:
        receipt: when it was taken, as the index has it.
        value: what the hash has; empty when it has nothing, or too much to be looked at.
        size_bytes: of what the hash has.
    """

    tag: bytes
    receipt: bytes
    value: bytes
    size_bytes: int


class Unacked(msgspec.Struct, frozen=True):
    """Hold what a value of `unacked` says.

    Attributes:
        envelope: with the marks of a message that was delivered before.
        exchange, routing_key: what it was published to, or taken from.
        priority: as the envelope gives it, within 0 to 9.
    """

    envelope: bytes
    exchange: str
    routing_key: str
    priority: int


def read_unacked(value: bytes) -> Unacked:
    """Read a value of `unacked`, and mark the message in it as redelivered, in both places where kombu does.

    Raises:
        DecodeError: kombu has not written it.
    """
    found = loads_untagged(value)
    if not (isinstance(found, list) and len(found) == 3 and isinstance(found[0], dict)):
        raise DecodeError("it is not an envelope with an exchange and a routing key")
    envelope, exchange, routing_key = found
    headers, properties = envelope.setdefault("headers", {}), envelope.get("properties")
    info = properties.get("delivery_info") if isinstance(properties, dict) else None
    if not (isinstance(headers, dict) and isinstance(info, dict) and isinstance(routing_key, str)):
        raise DecodeError("its envelope has no delivery_info, or no headers")
    headers["redelivered"] = info["redelivered"] = True
    return Unacked(json.dumps(envelope).encode(), str(exchange or ""), routing_key, _step(properties.get("priority")))


def _step(priority: Any) -> int:
    try:
        return min(max(int(priority), 0), 9)
    except (TypeError, ValueError, OverflowError):
        return 0


class Restorer:
    """Put back what stock workers have held for longer than the visibility timeout.

    Args:
        link: returns this process's link to the broker's database.
        keys: names of what is ours and of the lists.
        options: names of what is kombu's, and the timeout.
        ahead: seconds that the server's clock is taken to be behind; for tests.
    """

    def __init__(
        self, link: Callable[[], Link], keys: Keys, options: RedisOptions, *, ahead: Callable[[], float] = lambda: 0.0
    ) -> None:
        self._ahead = ahead
        self._link = link
        self._keys = keys
        self._options = options
        self._left: dict[bytes, None] = {}
        prefix = options.global_keyprefix
        self._unacked = f"{prefix}{options.unacked_key}"
        self._index = f"{prefix}{options.unacked_index_key}"
        self._mutex = f"{prefix}{options.unacked_mutex_key}"

    def restore(self) -> int:
        """Put a bounded share back, the one received first in front; return how many messages that were.

        Nothing is done while another process is at it. What cannot be put back stays where it is, and is told once.

        Raises:
            OperationalError: the server does not answer, or refuses.
        """
        if not self._overdue(most=1):
            return 0
        token = secrets.token_hex(16)
        lifetime = int(self._options.unacked_mutex_expire * 1000)
        if not self._run("lock", [self._mutex, self._unacked], [token, lifetime]):
            return 0
        try:
            return self._restore(self._overdue(most=SHARE))
        finally:
            self._run("unlock", [self._mutex], [token])

    def _overdue(self, *, most: int) -> list[Overdue]:
        args: list[float | bytes] = [self._options.visibility_timeout, self._ahead(), most, _SHARE_BYTES, *self._left]
        found = self._run("overdue", [self._unacked, self._index], args)
        rows = zip(*(iter(found),) * 4, strict=True)
        return [Overdue(tag, receipt, value, int(size)) for tag, receipt, size, value in rows]

    def _restore(self, overdue: Sequence[Overdue]) -> int:
        lists: dict[bytes, int] = {}
        args: list[bytes] = []
        for one in overdue:
            try:
                envelope, destinations = self._destinations(one)
            except DecodeError as error:
                self._leave(one.tag, str(error))
                continue
            # The first two keys are kombu's own.
            positions = [lists.setdefault(destination, len(lists) + 3) for destination in destinations]
            args += [one.tag, one.receipt, envelope, " ".join(map(str, positions)).encode()]
        if not args:
            return 0
        keys = [self._unacked.encode(), self._index.encode(), *lists]
        failed = self._run("restore", keys, args)
        for tag, why in zip(failed[::2], failed[1::2], strict=True):
            self._leave(tag, why.decode(errors="replace"))
        restored = sum(map(bool, args[3::4])) - len(failed) // 2
        if restored:
            logger.warning(
                "%d messages that Celery workers had not acknowledged in %.0f s (visibility_timeout) are back in "
                "their queues",
                restored,
                self._options.visibility_timeout,
            )
        return restored

    def _destinations(self, one: Overdue) -> tuple[bytes, list[bytes]]:
        """Return the envelope to put back and the lists to put it into, as kombu chooses them.

        Raises:
            DecodeError: there are none.
        """
        if not one.size_bytes:
            return b"", []  # acknowledged already, half of it
        if not one.value:
            raise DecodeError(f"with {one.size_bytes} bytes it is too large")
        found = read_unacked(one.value)
        queues = self._queues(found.exchange, found.routing_key)
        if not queues:
            raise DecodeError(f"exchange {found.exchange!r} leads nowhere from {found.routing_key!r}")
        return found.envelope, [self._keys.list_of(queue, found.priority) for queue in queues]

    def _queues(self, exchange: str, routing_key: str) -> Sequence[str]:
        if not exchange:
            return [routing_key]
        table = self._keys.bindings + exchange.encode()
        members = self._link().call("SMEMBERS", table, deadline_at=_deadline(), repeatable=True)
        found = list(bound_queues(members, routing_key, separator=self._options.sep))
        spare = self._options.deadletter_queue
        return found or ([spare] if spare else [])

    def _leave(self, tag: bytes, why: str) -> None:
        """Pass a message over from now on; another process, or a person, may know better."""
        if len(self._left) < _LEFT_MOST:
            self._left[tag] = None
        logger.error(
            "message %s of a Celery worker is overdue and stays in %s: %s",
            tag.decode(errors="replace"),
            self._unacked,
            why,
        )

    def _run(self, name: str, keys: Sequence[str | bytes], args: Sequence[bytes | str | float]) -> Any:
        return self._link().run(script(name), keys, args, deadline_at=_deadline())


def _deadline() -> float:
    return time.monotonic() + _ANSWERS_WITHIN
