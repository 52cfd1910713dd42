"""Commands to Redis from an event loop: one connection, one command at a time.

A command that timed out or was cancelled closes the connection, for its answer would be read by the next one. There is
no back-off and no repeating here: the loops of a node have it, and know what to repeat.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from celeriac.brokers.redis.async_line import AsyncLine
from celeriac.brokers.redis.connections import aconnect
from celeriac.brokers.redis.dialing import Word, flat, left, pack
from celeriac.brokers.redis.failures import ELSEWHERE, ServerError, refusal, unanswered
from celeriac.brokers.redis.options import RedisOptions
from celeriac.brokers.redis.place import RedisPlace
from celeriac.brokers.redis.scripts import Scripted


class Aside(Protocol):
    """Be commands that are sent behind another one, in the same write.

    Attributes:
        packed: all of them.
        count: how many these are.
    """

    @property
    def packed(self) -> bytes: ...

    @property
    def count(self) -> int: ...

    def take(self, answers: Sequence[Any], /) -> None:
        """Learn what the server has answered to them, errors too; called before the other answer is returned."""


class AsyncLink:
    """Send commands to one place, from one event loop; calls take turns.

    Args:
        place: where.
        options: how.
        name: what the connection is called on the server.

    Attributes:
        epoch: raised each time a connection is made; 0 before the first.
        first: index of the endpoint that the last connection was made to.
        when_lost: called in the event loop when a connection has ended.
    """

    def __init__(self, place: RedisPlace, options: RedisOptions, *, name: str) -> None:
        self.place = place
        self.options = options
        self.epoch = 0
        self.first = 0
        self.when_lost: Callable[[], None] | None = None
        self._name = name
        self._line: AsyncLine | None = None
        self._turn = asyncio.Lock()
        self._queued = 0

    async def call(self, *words: Word, timeout: float, aside: Aside | None = None) -> Any:
        """Send one command and return its answer: bytes, int, None or a list of these; a map comes as a flat list.

        Args:
            words: the command and its arguments.
            timeout: seconds, with waiting for the turn and connecting.
            aside: what else is sent with it.

        Raises:
            BrokerUnavailable: no answer in time; `maybe_published` says whether it may have been executed.
            BrokerFull: the server has reached its memory limit.
            OperationalError: the server answered an error; the text has it.
        """
        answer = await self._ask(words, timeout, aside)
        if isinstance(answer, ServerError):
            raise refusal(answer, self.place.address, str(words[0]))
        return answer

    async def run(
        self,
        script: Scripted,
        keys: Sequence[str | bytes],
        args: Sequence[Word],
        *,
        timeout: float,
        aside: Aside | None = None,
    ) -> Any:
        """Run a script and return its answer; the server is given its text when it does not have it.

        Args and errors are those of `call`.
        """
        started_at = time.monotonic()
        answer = await self._ask(("EVALSHA", script.sha, len(keys), *keys, *args), timeout, aside)
        if isinstance(answer, ServerError) and answer.code == "NOSCRIPT":
            rest = timeout - (time.monotonic() - started_at)
            answer = await self._ask(("EVAL", script.text, len(keys), *keys, *args), rest, aside)
        if isinstance(answer, ServerError):
            raise refusal(answer, self.place.address, "EVALSHA")
        return answer

    async def close(self) -> None:
        """Close the connection; a later call opens another. May be called twice."""
        self._drop()

    async def _ask(self, words: tuple[Word, ...], timeout: float, aside: Aside | None) -> Any:
        started_at = time.monotonic()
        deadline_at = started_at + timeout
        sent = False
        try:
            if self._turn.locked() or self._queued:
                await self._queue(deadline_at)
            else:
                await self._turn.acquire()  # at once
            try:
                if self._line is None:
                    await self._connect(deadline_at)
                within = left(deadline_at)
                sent = True
                return await self._exchange(pack(words), aside, within)
            finally:
                self._turn.release()
        except OSError as error:  # TimeoutError is one
            seconds = time.monotonic() - started_at
            raise unanswered(error, self.place.address, str(words[0]), seconds, sent=sent) from error

    async def _queue(self, deadline_at: float) -> None:
        """Wait for the turn; it is the caller's when this returns."""
        self._queued += 1
        try:
            async with asyncio.timeout(deadline_at - time.monotonic()):
                await self._turn.acquire()
        finally:
            self._queued -= 1

    async def _exchange(self, packed: bytes, aside: Aside | None, within: float) -> Any:
        line = self._line
        assert line is not None
        try:
            if aside is None:
                answer = await line.exchange(packed, within=within)
            else:
                answer, *others = await line.exchange(packed + aside.packed, within=within, count=1 + aside.count)
                aside.take(others)
            answer = flat(answer)
        except BaseException:
            self._drop()
            raise
        if isinstance(answer, ServerError) and answer.code in ELSEWHERE:
            self._drop()
            self.first = (self.first + 1) % len(self.place.endpoints)
        return answer

    async def _connect(self, deadline_at: float) -> None:
        connection, self.first = await aconnect(
            self.place,
            self.options,
            timeout=deadline_at - time.monotonic(),
            name=self._name,
            first=self.first,
        )
        self._line = AsyncLine(connection, ended=self._lose)
        self.epoch += 1

    def _lose(self, _: AsyncLine) -> None:
        if self.when_lost is not None:
            self.when_lost()

    def _drop(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            line.close()
