"""One subscription for all who wait for results in this process, whatever thread or event loop they are in.

A result is published as it is kept, so the message on the channel is the record: who waits subscribes, looks once, and
sleeps. A thread listens for everybody. Reading in the waiting thread would save a change of threads, 20 to 35 µs of a
round trip of 780; but the listener goes on while an event loop is busy, and notices that a connection has died.

On protocol 3 subscribing and looking are one write on one connection, and nobody waits for an answer to it. On protocol
2 a connection that is subscribed does nothing else, so the listener looks through the `Link` once it is subscribed.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import threading
import time
import weakref
from collections.abc import Collection, Iterable, Iterator, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from celeriac.backends.base import StoredResult
from celeriac.backends.redis.interests import Interests, Waiter
from celeriac.backends.redis.line import Line, Look, News, final_results, speaks_3
from celeriac.backends.redis.records import ResultKeys
from celeriac.brokers.redis.connections import connect
from celeriac.brokers.redis.dialing import CLIENT_NAME, MORE, pack
from celeriac.brokers.redis.failures import ServerError, refusal
from celeriac.brokers.redis.line import leave_to_parent
from celeriac.brokers.redis.link import Link
from celeriac.exceptions import BrokerUnavailable, OperationalError
from celeriac.shelter import sheltered

if TYPE_CHECKING:
    import asyncio

logger: Final = logging.getLogger("celeriac")

Found = dict[str, StoredResult]

_CHUNK: Final = 500
"""Ids in one command."""

_AT_ONCE: Final = 2_000
"""Ids for which an event loop sends itself, which is 300 kB and takes 5 ms; for more a thread does."""

_TICK: Final = 1.0
"""Seconds between two looks at who waits for what."""

_QUIET: Final = 1.5
"""Seconds of silence after which the server is asked whether it is there, while somebody waits."""

_ANSWERS_WITHIN: Final = 2.5
"""Seconds of silence after a question that end a connection."""

_NET: Final = 5.0
"""Seconds after which all that is awaited is looked at although no message came."""

_NET_PER_ID: Final = 0.0005

_BLIND_NET: Final = 0.1
"""The same where nothing can be subscribed to."""

_PATIENCE: Final = 20.0
"""Seconds for which waiters wait for a server that is away before they are told."""

_CONNECT_WITHIN: Final = 2.0
_NAPS: Final = (0.02, 0.05, 0.1, 0.2, 0.5)
_IDLE: Final = 30.0
"""Seconds after which the connection is closed that nobody needed."""

_PING: Final = pack(("PING",))


class Subscriber:
    """Wait for results in one place; safe in any thread, event loop and forked process.

    Args:
        link: tells the place, and takes the looks that the subscription cannot carry.
        keys: what is called how.
    """

    def __init__(self, link: Link, keys: ResultKeys) -> None:
        self._link = link
        self._keys = keys
        self._channel = keys.meta("").encode()
        self._begin()
        _subscribers.add(self)

    @classmethod
    def at(cls, link: Link, keys: ResultKeys) -> Subscriber:
        """Return this process's subscriber to a place; it connects when somebody waits."""
        found = _shared.get((link, keys))
        return found if found is not None else _shared.setdefault((link, keys), cls(link, keys))

    def _begin(self) -> None:
        self._kind_of_lock = threading.Lock
        self._lock = threading.Lock()  # of everything but the socket
        self._sending = threading.Lock()  # of what is written to the socket, and of all that TLS does
        self._interests = Interests()
        self._wanted: list[Look] = []
        self._line: Line | None = None
        self._thread: threading.Thread | None = None
        self._down_since = math.inf
        self._first = 0

    # -- waiting ------------------------------------------------------------------------------------------------

    def wait(self, task_ids: Collection[str], *, timeout: float | None) -> Found:
        """Wait as `ResultBackend.wait` does, for at least one id and for more than no time.

        Raises:
            OperationalError: the store has been away for long, or refuses.
        """
        woken = threading.Lock()
        woken.acquire()
        waiter = Waiter(task_ids, woken.release)
        has_entered = False
        try:
            with sheltered:
                self._enter(waiter)
                has_entered = True
            self._flush()
            woken.acquire(timeout=-1 if timeout is None else min(timeout, threading.TIMEOUT_MAX))
        finally:
            if has_entered:
                with sheltered:
                    self._leave(waiter)
        return _outcome(waiter)

    async def wait_async(self, task_ids: Collection[str], *, timeout: float | None) -> Found:
        """Do what `wait` does without blocking the event loop."""
        import asyncio  # 30 ms that programs without coroutines need not wait for

        loop = asyncio.get_running_loop()
        woken: asyncio.Future[None] = loop.create_future()

        def wake() -> None:
            if not woken.done():
                woken.set_result(None)

        def tell() -> None:
            with contextlib.suppress(RuntimeError):  # the loop was closed while somebody waited
                loop.call_soon_threadsafe(wake)

        waiter = Waiter(task_ids, tell)
        timer = None if timeout is None else loop.call_later(timeout, wake)
        self._enter(waiter)
        try:
            loop.call_soon(self._flush_for_loop)  # what others in this loop ask for meanwhile goes with it
            await woken
        finally:
            self._leave(waiter)
            if timer is not None:
                timer.cancel()
        return _outcome(waiter)

    def _enter(self, waiter: Waiter) -> None:
        if threading.Lock is not self._kind_of_lock:
            # Since then gevent has patched the standard library, as in a web server that preloads: a greenlet that
            # waited for the old lock would hold up the one that has it.
            self._end()
            self._begin()
        with self._lock:
            if self._thread is None:
                self._start()
            new = self._interests.enter(waiter)
            if new:
                self._wanted.append(Look(list(new), [waiter] if waiter.found else ()))
            elif waiter.found:
                waiter.tell()

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._listen, name="celeriac results", daemon=True)
        try:
            self._thread.start()
        except RuntimeError:  # there are too many
            self._thread = None
            raise

    def _leave(self, waiter: Waiter) -> None:
        with self._lock:
            self._interests.leave(waiter)

    def forget(self, task_ids: Collection[str]) -> None:
        """Keep nothing of these runs, whose records were deleted."""
        with self._lock:
            self._interests.forget(task_ids)

    def close(self) -> None:
        """Close the connection, unless somebody waits. May be called twice; whoever waits then opens it again."""
        with self._lock:
            if not self._interests.is_anybody_there():
                self._end()

    def _end(self) -> None:
        self._interests = Interests()
        self._thread = None
        self._down_since = math.inf
        line, self._line = self._line, None
        if line is not None:
            line.hang_up()  # which wakes the listener; it closes the socket

    def after_fork(self) -> None:
        """Leave the parent's connection and thread to the parent."""
        line = self._line
        self._begin()
        if line is not None:
            leave_to_parent(line.sock)

    # -- sending ------------------------------------------------------------------------------------------------

    def _flush(self) -> None:
        """Send what is wanted. Whoever is sending now will see to it, by calling this when that is done."""
        while self._wanted and self._line is not None:
            with sheltered:  # else the answers would be to other looks than those that are due
                if not self._sending.acquire(blocking=False):
                    return
                try:
                    self._send_wanted()
                finally:
                    self._sending.release()

    def _flush_for_loop(self) -> None:
        """Send what is wanted if that takes no time, else have a thread do it."""
        line = self._line
        if not self._wanted or line is None:
            return
        if sum(len(look.ids) for look in self._wanted) <= _AT_ONCE and line.is_writable():
            self._flush()
        else:
            threading.Thread(target=self._flush, name="celeriac results, sending", daemon=True).start()

    def _send_wanted(self) -> None:
        with self._lock:
            line = self._line
            if line is None:
                return
            packed = [*self._unsubscribing(), *self._subscribing(line)]
        line.write(packed)

    def _unsubscribing(self) -> Iterator[bytes]:
        ended = list(self._interests.ended)
        self._interests.ended.clear()
        for part in _chunks(ended):
            yield self._channels("UNSUBSCRIBE", part)

    def _subscribing(self, line: Line) -> Iterator[bytes]:
        wanted, self._wanted = self._wanted, []
        ids = [one for look in wanted for one in look.ids]
        looks = [Look(part) for part in _chunks(ids)]
        if looks:
            looks[-1].waiters = [one for look in wanted for one in look.waiters]
            line.note_asked()
        for look in looks:
            line.due.append(look)
            yield self._channels("SUBSCRIBE", look.ids)
            if line.resp3:
                yield self._looking(look.ids)

    def _channels(self, command: str, ids: Sequence[str]) -> bytes:
        return pack((command, *map(self._keys.meta, ids)))

    def _looking(self, ids: Sequence[str]) -> bytes:
        return pack(("MGET", *self._keys.both(ids)))

    def _ask(self, line: Line, due: Look | None, packed: bytes) -> None:
        with self._sending:
            with self._lock:
                line.due.append(due)
                line.asked_at = monotonic()
            line.write([packed])

    # -- listening ----------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        """Read for all who wait, until nobody has for a while. The body of the thread."""
        me = threading.current_thread()
        line: Line | None = None
        failures = 0
        idle_at = tick_at = monotonic()
        while self._thread is me:
            try:
                if line is None:
                    line = self._connect(failures)
                self._flush()  # what others left to this thread while it was sending
                if line.is_readable(max(0.0, tick_at - monotonic())):
                    self._read(line)
                    failures, self._down_since = 0, math.inf
                if monotonic() >= tick_at:
                    awaited = self._tick(line)
                    tick_at = monotonic() + (min(_TICK, _net(line)) if awaited else _TICK)
                    if awaited:
                        idle_at = monotonic()
                    elif monotonic() - idle_at > _IDLE:
                        self._retire(me)
            except Exception as error:
                if not isinstance(error, (OSError, OperationalError)):
                    logger.exception("waiting for results at %s begins anew", self._link.place.address)
                failures += 1
                self._lose(me, line, error)
                line = None
        if line is not None:
            self._close(line)

    def _connect(self, failures: int) -> Line:
        """Connect; subscribe to, and look at, everything that is awaited."""
        if failures:
            time.sleep(_NAPS[min(failures, len(_NAPS)) - 1])
        self._down_since = min(self._down_since, monotonic())
        place, options = self._link.place, self._link.options
        deadline_at = monotonic() + _CONNECT_WITHIN
        name = f"{options.client_name or CLIENT_NAME}-results"
        sock, self._first = connect(place, options, deadline_at=deadline_at, name=name, first=self._first)
        try:
            line = Line(sock, resp3=speaks_3(sock, options, deadline_at), patience=_ANSWERS_WITHIN)
            self._start_on(line)
        except BaseException:
            sock.close()
            raise
        return line

    def _start_on(self, line: Line) -> None:
        with self._sending:
            with self._lock:
                if self._thread is not threading.current_thread():
                    return  # closed meanwhile
                ids = self._interests.start_again()
                self._wanted = [Look(list(ids), [one for one in self._interests.waiters() if one.found])] if ids else []
                packed = list(self._subscribing(line))
                self._line = line
            line.write(packed)

    def _read(self, line: Line) -> None:
        """Take in what has come, and tell those who wait for it."""
        with self._sending if line.encrypted else contextlib.nullcontext():
            data = line.read()
        if data is None:
            return
        line.heard_at = monotonic()
        line.reader.feed(data, 0, len(data))
        news = News()
        while (answer := line.reader.gets()) is not MORE:
            self._take(line, answer, news)
        if news.found:
            line.note_found()
        self._tell(news.found, news.looked)
        if news.unclear:
            self._look_at(line, news.unclear)

    def _take(self, line: Line, answer: Any, news: News) -> None:
        """Understand one answer or message."""
        if isinstance(answer, ServerError):
            self._hear_refusal(line, answer)
        elif line.resp3 and (type(answer) is list or not isinstance(answer, list)):
            look = line.due.popleft()
            if look is not None:
                news.take_look(look, answer)
        elif answer[0] == b"message":
            news.take_message(answer[1][len(self._channel) :].decode(), answer[2])
        elif not line.resp3 and line.due:
            look = line.due[0]
            if look is None:
                if answer == b"PONG" or answer[0] == b"pong":  # as it is written while nothing is subscribed to
                    line.due.popleft()
            elif answer[0] == b"subscribe" and answer[1] == self._keys.meta(look.ids[-1]).encode():
                line.due.popleft()
                news.take_look(look, self._values_of(look.ids))

    def _values_of(self, ids: Sequence[str]) -> list[bytes | None]:
        deadline_at = monotonic() + _ANSWERS_WITHIN
        values: list[bytes | None] = self._link.call(
            "MGET", *self._keys.both(ids), deadline_at=deadline_at, repeatable=True
        )
        return values

    def _hear_refusal(self, line: Line, error: ServerError) -> None:
        """Take note that this user may not subscribe.

        Raises:
            OperationalError: it is another refusal.
        """
        if error.code != "NOPERM" or ("channel" not in error.text and "subscribe" not in error.text):
            raise refusal(error, self._link.place.address, "a look at results")
        if not line.blind:
            logger.warning(
                "redis at %s does not let this user subscribe to %s*, so results are asked for again and again; "
                "ACL SETUSER with '&%s*' and '+subscribe' lets it",
                *(self._link.place.address, self._channel.decode(), self._channel.decode()),
            )
        line.blind = True
        if not line.resp3:
            line.due.popleft()

    def _tell(self, found: Iterable[StoredResult], looked: Iterable[Look] = ()) -> None:
        with self._lock:
            told = self._interests.hear(found)
            told += [one for look in looked for one in look.waiters if one.found]
        for waiter in told:
            waiter.tell()

    def _look_at(self, line: Line, ids: Sequence[str]) -> None:
        """Look at records that are subscribed to already."""
        for part in _chunks(ids):
            if line.resp3:
                self._ask(line, Look(part), self._looking(part))
            else:
                self._tell(final_results(part, self._values_of(part)))

    # -- seeing to it -------------------------------------------------------------------------------------------

    def _tick(self, line: Line) -> bool:
        """Do what is to be done now and then; say whether somebody waits.

        Raises:
            TimeoutError: the server has been silent for too long.
        """
        with self._lock:
            self._interests.lose_interest()
            awaited = self._interests.awaited()
            ended = bool(self._interests.ended)
        now = monotonic()
        if line.due and now - max(line.asked_at, line.heard_at) > _ANSWERS_WITHIN:
            raise TimeoutError("the server does not answer")
        if ended:
            with self._sending:
                self._send_wanted()
        if awaited and not line.due and now - line.heard_at > _QUIET:
            self._ask(line, None, _PING)
        if awaited and now - line.looked_at > _net(line) + len(awaited) * _NET_PER_ID:
            line.looked_at = now
            self._look_at(line, list(awaited))
        return bool(awaited)

    def _lose(self, me: threading.Thread, line: Line | None, error: Exception) -> None:
        """Give a connection up; tell those who wait if that has lasted too long, or cannot get better."""
        told: list[Waiter] = []
        with self._lock:
            if self._line is line:
                self._line = None
            if self._thread is me:
                self._down_since = min(self._down_since, monotonic())
                if monotonic() - self._down_since >= _PATIENCE or not _may_pass(error):
                    told = self._interests.waiters()
                if not self._interests.is_anybody_there():
                    self._end()
        for waiter in told:
            waiter.error = self._named(error)
            waiter.tell()
        if line is not None:
            self._close(line)

    def _named(self, error: Exception) -> OperationalError:
        if isinstance(error, OperationalError):
            return error
        named = BrokerUnavailable(f"redis at {self._link.place.address} cannot be asked for results: {error}")
        named.__cause__ = error
        return named

    def _close(self, line: Line) -> None:
        line.hang_up()
        with self._sending:  # nobody writes to it any more, nor to what the system calls by the same number next
            line.sock.close()

    def _retire(self, me: threading.Thread) -> None:
        """End the thread and close the connection, unless somebody waits after all."""
        with self._lock:
            if self._thread is me and not self._interests.is_anybody_there():
                self._end()


def _net(line: Line) -> float:
    return _BLIND_NET if line.blind else _NET


def _outcome(waiter: Waiter) -> Found:
    if waiter.error is not None and not waiter.found:
        raise waiter.error
    return waiter.found


def _chunks(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    return (ids[start : start + _CHUNK] for start in range(0, len(ids), _CHUNK))


def _may_pass(error: Exception) -> bool:
    """Say whether a server may think otherwise in a moment: not about a password."""
    if isinstance(error, BrokerUnavailable):
        cause = error.__cause__
        return not (isinstance(cause, ServerError) and cause.code in ("NOAUTH", "WRONGPASS", "NOPERM"))
    return not isinstance(error, OperationalError)


_shared: Final[dict[tuple[Link, ResultKeys], Subscriber]] = {}
_subscribers: Final[weakref.WeakSet[Subscriber]] = weakref.WeakSet()


def _after_fork() -> None:
    for subscriber in list(_subscribers):
        subscriber.after_fork()


os.register_at_fork(after_in_child=_after_fork)
