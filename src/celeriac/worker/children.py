"""The supervisor's side of one child: what it was sent, what it has answered, what it has not read yet.

Each packet goes over a channel of which the supervisor keeps both ends, so that packets which the child has not read
can be read here instead, and given to another.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

import msgspec

from celeriac.message import Message
from celeriac.worker import packets
from celeriac.worker.dispatch import LATE_AFTER, Slot
from celeriac.worker.held import Held
from celeriac.worker.orders import Replaced, send_order
from celeriac.worker.quotes import told
from celeriac.worker.runs import ARE_YOU_THERE, Outcome, Run, decode_run, encode


class Child(msgspec.Struct, eq=False):
    """Follow one child.

    Attributes:
        slot: as strategies see it.
        end: of its channel, the supervisor's.
        handle: the child's own end, held here too.
        sent: what it has not answered, by number, in the order of sending. It runs the first `slot.capacity` of them,
            except those that it has not read yet.
        unread_since: monotonic instant since which it may have left packets unread; 0.0 when it has read all.
        is_alone: it runs suspects, one at a time, and nothing else.
        adopted: it was there before its supervisor (pool `solo`), and cannot be replaced.
        is_deaf: it left packets unread although it had bodies free, and has not answered since: something blocks it.
        is_choked: its socket is full, though it has bodies free.
        is_leaving: it was told that there is no more to do.
        is_stalled: it does not read any more, and is being killed.
        is_doomed: it gets no more work, because one of its runs is to be ended from outside, and it with that.
        line: on which it gets orders.
        begun: runs that it was given, those left out that were taken back.
        head: number of the first of `sent` when it was looked at last, and `looks` how often that was the same.
        answered: the message that it answered last, if it has its body still.
    """

    slot: Slot
    end: socket.socket
    handle: socket.socket
    sent: dict[int, Held]
    pid: int = 0
    ready: bool = False
    unread_since: float = 0.0
    is_alone: bool = False
    adopted: bool = False
    is_deaf: bool = False
    is_choked: bool = False
    is_leaving: bool = False
    is_stalled: bool = False
    is_doomed: bool = False
    line: socket.socket | None = None
    begun: int = 0
    head: int = 0
    looks: int = 0
    answered: Message | None = None

    @property
    def takes_work(self) -> bool:
        """Say whether strategies may choose it."""
        return (
            self.ready
            and self.slot.capacity > 0
            and not (self.is_alone or self.is_deaf or self.is_choked)
            and not (self.is_leaving or self.is_stalled or self.is_doomed)
        )

    def send(self, held: Held, now: float) -> None:
        """Send a message that is to run.

        Raises:
            BlockingIOError: its socket is full.
            OSError: it is dying, and the notice of that comes next.
        """
        delivery = held.delivery
        run = Run(held.number, delivery.message, delivery.redelivered, delivery.crashes, held.ended, held.is_watched)
        if self.answered is not None:
            run = self._without_answered(run)
        packet = encode(run)
        packets.send(self.end, packet, packets.DONT_WAIT)
        self.slot.note_sent(held.expected, now)
        held.began_at = now
        self.sent[held.number] = held
        if not self.unread_since:
            self.unread_since = now

    def _without_answered(self, run: Run) -> Run:
        """Leave out the body of a message that the child has, because it has just answered it."""
        message, self.answered = self.answered, None  # whatever it runs next, it may have something else after that
        if run.message is not message:
            return run
        return msgspec.structs.replace(run, message=msgspec.structs.replace(message, body=b""), was_answered=True)

    def completed(self, outcome: Outcome, held: Held) -> Outcome:
        """Return an outcome with the body that it has told by that of its run.

        Raises:
            ValueError: it tells what is not there.
        """
        if outcome.quote is None or not outcome.publish:
            return outcome
        first, *others = outcome.publish
        first = msgspec.structs.replace(first, body=told(outcome.quote, held.delivery.message.body))
        if self.slot.capacity == 1 and not self.sent:
            self.answered = first
        return msgspec.structs.replace(outcome, publish=(first, *others), quote=None)

    def note_answered(self, number: int, now: float) -> Held | None:
        """Return what an outcome is about; None when nothing of that number was asked for."""
        held = self.sent.pop(number, None)
        if held is not None:
            self.slot.since = now
            self.slot.note_gone(held.expected)
            if self.unread_since:
                self.unread_since = now if self.sent else 0.0
            if self.sent and self.slot.capacity == 1:
                next(iter(self.sent.values())).began_at = now
        return held

    def may_leave_unread(self, now: float) -> bool:
        """Say whether it has had packets for so long that it should have read them, if it could."""
        # A child that had nothing to do reads what comes.
        return len(self.sent) > 1 and self.unread_since != 0.0 and now - self.unread_since > LATE_AFTER

    def take_back(self) -> list[Held]:
        """Read from the child's own end what it has not read; return that in its old order."""
        self.unread_since = 0.0
        unread = set(self._unread())
        if self.is_deaf:
            self.ask()  # once more: the question was among what it had not read, and no other will come
        if not unread:
            return []
        back = [held for number, held in self.sent.items() if number in unread]
        for held in back:
            del self.sent[held.number]
            self.slot.note_gone(held.expected)
        self.begun -= len(back)
        return back

    def _unread(self) -> Iterator[int]:
        while True:
            try:
                packet = packets.receive(self.handle, packets.DONT_WAIT)
            except OSError:
                return
            if not packet:
                return
            if packet != ARE_YOU_THERE:
                yield decode_run(packet).number

    def ask(self) -> None:
        """Have it say that it reads; one that leaves can be told nothing more."""
        if self.is_leaving:
            return
        self.is_deaf = True
        with contextlib.suppress(OSError):  # it is dying, and the notice of that comes next
            packets.send(self.end, ARE_YOU_THERE, packets.DONT_WAIT)

    def is_stuck(self, looks: int) -> bool:
        """Look at what it should be doing; True when that is the same for more than so many looks in a row."""
        if self.adopted or not (self.sent or self.is_deaf):
            return False
        number = next(iter(self.sent), 0)
        self.looks = self.looks + 1 if self.head == number else 0
        self.head = number
        return self.looks >= looks

    def leave(self, *, is_replaced: bool = False) -> None:
        """Tell it to end when its current runs have, and whether another one takes its place."""
        self.is_leaving = True
        if is_replaced and self.line is not None:
            send_order(self.line, Replaced())
        self.is_deaf = False  # the question may be among what it has not read, and cannot be put again
        with contextlib.suppress(OSError):
            self.end.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Close both ends, and the line."""
        self.end.close()
        self.handle.close()
        if self.line is not None:
            self.line.close()
