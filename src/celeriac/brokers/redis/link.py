"""Commands to Redis from any thread of a process, each within one absolute deadline.

A `Link` keeps idle connections for all threads; a thread that needs one takes it, and gives it back when the answer is
there. What has no answer by then is closed: nothing can read another command's answer. Each is a `Session`, which sees
to lost answers.
"""

from __future__ import annotations

import os
import socket
import threading
import weakref
from collections import deque
from collections.abc import Sequence
from time import monotonic
from typing import Any, Final

from celeriac.brokers.redis.connections import ask, connect
from celeriac.brokers.redis.dialing import Word
from celeriac.brokers.redis.failures import ServerError, Step, unreachable
from celeriac.brokers.redis.line import Line, leave_to_parent
from celeriac.brokers.redis.options import RedisOptions
from celeriac.brokers.redis.place import RedisPlace
from celeriac.brokers.redis.scripts import Scripted
from celeriac.brokers.redis.server import ServerFacts, facts_of, refuse
from celeriac.brokers.redis.session import Session
from celeriac.exceptions import BrokerUnavailable

_LOOK_EVERY: Final = 0.05
_SESSION_WITHIN: Final = 3.0


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


_shared: dict[tuple[RedisPlace, RedisOptions], Link] = {}
_links: weakref.WeakSet[Link] = weakref.WeakSet()


def _after_fork() -> None:
    for link in list(_links):
        link.after_fork()


os.register_at_fork(after_in_child=_after_fork)
