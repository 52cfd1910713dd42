"""Act on Redis for one owner: become it, ask in its name, sign off.

Every call carries the owner and an *epoch*. When an answer is lost, nobody knows whether the call will still be
executed: it may lie in a buffer and outlive its connection. So the next call is made in a new epoch, whose beginning
refuses what is still on its way and gives back what the unanswered claims had taken.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import msgspec

from celeriac.brokers.base import Incarnation
from celeriac.brokers.redis.async_link import Aside, AsyncLink
from celeriac.brokers.redis.dialing import Word
from celeriac.brokers.redis.keys import FORMAT, Keys
from celeriac.brokers.redis.notes import Notes
from celeriac.brokers.redis.scripts import script
from celeriac.exceptions import BrokerUnavailable, ImproperlyConfigured, LeaseLost

ASK_WITHIN: Final = 2.5
"""Seconds after which a call counts as not answered, and is made again over another connection.

Work resumes within 3 s after a connection has died without a word, and the watchdog's 5 s are longer than one claim.
"""

SHARE: Final = 500
"""Messages that one script moves at most."""

NOBODY: Final = 0

_OK: Final = 0
_STALE: Final = 1
_LOST: Final = 2
_FOREIGN_FORMAT: Final = 3
_TRIES: Final = 5
_TELLS_ALL: Final = "extend"


class Ownership:
    """Be one owner at a time.

    Args:
        link: where to.
        keys: of its database.
        incarnation: what others get to see of the owner.
        ahead: seconds that the server's clock is taken to be ahead; tests move it.

    Attributes:
        owner: random number of 63 bits, another one for each registration; `NOBODY` before the first.
        answered: called after each call with the seconds that it took; None in place of them when there was no answer.
    """

    def __init__(
        self,
        link: AsyncLink,
        keys: Keys,
        incarnation: Incarnation,
        *,
        ahead: Callable[[], float],
        notes: Notes,
    ) -> None:
        self.owner = NOBODY
        self.notes = notes
        self._link = link
        self._keys = keys
        self._incarnation = incarnation
        self._ahead = ahead
        self._forget()

    def _forget(self) -> None:
        self._epoch = 1
        self._unsure = False
        self._adopting = asyncio.Lock()
        self._next_tag = 1
        self._asked: dict[int, int] = {}
        self._unanswered: dict[int, int] = {}
        self._id = b"%d" % self.owner
        self.held = self._keys.held(self.owner)
        self.started = self._keys.started(self.owner)
        self.notes.clear()

    async def register(self) -> None:
        """Become an owner that nobody was before. What the former one holds was given back already.

        Raises:
            ImproperlyConfigured: what is stored there is of another version than this one knows.
        """
        self.owner = secrets.randbits(62) + 1
        self._forget()
        keys = self._keys
        answer = await self.run(
            "register",
            [keys.owners, keys.epochs, keys.beats, keys.alive, keys.format],
            [self._id, self._epoch, msgspec.json.encode(self._incarnation), FORMAT, self._ahead()],
        )
        if answer[0] == _FOREIGN_FORMAT:
            self.owner = NOBODY
            raise ImproperlyConfigured(
                f"what is stored at redis at {self._link.place.address} has format {answer[1].decode()!r}, and this "
                f"version of celeriac knows format {FORMAT!r}: upgrade this node"
            )

    async def leave(self) -> None:
        """Give back what is still held, uncounted, and be nobody."""
        keys = self._keys
        names = [keys.owners, keys.epochs, keys.beats, self.held, self.started]
        names += [keys.counts, keys.delayed, keys.delayed_counts, keys.alive]
        while self.owner != NOBODY:
            _, left = await self.run("leave", names, [self._id, self._ahead(), SHARE])
            if not left:
                self.owner = NOBODY
                self._forget()

    def set_aside(self, most: int) -> int:
        """Return the first of so many tags, which nothing else will have."""
        first, self._next_tag = self._next_tag, self._next_tag + most
        return first

    @contextmanager
    def claiming(self, most: int, *, first: int | None = None) -> Iterator[int]:
        """Set tags aside for a claim, unless `first` was before, and yield the first of them.

        While the block runs they count as asked for. When it raises, what they name is given back before the next call.
        """
        if first is None:
            first = self.set_aside(most)
        self._asked[first] = most
        owner = self.owner
        try:
            yield first
        except BaseException:
            if owner == self.owner:
                self._unanswered[first] = most
                self._unsure = True
            raise
        finally:
            self._asked.pop(first, None)

    def asked_for(self) -> Callable[[int], bool]:
        """Return what tells whether a tag is of a claim that is under way now, or begins later."""
        ranges = [range(first, first + most) for first, most in (self._asked | self._unanswered).items()]
        next_tag = self._next_tag
        return lambda tag: tag >= next_tag or any(tag in asked for asked in ranges)

    async def ask(
        self,
        name: str,
        keys: Sequence[bytes | str],
        args: Sequence[Word] = (),
        *,
        noting: bool = False,
        then: Sequence[Word] = (),
        within: float = ASK_WITHIN,
        aside: Aside | None = None,
    ) -> Any:
        """Run a script in the owner's name and return its answer.

        Args:
            keys: what comes after the key of the epochs.
            args: what comes after owner, epoch and lead of the clock.
            noting: the script is told what has begun and ended, after `args`.
            then: what comes after that.
            within: seconds.
            aside: what else is sent with it, each time.

        Raises:
            LeaseLost: nobody is that owner any more, or this node has become another one meanwhile.
            BrokerUnavailable: there is no answer, or nobody is registered here.
        """
        owner = self.owner
        if owner == NOBODY:
            raise BrokerUnavailable(
                f"node {self._incarnation.node} is not registered at redis at {self._link.place.address}"
            )
        for _ in range(_TRIES):
            if self._unsure:
                await self._adopt()
            if owner != self.owner:  # the keys are those of the former one
                raise self.lease_lost()
            words = [self._id, self._epoch, self._ahead(), *args]
            if noting:
                with self.notes.taken(all_of_them=name == _TELLS_ALL) as (begun, ended):
                    answer = await self._run_in_epoch(name, keys, [*words, begun, ended, *then], within, aside)
            else:
                answer = await self._run_in_epoch(name, keys, words, within, aside)
            match answer[0]:
                case 0:
                    return answer
                case 2:
                    raise self.lease_lost()
            self._unsure = owner == self.owner  # refused as stale: a later epoch has begun without our hearing of it
        raise BrokerUnavailable(f"redis at {self._link.place.address} refused {name} as sent over a former connection")

    def lead(self) -> float:
        """Return the seconds that the server's clock is taken to be ahead."""
        return self._ahead()

    def lease_lost(self) -> LeaseLost:
        return LeaseLost(f"node {self._incarnation.node} was declared dead by a peer; its claims belong to others")

    async def run(
        self, name: str, keys: Sequence[bytes | str], args: Sequence[Word], *, within: float = ASK_WITHIN
    ) -> Any:
        """Run a script that is bound to no owner."""
        return await self._link.run(script(name), keys, args, timeout=within)

    async def _run_in_epoch(
        self, name: str, keys: Sequence[bytes | str], words: Sequence[Word], within: float, aside: Aside | None
    ) -> Any:
        names = [self._keys.epochs, *keys]
        try:
            return await self._link.run(script(name), names, words, timeout=within, aside=aside)
        except (BrokerUnavailable, asyncio.CancelledError):
            self._unsure = True
            raise

    async def _adopt(self) -> None:
        async with self._adopting:
            if not self._unsure:
                return
            self._epoch += 1
            owner, unanswered = self.owner, dict(self._unanswered)
            keys = self._keys
            answer = await self.run(
                "adopt",
                [keys.epochs, self.held, keys.counts, keys.delayed, keys.delayed_counts],
                [self._id, self._epoch, self._ahead(), *_joined(unanswered)],
            )
            match answer[0]:
                case 0 if owner == self.owner:
                    for first in unanswered:
                        self._unanswered.pop(first, None)
                    self._unsure = bool(self._unanswered)  # another claim may have lost its answer meanwhile
                case 2:
                    raise self.lease_lost()


def _joined(asked: dict[int, int]) -> list[int]:
    """Return claims as pairs of first tag and number of tags, those that follow each other as one.

    An outage leaves one for each attempt to claim.
    """
    words: list[int] = []
    for first, most in sorted(asked.items()):
        if words and words[-2] + words[-1] == first:
            words[-1] += most
        else:
            words += [first, most]
    return words
