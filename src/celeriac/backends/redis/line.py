"""One connection that is subscribed to results: what is read and written on it, and what has come. Knows no waiting."""

from __future__ import annotations

import contextlib
import math
import os
import select
import socket
import ssl
from collections import deque
from collections.abc import Iterable, Sequence
from socket import SHUT_RDWR
from time import monotonic
from typing import Final

from celeriac.backends.base import StoredResult
from celeriac.backends.redis.interests import Waiter
from celeriac.backends.redis.records import read_results
from celeriac.brokers.redis.connections import ask
from celeriac.brokers.redis.dialing import MAY_LOOK_ON, Reader, new_reader
from celeriac.brokers.redis.failures import ServerError
from celeriac.brokers.redis.options import RedisOptions
from celeriac.states import READY_STATES
from celeriac.wire.told import told_state

_READ_SIZE: Final = 262_144

_SPIN: Final = 0.002
"""Seconds for which the listener does not sleep, when the wait before was over that soon."""


class Look:
    """Ask for records, and know who asked.

    Attributes:
        ids: whose.
        waiters: those who have something already, and wait only for this.
    """

    __slots__ = ("ids", "waiters")

    def __init__(self, ids: Sequence[str], waiters: Sequence[Waiter] = ()) -> None:
        self.ids = ids
        self.waiters = waiters


class News:
    """Gather what one read has brought.

    Attributes:
        found: final records.
        looked: looks that were answered.
        unclear: ids of records that do not tell their state.
    """

    __slots__ = ("found", "looked", "unclear")

    def __init__(self) -> None:
        self.found: list[StoredResult] = []
        self.looked: list[Look] = []
        self.unclear: list[str] = []

    def take_message(self, task_id: str, record: bytes) -> None:
        """Understand what was published."""
        state = told_state(record)
        if state is None:
            self.unclear.append(task_id)
        elif state in READY_STATES:
            self.found.append(StoredResult(task_id=task_id, state=state, record=record))

    def take_look(self, look: Look, values: Sequence[bytes | None]) -> None:
        """Understand what a look has found."""
        self.found += final_results(look.ids, values)
        self.looked.append(look)


class Line:
    """Hold what belongs to one connection, from its login to its end.

    Whoever writes holds the subscriber's lock for that. A connection of TLS is for one thread at a time, so there
    reading needs the lock, too.

    Args:
        sock: logged in, with nothing unread on it.
        resp3: it speaks protocol 3.
        patience: seconds after which a write that gets no further ends the connection.

    Attributes:
        encrypted: it is one of TLS.
        reader: takes apart what has come.
        due: what answers are awaited to, in order; None stands for a PING.
        asked_at: monotonic instant of the last question.
        heard_at: monotonic instant at which something came last.
        looked_at: monotonic instant at which all was looked at last.
        blind: this user may not subscribe.
    """

    def __init__(self, sock: socket.socket, *, resp3: bool, patience: float) -> None:
        self.sock = sock
        self.resp3 = resp3
        self.encrypted = isinstance(sock, ssl.SSLSocket)
        self.reader: Reader = new_reader()
        self.due: deque[Look | None] = deque()
        self.asked_at = self.heard_at = self.looked_at = monotonic()
        self.blind = False
        self._patience = patience
        self._brisk = False
        self._spin_until = 0.0
        sock.settimeout(patience)

    def note_asked(self) -> None:
        """Note that somebody begins to wait."""
        self.asked_at = monotonic()
        if self._brisk and MAY_LOOK_ON:
            self._spin_until = self.asked_at + _SPIN

    def note_found(self) -> None:
        """Note that somebody has what he waited for."""
        self._brisk = self.heard_at - self.asked_at < _SPIN
        self._spin_until = 0.0

    def write(self, packed: Iterable[bytes]) -> None:
        """Send; where that fails the listener sees it, and begins anew with everything."""
        try:
            if self.encrypted:
                self.sock.settimeout(self._patience)
            self.sock.sendall(b"".join(packed))
        except OSError:
            self.hang_up()

    def read(self) -> bytes | None:
        """Return what has come, when `is_readable` says that something has; None when it was nothing for us.

        Raises:
            OSError: the connection has ended.
        """
        if self.encrypted:
            self.sock.settimeout(0.0)
            try:
                data = self.sock.recv(_READ_SIZE)
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return None
        else:
            data = self.sock.recv(_READ_SIZE)
        if not data:
            raise ConnectionResetError("the server closed the connection")
        return data

    def is_readable(self, timeout: float) -> bool:
        """Wait until something has come, at most so many seconds; say whether it has."""
        if isinstance(self.sock, ssl.SSLSocket) and self.sock.pending():
            return True
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        while monotonic() < self._spin_until:
            if poll.poll(0):
                return True
            os.sched_yield()  # the server may wait for this very processor
        return bool(poll.poll(math.ceil(timeout * 1000)))

    def is_writable(self) -> bool:
        """Say whether a write would get somewhere now."""
        poll = select.poll()
        try:
            poll.register(self.sock, select.POLLOUT)
        except ValueError:
            return False  # closed meanwhile
        return bool(poll.poll(0))

    def hang_up(self) -> None:
        """End the connection for everybody who reads or writes it now; the listener closes it."""
        with contextlib.suppress(OSError):  # it has ended already
            socket.socket.shutdown(self.sock, SHUT_RDWR)  # that of TLS would have its reader read what is encrypted


def speaks_3(sock: socket.socket, options: RedisOptions, deadline_at: float) -> bool:
    """Change to protocol 3 if the server knows it, and nobody has said otherwise."""
    if options.protocol is not None:
        return options.protocol == 3
    try:
        ask(sock, ("HELLO", "3"), deadline_at)
    except ServerError:
        return False
    return True


def final_results(ids: Sequence[str], values: Sequence[bytes | None]) -> list[StoredResult]:
    """Return the records that are final among those that a look has brought."""
    return [one for one in read_results(ids, values).values() if one.state in READY_STATES]
