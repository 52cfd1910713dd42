"""Sleep until there may be something to claim, without asking again and again.

Redis tells a connection when a key changes that it has read (`CLIENT TRACKING`, Redis 6). An idle node has its lists
and the delayed set read right behind a claim, in the same write: it watches when it learns that there is nothing. The
notices go to a connection of their own, a subscription in protocol 2, whichever protocol the other one speaks. A key is
told of once; what was told of is read again before the next sleep. Nothing is taken, so a notice that is lost costs
time and no message: who sleeps looks again every few seconds.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import lru_cache
from time import monotonic
from typing import Any, Final

import msgspec

from celeriac.brokers.redis.async_line import AsyncLine
from celeriac.brokers.redis.async_link import AsyncLink
from celeriac.brokers.redis.connections import aconnect
from celeriac.brokers.redis.dialing import Word, left, pack
from celeriac.brokers.redis.failures import PASSING, ServerError
from celeriac.brokers.redis.keys import Keys
from celeriac.brokers.redis.scripts import script
from celeriac.exceptions import BrokerFull, BrokerUnavailable, OperationalError

logger: Final = logging.getLogger("celeriac.redis")

_CHANNEL: Final = b"__redis__:invalidate"
_TOGETHER: Final = 64
_WITHIN: Final = 1.5  # seconds until the next look, which may take 2.5 more: a claim must be over sooner than 5
_PROOF_WITHIN: Final = 1.0
_REFUSED_FOR: Final = 60.0
_SILENT: Final = 5.0  # seconds without a notice after which the server is asked whether notices can come
_ENDED: Final = ("redirect to does not exist", "in tracking mode")
"""What Redis says when one of the two connections has ended meanwhile."""

_NEXT_IS_WATCHED: Final = pack(("CLIENT", "CACHING", "YES"))


class Reading:
    """Read lists and the delayed set behind a command, so that Redis tells of their next change.

    Args:
        names: the delayed set, then the lists.

    Attributes:
        answer: how many of the lists hold something, and when the next delayed message is due; None without an answer.
        error: what the server said in place of that; None when it said nothing.
    """

    count = 2

    def __init__(self, names: tuple[bytes, ...]) -> None:
        self.packed = _packed(names)
        self.answer: tuple[int, bytes] | None = None
        self.error: ServerError | None = None

    def take(self, answers: Sequence[Any]) -> None:
        for answer in answers:
            if isinstance(answer, ServerError):
                self.error = answer
                return
        self.answer = tuple(answers[-1])


class Wakes:
    """Watch keys for one event loop.

    Args:
        link: what looks at the keys.
        keys: of the database.
        name: what the connection for notices is called on the server.

    Attributes:
        next_due_at: instant at which the next delayed message is due, as it was read last; None without any.
    """

    def __init__(self, link: AsyncLink, keys: Keys, *, name: str) -> None:
        self.next_due_at: float | None = None
        self._link = link
        self._options = msgspec.structs.replace(link.options, protocol=2)
        self._keys = keys
        self._delayed = keys.delayed
        self._name = name
        self._is_told = False
        self._sleeper: asyncio.Future[None] | None = None
        self._armed: set[bytes] = set()
        self._noticed: set[bytes] = set()
        self._listening: AsyncLine | None = None
        self._heard_at = 0.0
        self._proof: tuple[bytes, asyncio.Future[None] | None] = (b"", None)
        self._refused_until = 0.0
        link.when_lost = self._lose

    def begin_look(self) -> set[bytes]:
        """Forget what was told so far, and return the keys that it was about: whoever calls looks at them now."""
        self._is_told = False
        noticed, self._noticed = self._noticed, set()
        return noticed

    def watching(self, names: Sequence[bytes]) -> AbstractContextManager[Reading | None]:
        """Return what reads these lists behind a command in a `with` statement; None while no notices would come."""
        return nullcontext() if self._listening is None else self._reading(names)

    async def watch(self, names: Collection[bytes]) -> bool:
        """Have a notice come when one of these lists, or the delayed set, changes; read what is not under watch yet.

        Returns:
            False when Redis, or what lies in between, does not tell; the caller polls then.
        """
        if monotonic() < self._refused_until:
            return False
        if self._is_told:
            return True
        until = monotonic() + _WITHIN
        try:
            if self._listening is None:
                async with asyncio.timeout(_WITHIN):
                    await self._listen()
            elif monotonic() - self._heard_at > _SILENT:
                await _asked(self._listening, "PING", within=left(until))
                self._heard_at = monotonic()
            fresh = [name for name in names if name not in self._armed]
            for at in range(0, max(len(fresh), self._delayed not in self._armed), _TOGETHER):
                if self._listening is None:
                    break
                # On to the end although something was found: the claims that follow name all that is filled.
                with self._reading(fresh[at : at + _TOGETHER]) as reading:
                    await self._link.call("PING", timeout=left(until), aside=reading)
            return self._listening is not None
        except (OSError, BrokerUnavailable) as error:
            self._note(error)
        except (ServerError, OperationalError) as error:
            self._refuse(error)
        self.close()
        return False

    async def sleep(self, timeout: float) -> None:
        """Sleep until a notice comes, at most so many seconds."""
        if timeout <= 0 or self._is_told:
            return
        loop = asyncio.get_running_loop()
        sleeper = self._sleeper = loop.create_future()
        timer = loop.call_later(timeout, _wake, sleeper)
        try:
            await sleeper
        finally:
            timer.cancel()

    def close(self) -> None:
        """Let go of the connection for notices; the next watch makes another. May be called twice."""
        listening, self._listening = self._listening, None
        self._armed.clear()
        if listening is not None:
            listening.close()

    async def _listen(self) -> None:
        """Have notices come over a connection of their own."""
        link = self._link
        connection, _ = await aconnect(link.place, self._options, timeout=_WITHIN, name=self._name, first=link.first)
        line = AsyncLine(connection, heard=self._hear, ended=self._lose_notices)
        try:
            number = await _asked(line, "CLIENT", "ID", within=_WITHIN)
            await _asked(line, "SUBSCRIBE", _CHANNEL, within=_WITHIN)
            await link.run(script("watch"), [self._delayed], [], timeout=_WITHIN)  # has the server know it
            await link.call("CLIENT", "TRACKING", "ON", "REDIRECT", number, "OPTIN", timeout=_WITHIN)
            await self._prove()
            if line.has_ended:
                raise ConnectionResetError("the connection for notices has ended")
        except BaseException:
            line.close()
            raise
        self._armed.clear()
        self._listening, self._heard_at = line, monotonic()

    async def _prove(self) -> None:
        """See a notice come: the connections may have ended at different servers, or what lies between tell nothing.

        Raises:
            ServerError: none came.
        """
        link, key = self._link, self._keys.proof(secrets.token_hex(8))
        self._proof = key, asyncio.get_running_loop().create_future()
        reading = Reading((key,))
        await link.call("PING", timeout=_WITHIN, aside=reading)
        if reading.error is not None:
            raise reading.error
        try:
            await link.call("SET", key, "", "PX", 1, timeout=_WITHIN)
        except BrokerFull:  # nothing can be written, so nothing can be shown either
            return
        try:
            async with asyncio.timeout(_PROOF_WITHIN):
                await self._proof[1]
        except TimeoutError:
            raise ServerError("ERR it takes CLIENT TRACKING, but no notice comes") from None

    @contextmanager
    def _reading(self, names: Sequence[bytes]) -> Iterator[Reading]:
        """Yield what reads these lists, and begin to watch them when it has."""
        keys = (self._delayed, *names)
        self._armed.update(keys)  # before they are read: a notice may come sooner than the answer
        reading = Reading(keys)
        try:
            yield reading
        finally:
            if reading.answer is not None:
                filled, due = reading.answer
                self.next_due_at = float(due) if due else None
                if filled:
                    self._noticed.update(names)
                    self._tell()
            else:
                self.close()
                if reading.error is not None:
                    self._refuse(reading.error)

    def _refuse(self, error: Exception) -> None:
        """Do without notices for a while, unless what the server said will pass sooner."""
        code = error.code if isinstance(error, ServerError) else ""
        if code in PASSING or code == "NOSCRIPT" or any(text in str(error) for text in _ENDED):
            self._note(error)
            return
        logger.warning(
            "redis at %s does not tell of new messages (%s); asking it up to 200 times a second instead",
            self._link.place.address,
            error,
        )
        self._refused_until = monotonic() + _REFUSED_FOR

    def _note(self, error: Exception) -> None:
        logger.debug("redis at %s does not tell of new messages for now: %s", self._link.place.address, error)

    # -- called by the loop -------------------------------------------------------------------------------------

    def _hear(self, message: Any) -> None:
        """Take note of keys that have changed; of all when the whole database was emptied."""
        names, (proof, seen) = message[2], self._proof
        if proof in (names or ()):
            _wake(seen)
        told = self._armed.copy() if names is None else self._armed.intersection(names)
        self._heard_at = monotonic()
        if told:
            self._armed -= told
            self._noticed |= told
            self._tell()

    def _tell(self) -> None:
        self._is_told = True
        _wake(self._sleeper)

    def _lose_notices(self, line: AsyncLine) -> None:
        if line is self._listening:
            self._lose()

    def _lose(self) -> None:
        """Have whoever sleeps look again: nothing is told any more."""
        if self._listening is not None:
            self.close()
            self._tell()


@lru_cache(maxsize=64)
def _packed(names: tuple[bytes, ...]) -> bytes:
    return _NEXT_IS_WATCHED + pack(("EVALSHA", script("watch").sha, len(names), *names))


def _wake(sleeper: asyncio.Future[None] | None) -> None:
    if sleeper is not None and not sleeper.done():
        sleeper.set_result(None)


async def _asked(line: AsyncLine, *words: Word, within: float) -> Any:
    answer = await line.exchange(pack(words), within=within)
    if isinstance(answer, ServerError):
        raise answer
    return answer
