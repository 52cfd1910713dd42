"""A child's end of its channel: runs come in, outcomes go out."""

from __future__ import annotations

import select
import socket

from celeriac.worker import packets
from celeriac.worker.runs import ARE_YOU_THERE, READY, Outcome, Run, decode_run, encode

_HERE = encode(Outcome(READY, "", None, 0, 0.0))


class Channel:
    """Be what a pool reads runs from and sends outcomes to.

    A run that is read is begun: the supervisor takes back what was not read, and gives it to somebody else. So read one
    only when a body is free.
    """

    def __init__(self, end: socket.socket) -> None:
        self._end = end

    def fileno(self) -> int:
        """Become readable when there is a run, and at the end. Its flags must not be changed."""
        return self._end.fileno()

    def say_ready(self) -> None:
        """Tell that runs can be taken from now on."""
        try:
            packets.send(self._end, _HERE)
        except BlockingIOError:  # an event loop has made the end non-blocking, and it is full
            writable = select.poll()
            writable.register(self._end, select.POLLOUT)
            writable.poll()
            self.say_ready()

    def receive(self, flags: int = 0) -> Run | None:
        """Wait for a run; None when there are no more. Not for two threads at a time.

        Args:
            flags: `packets.DONT_WAIT` raises instead of waiting.

        Raises:
            BlockingIOError: there is none now.
            OSError: the supervisor has gone.
        """
        packet = packets.receive(self._end, flags)
        while packet == ARE_YOU_THERE:
            self.say_ready()
            packet = packets.receive(self._end, flags)
        return decode_run(packet) if packet else None

    def send(self, outcome: Outcome, flags: int = 0) -> None:
        """Answer one run, in any order. Threads may send at the same time: an outcome is one packet.

        Args:
            flags: `packets.DONT_WAIT` raises instead of waiting for room.

        Raises:
            BlockingIOError: there is no room now.
            OSError: the supervisor has gone.
        """
        packets.send(self._end, encode(outcome), flags)
