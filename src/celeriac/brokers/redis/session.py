"""Commands to Redis in order, by one thread, and again when their answers are lost.

What publishes numbers what it publishes, so a repeat after a lost answer changes nothing (rules of the publish script).
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Sequence
from itertools import chain, repeat
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from celeriac.brokers.redis.connections import ask
from celeriac.brokers.redis.dialing import Word, flat, pack
from celeriac.brokers.redis.failures import ELSEWHERE, PASSING, ServerError, refusal, unanswered
from celeriac.brokers.redis.line import Line
from celeriac.brokers.redis.scripts import Scripted
from celeriac.exceptions import BrokerUnavailable
from celeriac.shelter import sheltered

if TYPE_CHECKING:
    from celeriac.brokers.redis.link import Link

_FRESH: Final = 1.0  # seconds for which an idle connection is used without a look at it
_NAPS: Final = (0.0, 0.0, 0.005, 0.01, 0.02, 0.05, 0.1)  # seconds before each attempt
_ENOUGH: Final = 0.05  # seconds that another attempt must have: one that is cut short leaves a doubt
_PING_WITHIN: Final = 1.0


class Session(Line):
    """Send commands over one connection at a time, in order; used by one thread at a time.

    It outlives its connections: after a lost answer it connects anew and repeats, under the same number.

    Attributes:
        producer: id of what publishes here; never used by anybody else.
    """

    __slots__ = ("_link", "_number", "pid", "producer")

    def __init__(self, link: Link) -> None:
        super().__init__()
        self._link = link
        self._number = 0
        self.pid = os.getpid()
        self.producer = secrets.token_hex(8)

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *error: object) -> None:
        self._link.give_back(self)

    def next_number(self) -> int:
        """Return the number of the next batch, from 1."""
        self._number += 1
        return self._number

    def call(self, *words: Word, deadline_at: float, repeatable: bool = False) -> Any:
        """Do as `Link.call` on this connection."""
        return self._get(words, deadline_at, repeatable)

    def run(
        self,
        script: Scripted,
        keys: Sequence[str | bytes],
        args: Sequence[Word],
        *,
        deadline_at: float,
        repeatable: bool = True,
    ) -> Any:
        """Do as `Link.run` on this connection."""
        words = ("EVALSHA", script.sha, len(keys), *keys, *args)
        try:
            return self._get(words, deadline_at, repeatable)
        except _Unknown:
            return self._get(("EVAL", script.text, len(keys), *keys, *args), deadline_at, repeatable)

    def pipeline(
        self, commands: Sequence[Sequence[Word]], *, deadline_at: float, repeatable: bool = False
    ) -> list[Any]:
        """Do as `Link.pipeline` on this connection."""
        if not commands:  # else the answers to nothing would be waited for
            return []
        packed = b"".join(_packed(tuple(words)) for words in commands)
        name = f"{len(commands)} commands"
        answers: list[Any] = self._ask(packed, name, deadline_at, repeatable, count=len(commands))
        for answer in answers:
            if isinstance(answer, ServerError):
                raise refusal(answer, self._link.place.address, name)
        return [flat(answer) for answer in answers]

    def _get(self, words: tuple[Word, ...], deadline_at: float, repeatable: bool) -> Any:
        answer = self._ask(_packed(words), words[0], deadline_at, repeatable)
        if isinstance(answer, ServerError):
            if answer.code == "NOSCRIPT":
                raise _Unknown
            raise refusal(answer, self._link.place.address, str(words[0]))
        return flat(answer) if type(answer) is dict or type(answer) is set else answer

    def _ask(self, packed: bytes, name: Word, deadline_at: float, repeatable: bool, *, count: int = 0) -> Any:
        """Return the answer to one command, or to `count` of them; the rule of repeating is here."""
        started_at = monotonic()
        unsure = False
        error: Exception | None = None
        for nap in chain(_NAPS, repeat(_NAPS[-1])):
            if error is not None:
                if monotonic() + nap + _ENOUGH >= deadline_at:
                    break
                time.sleep(nap)
            try:
                if self.sock is None or started_at - self.used_at > _FRESH:
                    self._freshen(deadline_at)
            except BrokerUnavailable as unavailable:
                if error is None:
                    raise
                if not isinstance(error, ServerError):  # what that said of itself tells more
                    error = unavailable
                continue
            self.asked = False
            try:
                answer = self.exchange(packed, deadline_at)
                if count:
                    answer = [answer, *(self.receive(deadline_at) for _ in range(count - 1))]
            except OSError as lost:
                self.drop()
                unsure, error = unsure or self.asked, lost
                if not repeatable:
                    break
            except BaseException:
                self.drop()
                raise
            else:
                if not isinstance(answer, ServerError) or answer.code not in PASSING:
                    return answer
                error = answer
                if answer.code in ELSEWHERE:
                    self.drop()
                    self._link.turn_away()
        if isinstance(error, BrokerUnavailable):
            error.maybe_published = unsure
            raise error
        assert error is not None, "the loop ends after an error"
        where = self._link.place.address
        raise unanswered(error, where, str(name), monotonic() - started_at, sent=unsure) from error

    def _freshen(self, deadline_at: float) -> None:
        """Make sure that there is a connection, and that one which was idle still stands."""
        if self.sock is not None and (self.is_broken() or not self._still_answers(deadline_at)):
            self.drop()
        if self.sock is None:
            self._link.connect(self, deadline_at)

    def _still_answers(self, deadline_at: float) -> bool:
        """Try a connection that was idle for long: what lies between may have forgotten it."""
        after = self._link.options.check_after
        if not after or monotonic() - self.used_at < after:
            return True
        assert self.sock is not None
        now = monotonic()
        try:
            ask(self.sock, ("PING",), min(now + _PING_WITHIN, now + (deadline_at - now) / 2))
        except (OSError, ServerError):
            return False
        except BaseException:  # else the answer would be read as that to the next command
            self.drop()
            raise
        return True


def _packed(words: tuple[Word, ...]) -> bytes:
    with sheltered:  # numbers are written by what looks for signals: the driver does not survive what is raised there
        return pack(words)


class _Unknown(Exception):
    """Say that the server does not have a script."""
