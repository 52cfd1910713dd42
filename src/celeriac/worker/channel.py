"""A child's end of its channel: runs come in, outcomes go out."""

from __future__ import annotations

import select
import socket
from typing import Final

from msgspec.structs import replace

from celeriac.worker import packets
from celeriac.worker.quotes import WORTH_QUOTING, quoted
from celeriac.worker.runs import ARE_YOU_THERE, READY, Outcome, Run, decode_run, encode

_NO_RUN: Final = (READY, b"")
_HERE = encode(Outcome(READY, "", None, 0, 0.0))


class Channel:
    """Be what a pool reads runs from and sends outcomes to.

    A run that is read is begun: the supervisor takes back what was not read, and gives it to somebody else. So read one
    only when a body is free.
    """

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._run: tuple[int, bytes] = _NO_RUN  # the number and the body of a large run, until it is answered
        self._answered = b""  # the body that was answered last by a quote

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
        if not packet:
            return None
        run = decode_run(packet)
        if run.was_answered:
            run = replace(run, message=replace(run.message, body=self._answered))
        if len(run.message.body) >= WORTH_QUOTING:
            self._run = run.number, run.message.body
        return run

    def send(self, outcome: Outcome, flags: int = 0) -> None:
        """Answer one run, in any order. Threads may send at the same time: an outcome is one packet.

        Args:
            flags: `packets.DONT_WAIT` raises instead of waiting for room.

        Raises:
            BlockingIOError: there is no room now.
            OSError: the supervisor has gone.
        """
        number, known = self._run
        if number == outcome.number:
            self._run = _NO_RUN
            outcome = self._quoting(outcome, known)
        packets.send(self._end, encode(outcome), flags)

    def _quoting(self, outcome: Outcome, known: bytes) -> Outcome:
        """Leave out the first body that follows a run where the supervisor has it from the run's own."""
        if not outcome.publish:
            return outcome
        first, *others = outcome.publish
        quote = quoted(first.body, known)
        if quote is None:
            return outcome
        self._answered = first.body
        return replace(outcome, publish=(replace(first, body=b""), *others), quote=quote)
