"""One blocking connection to Redis: a command goes out, its answer comes back.

Deadlines hold by the timeouts of sockets, set anew before each read to what is left. That costs 1 µs per call; a thread
that watches deadlines would cost less here, and has to be seen to at forks and under gevent.
"""

from __future__ import annotations

import math
import os
import select
import socket
from time import monotonic
from typing import Any, Final

from celeriac.brokers.redis.dialing import MAY_LOOK_ON, MORE, Reader, left, new_reader

_READ_SIZE: Final = 65_536
_BRISK: Final = 100e-6  # seconds for which an answer is looked for again and again: to sleep and be woken takes as long
_DULL: Final = 32  # answers that are waited for asleep, after one that took longer than that


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
