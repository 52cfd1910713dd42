"""Commands to Redis from an event loop: one connection, one command at a time.

A command that timed out or was cancelled closes the connection, for its answer would be read by the next one. There is
no back-off and no repeating here: the loops of a node have it, and know what to repeat.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from celeriac.brokers.redis.async_line import AsyncLine
from celeriac.brokers.redis.connections import aconnect
from celeriac.brokers.redis.dialing import Word, pack
from celeriac.brokers.redis.failures import ELSEWHERE, ServerError, refusal, unanswered
from celeriac.brokers.redis.link import Scripted, flat
from celeriac.brokers.redis.options import RedisOptions
from celeriac.brokers.redis.place import RedisPlace


class AsyncLink:
    """Send commands to one place, from one event loop; calls take turns.

    Args:
        place: where.
        options: how.
        name: what the connection is called on the server.

    Attributes:
        epoch: raised each time a connection is made; 0 before the first.
    """

    def __init__(self, place: RedisPlace, options: RedisOptions, *, name: str) -> None:
        self.place = place
        self.options = options
        self.epoch = 0
        self._name = name
        self._line: AsyncLine | None = None
        self._turn = asyncio.Lock()
        self._first = 0

    async def call(self, *words: Word, timeout: float) -> Any:
        """Send one command and return its answer: bytes, int, None or a list of these; a map comes as a flat list.

        Args:
            words: the command and its arguments.
            timeout: seconds, with waiting for the turn and connecting.

        Raises:
            BrokerUnavailable: no answer in time; `maybe_published` says whether it may have been executed.
            BrokerFull: the server has reached its memory limit.
            OperationalError: the server answered an error; the text has it.
        """
        answer = await self._ask(words, timeout)
        if isinstance(answer, ServerError):
            raise refusal(answer, self.place.address, str(words[0]))
        return answer

    async def run(self, script: Scripted, keys: Sequence[str | bytes], args: Sequence[Word], *, timeout: float) -> Any:
        """Run a script and return its answer; the server is given its text when it does not have it.

        Args and errors are those of `call`.
        """
        started_at = time.monotonic()
        answer = await self._ask(("EVALSHA", script.sha, len(keys), *keys, *args), timeout)
        if isinstance(answer, ServerError) and answer.code == "NOSCRIPT":
            left = timeout - (time.monotonic() - started_at)
            answer = await self._ask(("EVAL", script.text, len(keys), *keys, *args), left)
        if isinstance(answer, ServerError):
            raise refusal(answer, self.place.address, "EVALSHA")
        return answer

    async def close(self) -> None:
        """Close the connection; a later call opens another. May be called twice."""
        self._drop()

    async def _ask(self, words: tuple[Word, ...], timeout: float) -> Any:
        started_at = time.monotonic()
        until = asyncio.get_running_loop().time() + timeout
        sent = False
        try:
            async with asyncio.timeout_at(until) as within, self._turn:
                if self._line is None:
                    within.reschedule(None)  # connecting has a deadline of its own, and says how far it came
                    await self._connect(started_at + timeout)
                    within.reschedule(until)
                sent = True
                return await self._exchange(pack(words))
        except OSError as error:  # TimeoutError is one
            seconds = time.monotonic() - started_at
            raise unanswered(error, self.place.address, str(words[0]), seconds, sent=sent) from error

    async def _exchange(self, packed: bytes) -> Any:
        line = self._line
        assert line is not None
        try:
            answer = flat(await line.exchange(packed))
        except BaseException:
            self._drop()
            raise
        if isinstance(answer, ServerError) and answer.code in ELSEWHERE:
            self._drop()
            self._first = (self._first + 1) % len(self.place.endpoints)
        return answer

    async def _connect(self, deadline_at: float) -> None:
        connection, self._first = await aconnect(
            self.place,
            self.options,
            timeout=deadline_at - time.monotonic(),
            name=self._name,
            first=self._first,
        )
        self._line = AsyncLine(connection)
        self.epoch += 1

    def _drop(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            line.close()
