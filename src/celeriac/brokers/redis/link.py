"""Commands to Redis from any thread of a process, each within one absolute deadline.

A `Link` keeps idle connections for all threads; a thread that needs one takes it, and gives it back when the answer is
there. What has no answer by then is closed: nothing can read another command's answer. A publishing connection is a
`Session`: it numbers what it publishes, so a repeat after a lost answer changes nothing (rules of the publish script).

Deadlines hold by the timeouts of sockets, set anew before each read to what is left. That costs 1 µs per call; a thread
that watches deadlines would cost less here, and has to be seen to at forks and under gevent.
"""

from __future__ import annotations

import math
import os
import secrets
import select
import socket
import threading
import time
import weakref
from collections import deque
from collections.abc import Sequence
from itertools import chain, repeat
from time import monotonic
from typing import Any, Final, Protocol

from celeriac.brokers.redis.connections import ask, connect
from celeriac.brokers.redis.dialing import MAY_LOOK_ON, MORE, Reader, Word, left, new_reader, pack
from celeriac.brokers.redis.failures import ELSEWHERE, PASSING, ServerError, Step, refusal, unanswered, unreachable
from celeriac.brokers.redis.options import RedisOptions
from celeriac.brokers.redis.place import RedisPlace
from celeriac.brokers.redis.server import ServerFacts, facts_of, refuse
from celeriac.exceptions import BrokerUnavailable

_READ_SIZE: Final = 65_536
_FRESH: Final = 1.0  # seconds for which an idle connection is used without a look at it
_NAPS: Final = (0.0, 0.0, 0.005, 0.01, 0.02, 0.05, 0.1)  # seconds before each attempt
_ENOUGH: Final = 0.05  # seconds that another attempt must have: one that is cut short leaves a doubt
_PING_WITHIN: Final = 1.0
_LOOK_EVERY: Final = 0.05
_BRISK: Final = 100e-6  # seconds for which an answer is looked for again and again: to sleep and be woken takes as long
_DULL: Final = 32  # answers that are waited for asleep, after one that took longer than that


class Scripted(Protocol):
    """Be a Lua script.

    Attributes:
        text: its source.
        sha: SHA1 of that, in hexadecimal digits.
    """

    @property
    def text(self) -> str: ...

    @property
    def sha(self) -> str: ...


class Line:
    """Hold one connection at most; used by one thread at a time.

    The answer of a server on the same machine is there before this thread has gone to sleep, and waking it up again
    takes longer than all the rest. So a thread looks again and again for a while, and lets others run in between. Where
    that was in vain it sleeps at once the next times.

    Attributes:
        sock: logged in, with nothing unread on it; or None.
        used_at: monotonic instant of its last answer.
        asked: something was sent since this was last set to False.
    """

    __slots__ = ("__weakref__", "_buffer", "_dull", "_reader", "asked", "sock", "used_at")

    def __init__(self) -> None:
        self.sock: socket.socket | None = None
        self.used_at = 0.0
        self._buffer = bytearray(_READ_SIZE)
        self._reader: Reader = new_reader()
        self._dull: float = 0
        self.asked = False

    def take(self, sock: socket.socket) -> None:
        """Begin to use a connection that is logged in."""
        self.sock = sock
        self._reader = new_reader()
        looks = MAY_LOOK_ON and type(sock).__module__ == "socket"  # not those of TLS and gevent
        self._dull = 0 if looks else math.inf
        self.used_at = monotonic()

    def drop(self) -> None:
        """Close the connection."""
        sock, self.sock = self.sock, None
        if sock is not None:
            sock.close()

    def __del__(self) -> None:
        self.drop()  # nobody can use it further, and a socket that is only forgotten warns

    def exchange(self, packed: bytes, deadline_at: float) -> Any:
        """Send a command and return its answer; errors are returned, too.

        Raises:
            OSError: there is no answer, and the connection cannot be used further.
        """
        sock = self.sock
        assert sock is not None
        if self._dull:
            sock.settimeout(left(deadline_at))
            self.asked = True
            sock.sendall(packed)
        else:
            self._send_soon(sock, packed, deadline_at)
        return self.receive(deadline_at)

    def receive(self, deadline_at: float) -> Any:
        """Return the next answer."""
        sock, reader, buffer = self.sock, self._reader, self._buffer
        assert sock is not None
        answer = reader.gets()
        while answer is MORE:
            count = self._read_soon(sock, deadline_at)
            if count is None:
                count = sock.recv_into(buffer)
            if not count:
                raise ConnectionResetError("the server closed the connection")
            reader.feed(buffer, 0, count)
            answer = reader.gets()
            if answer is MORE and self._dull:
                sock.settimeout(left(deadline_at))
        self.used_at = monotonic()
        return answer

    def _send_soon(self, sock: socket.socket, packed: bytes, deadline_at: float) -> None:
        """Send without asking first whether there is room, which a socket with a timeout does each time."""
        left(deadline_at)
        if sock.gettimeout() != 0:
            sock.setblocking(False)
        self.asked = True
        try:
            sent = sock.send(packed)
        except BlockingIOError:
            sent = 0
        if sent < len(packed):
            sock.settimeout(left(deadline_at))
            sock.sendall(memoryview(packed)[sent:])

    def _read_soon(self, sock: socket.socket, deadline_at: float) -> int | None:
        """Read what comes within a moment; None when nothing has come, or it is not worth looking."""
        if self._dull:
            self._dull -= 1
            return None
        buffer, until = self._buffer, monotonic() + _BRISK
        if sock.gettimeout() != 0:  # each change takes a call of the kernel
            sock.setblocking(False)
        while True:
            try:
                return sock.recv_into(buffer)
            except BlockingIOError:
                if monotonic() > until:
                    break
                os.sched_yield()
        self._dull = _DULL
        sock.settimeout(left(deadline_at))
        return None

    def is_broken(self) -> bool:
        """Say whether an idle connection was closed by the server, or has an answer on it that nobody asked for."""
        if self.sock is None:
            return True
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        return bool(poll.poll(0))


class Link:
    """Send commands to one place, from any thread. `at` gives each process its own.

    Attributes:
        place: where.
        options: how.
    """

    def __init__(self, place: RedisPlace, options: RedisOptions) -> None:
        self.place = place
        self.options = options
        self._checked = False
        self._begin()
        _links.add(self)

    @classmethod
    def at(cls, place: RedisPlace, options: RedisOptions) -> Link:
        """Return this process's link to a place; it connects when it is used."""
        link = _shared.get((place, options))
        if link is None:
            link = _shared.setdefault((place, options), cls(place, options))
        return link

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._idle: deque[Session] = deque()
        self._lines: weakref.WeakSet[Session] = weakref.WeakSet()
        self._kind_of_lock = threading.Lock
        self._freed = threading.Condition()
        self._waiting = 0
        self._first = 0

    def after_fork(self) -> None:
        """Leave the parent's connections to the parent."""
        for line in list(self._lines):
            sock, line.sock = line.sock, None
            if sock is not None:
                leave_to_parent(sock)
        self._begin()

    # -- commands -----------------------------------------------------------------------------------------------

    def call(self, *words: Word, deadline_at: float, repeatable: bool = False) -> Any:
        """Send one command and return its answer: bytes, int, None or a list of these; a map comes as a flat list.

        Args:
            words: the command and its arguments.
            deadline_at: monotonic instant by which the call has ended.
            repeatable: doing it twice does no harm, so it is done again when its answer is lost.

        Raises:
            BrokerUnavailable: no answer by the deadline; `maybe_published` says whether it may have been executed.
            BrokerFull: the server has reached its memory limit.
            OperationalError: the server answered an error; the text has it.
        """
        with self.session(deadline_at=deadline_at) as session:
            return session.call(*words, deadline_at=deadline_at, repeatable=repeatable)

    def run(
        self,
        script: Scripted,
        keys: Sequence[str | bytes],
        args: Sequence[Word],
        *,
        deadline_at: float,
        repeatable: bool = True,
    ) -> Any:
        """Run a script and return its answer; the server is given its text when it does not have it.

        Args and errors are those of `call`.
        """
        session = self._take(deadline_at)
        try:
            return session.run(script, keys, args, deadline_at=deadline_at, repeatable=repeatable)
        finally:
            self.give_back(session)

    def pipeline(
        self, commands: Sequence[Sequence[Word]], *, deadline_at: float, repeatable: bool = False
    ) -> list[Any]:
        """Send several commands at once and return their answers; args and errors are those of `call`.

        It is no transaction. The first error that the server answered is raised, after all were executed.
        """
        with self.session(deadline_at=deadline_at) as session:
            return session.pipeline(commands, deadline_at=deadline_at, repeatable=repeatable)

    def session(self, *, deadline_at: float | None = None) -> Session:
        """Lend a connection for several commands in order, to a `with` statement.

        Args:
            deadline_at: until when to wait for one when all that may be open are in use; None: 3 s from now.

        Raises:
            BrokerUnavailable: none became free.
        """
        return self._take(monotonic() + _SESSION_WITHIN if deadline_at is None else deadline_at)

    def close(self) -> None:
        """Close the idle connections; those in use are closed when they are given back. May be called twice."""
        idle, self._idle = self._idle, deque()
        for session in idle:
            session.drop()

    # -- connections ----------------------------------------------------------------------------------------------

    def _take(self, deadline_at: float) -> Session:
        if self._pid != os.getpid():  # a fork that Python was not told of
            self.after_fork()
        try:
            return self._idle.pop()
        except IndexError:
            pass
        if threading.Lock is not self._kind_of_lock:  # gevent has patched it since, as in a web server that preloads
            self._kind_of_lock = threading.Lock
            self._freed = threading.Condition()
        most = self.options.max_connections
        session = self._new(most)
        return self._wait_for_one(most, deadline_at) if session is None else session

    def _new(self, most: int | None) -> Session | None:
        """Make one more, unless there are as many as there may be."""
        with self._freed:
            if most is not None and len(self._lines) >= most:
                return None
            session = Session(self)
            self._lines.add(session)
            return session

    def _wait_for_one(self, most: int | None, deadline_at: float) -> Session:
        if self.options.acquire_timeout is not None:
            deadline_at = min(deadline_at, monotonic() + self.options.acquire_timeout)
        with self._freed:
            self._waiting += 1
            try:
                while monotonic() < deadline_at:
                    if self._idle:
                        return self._idle.pop()
                    session = self._new(most)  # a thread that ended half-way has lost one
                    if session is not None:
                        return session
                    self._freed.wait(min(_LOOK_EVERY, max(0.0, deadline_at - monotonic())))
            finally:
                self._waiting -= 1
        raise BrokerUnavailable(
            f"all {most} connections to redis at {self.place.address} are in use by other threads; "
            "raise broker_pool_limit (results: redis_max_connections)"
        )

    def give_back(self, session: Session) -> None:
        if session.pid != self._pid:  # the fork happened while it was lent
            return
        self._idle.append(session)
        if self._waiting:
            with self._freed:
                self._freed.notify()

    def connect(self, line: Line, deadline_at: float) -> None:
        """Give a line a connection.

        Raises:
            BrokerUnavailable: no server of the place can be reached.
            ImproperlyConfigured: it is of no use; see `refuse`.
        """
        sock, self._first = connect(self.place, self.options, deadline_at=deadline_at, first=self._first)
        if not self._checked:
            try:
                self._check(sock, deadline_at)
            except BaseException:
                sock.close()
                raise
        line.take(sock)

    def _check(self, sock: socket.socket, deadline_at: float) -> None:
        """Refuse a server that cannot do what is needed; once per process."""
        started_at = monotonic()
        try:
            facts = facts_of(ask(sock, ("INFO", "server"), deadline_at))
        except ServerError:  # this user may not ask
            facts = ServerFacts()
        except OSError as error:
            seconds = monotonic() - started_at
            raise unreachable(error, self.place.address, seconds, Step.LOG_IN) from error
        refuse(facts, self.place.address, self.options)
        self._checked = True

    def turn_away(self) -> None:
        """Begin with the next endpoint from now on: the one that was used cannot do what it should."""
        self._first = (self._first + 1) % len(self.place.endpoints)


_SESSION_WITHIN: Final = 3.0


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
        packed = b"".join(pack(tuple(words)) for words in commands)
        name = f"{len(commands)} commands"
        answers: list[Any] = self._ask(packed, name, deadline_at, repeatable, count=len(commands))
        for answer in answers:
            if isinstance(answer, ServerError):
                raise refusal(answer, self._link.place.address, name)
        return [flat(answer) for answer in answers]

    def _get(self, words: tuple[Word, ...], deadline_at: float, repeatable: bool) -> Any:
        answer = self._ask(pack(words), words[0], deadline_at, repeatable)
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
        return True


class _Unknown(Exception):
    """Say that the server does not have a script."""


def flat(answer: Any) -> Any:
    """Return an answer of protocol 3 as protocol 2 has it: a map as a flat list, a set as a list."""
    if isinstance(answer, dict):
        return [part for pair in answer.items() for part in pair]
    return list(answer) if isinstance(answer, set) else answer


_shared: dict[tuple[RedisPlace, RedisOptions], Link] = {}
_links: weakref.WeakSet[Link] = weakref.WeakSet()
_of_parents: list[socket.socket] = []


def leave_to_parent(sock: socket.socket) -> None:
    """Give up a connection of the parent process without closing it there.

    Its descriptor comes to name nothing. The object stays: closing it would tell gevent's loop, which is the parent's,
    too, until it is made anew.
    """
    _of_parents.append(sock)
    nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    os.dup2(nothing, sock.fileno(), inheritable=False)
    os.close(nothing)


def _after_fork() -> None:
    for link in list(_links):
        link.after_fork()


os.register_at_fork(after_in_child=_after_fork)
