"""The node's slots: send runs to children, read their outcomes, take back what they have not begun.

This is the shell around `dispatch.py`, which chooses; here are the sockets. The supervisor keeps the child's end of
each channel open too, so that packets which the child has not read can be read here instead, and given to another
slot.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, Protocol

import msgspec

from celeriac.worker import packets
from celeriac.worker.dispatch import LATE_AFTER, Durations, Slot, Strategy
from celeriac.worker.forkserver import Died, Started, signal_group
from celeriac.worker.held import Held
from celeriac.worker.runs import READY, Outcome, Run, decode_outcome, decode_run, encode

logger: Final = logging.getLogger("celeriac.worker")

_READ_MAX: Final = 128
_LOOK_EVERY: Final = LATE_AFTER / 2
_LOOK_AT_HEADS_EVERY: Final = 1.0
_STALLED_AFTER: Final = 5
"""Looks, that is seconds, after which a child that has not read what it is to do next is given up. Not measured by a
clock: a node that was stopped itself must not blame its children for it."""

_RESPAWN_DELAYS: Final = (0.0, 0.1, 0.5, 1.0, 5.0)


class Starter(Protocol):
    """Start and kill the processes that hold slots."""

    def spawn(self, slot: int, child_end: socket.socket) -> None: ...

    def kill(self, slot: int, number: int, *, group: bool = False) -> None: ...


class Child(msgspec.Struct, eq=False):
    """Hold the supervisor's side of one child.

    Attributes:
        end: of its channel, the supervisor's.
        handle: the child's own end, held here too.
        sent: what it has not answered; it runs the first, unless it has not read that yet.
        head: number of the first of `sent` when it was looked at last, and `looks` how often that was the same.
        adopted: it was there before its supervisor (pool `solo`), and cannot be replaced.
        stalled: it does not read any more, and is being killed.
    """

    slot: Slot
    end: socket.socket
    handle: socket.socket
    sent: deque[Held]
    pid: int = 0
    ready: bool = False
    adopted: bool = False
    stalled: bool = False
    head: int = 0
    looks: int = 0


class Slots:
    """Keep the children of a node, and the messages that wait for one of them.

    Args:
        starter: starts children.
        strategy: chooses.
        durations: learns from outcomes.
        on_outcome: called for each outcome, in the order of their arrival.
        on_crash: called for the message whose child died under it, with the notice.
        on_start: called when a message goes to a child, with the child's pid; with None when it was taken back unread.
        foretell: awaited before a message that somebody had before goes to a child; None where that is not needed.
    """

    def __init__(
        self,
        starter: Starter,
        strategy: Strategy,
        durations: Durations,
        *,
        on_outcome: Callable[[Held, Outcome], None],
        on_crash: Callable[[Held, Died], None],
        on_start: Callable[[Held, int | None], None],
        foretell: Callable[[Held], Awaitable[None]] | None = None,
    ) -> None:
        self._starter = starter
        self._strategy = strategy
        self._durations = durations
        self._on_outcome = on_outcome
        self._on_crash = on_crash
        self._on_start = on_start
        self._foretell = foretell
        self._foretold: Held | None = None
        self._foretelling: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()
        self._children: dict[int, Child] = {}
        self._slots: list[Slot] = []
        self._early_deaths = 0
        self._looking: asyncio.TimerHandle | None = None
        self._looking_at_heads: asyncio.TimerHandle | None = None
        self._stopping = False
        self.waiting: deque[Held] = deque()
        """Messages that are claimed, decided on and not with any child."""
        self.up = asyncio.Event()
        """Set when all children were up at the same time."""

    # -- children -----------------------------------------------------------------------------------------------

    def start(self, count: int) -> None:
        """Start so many children. Called once."""
        for number in range(count):
            self._spawn(number)
        self._looking_at_heads = self._loop.call_later(_LOOK_AT_HEADS_EVERY, self._look_for_stalled)

    def adopt(self, number: int, end: socket.socket, handle: socket.socket) -> None:
        """Use a process that exists already as a child (pool `solo`). It ends its channel when it is done."""
        self._keep(Child(Slot(number, deque()), end, handle, deque(), adopted=True))

    def _spawn(self, number: int) -> None:
        if self._stopping:
            return
        end, handle = packets.pair()
        self._keep(Child(Slot(number, deque()), end, handle, deque()))
        self._starter.spawn(number, handle)

    def _keep(self, child: Child) -> None:
        self._children[child.slot.number] = child
        self._loop.add_reader(child.end.fileno(), self._read, child)

    def _note_up(self, child: Child) -> None:
        child.ready = True
        self._slots = [one.slot for one in self._children.values() if one.ready and not one.stalled]
        if len(self._slots) == len(self._children):
            self._early_deaths = 0
            self.up.set()
        self.dispatch()

    def note_started(self, notice: Started) -> None:
        """Learn a child's pid."""
        if notice.slot in self._children:
            self._children[notice.slot].pid = notice.pid

    def note_died(self, notice: Died) -> None:
        """Bury a child: its last outcomes count, what it has not read goes elsewhere, what it was running crashed."""
        child = self._children.pop(notice.slot, None)
        if child is None:
            return
        self._read_all(child)
        self._take_back(child)
        self._close(child)
        if not self._stopping:
            self._loop.call_later(self._respawn_delay(child), self._spawn, notice.slot)
        for held in child.sent:
            self._on_crash(held, notice)
        self.dispatch()

    def _respawn_delay(self, child: Child) -> float:
        if child.ready:
            return 0.0
        # It died before it came up: whatever the cause, starting it in a hot loop does not cure it.
        delay = _RESPAWN_DELAYS[min(self._early_deaths, len(_RESPAWN_DELAYS) - 1)]
        self._early_deaths += 1
        logger.error("child %s died before it was ready; starting another in %.1f s", child.pid, delay)
        return delay

    def _close(self, child: Child) -> None:
        self._loop.remove_reader(child.end.fileno())
        child.end.close()
        child.handle.close()
        self._slots = [slot for slot in self._slots if slot is not child.slot]

    # -- sending ------------------------------------------------------------------------------------------------

    @property
    def slots(self) -> list[Slot]:
        """What strategies see: the slots whose child is up."""
        return self._slots

    @property
    def idle(self) -> bool:
        """True when a slot has nothing to do."""
        return any(not slot.waits for slot in self._slots)

    def add(self, held: Iterable[Held]) -> None:
        """Take messages that are to run; `dispatch` sends them."""
        self.waiting.extend(held)

    def dispatch(self) -> None:
        """Send waiting messages for as long as the strategy finds slots for them."""
        waiting = self.waiting
        if not waiting or not self._slots:
            return
        now = time.monotonic()
        window = False
        while waiting:
            held = waiting[0]
            slot = self._strategy.choose(self._slots, held.expected, now)
            if slot is None or not self._is_foretold(held) or not self._send(self._children[slot.number], held, now):
                break
            waiting.popleft()
            window = window or len(slot.waits) > 1
        if window and self._looking is None:
            self._looking = self._loop.call_later(_LOOK_EVERY, self._look_for_late)

    def _is_foretold(self, held: Held) -> bool:
        """Say whether this may be sent now; if not, see to it that it soon may."""
        if self._foretell is None or not held.delivery.redelivered or held is self._foretold:
            return True
        if self._foretelling is None:
            self._foretelling = self._loop.create_task(self._send_foretold(held, self._foretell), name="foretelling")
        return False

    async def _send_foretold(self, held: Held, foretell: Callable[[Held], Awaitable[None]]) -> None:
        try:
            await foretell(held)
        except Exception:
            logger.exception(
                "it was not noted that %s[%s] is about to begin; it begins", held.intake.task, held.intake.id
            )
        self._foretelling = None
        self._foretold = held
        self.dispatch()

    def _send(self, child: Child, held: Held, now: float) -> bool:
        delivery = held.delivery
        packet = encode(Run(held.number, delivery.message, delivery.redelivered, delivery.crashes))
        # Noted first: a body may kill this very process before `send` has returned.
        self._on_start(held, child.pid)
        try:
            packets.send(child.end, packet, packets.DONT_WAIT)
        except OSError:  # its socket is full, that is a full window; or it is dying, and the notice of that comes next
            self._on_start(held, None)
            return False
        slot = child.slot
        if not slot.waits:
            slot.since = now
        slot.waits.append(held.expected)
        slot.expected += held.expected
        child.sent.append(held)
        return True

    # -- reading ------------------------------------------------------------------------------------------------

    def _read(self, child: Child) -> None:
        self._read_some(child, _READ_MAX)
        self.dispatch()

    def _read_all(self, child: Child) -> None:
        while self._read_some(child, _READ_MAX):
            pass

    def _read_some(self, child: Child, most: int) -> bool:
        """Read up to `most` outcomes; return False when there was no more."""
        for _ in range(most):
            try:
                packet = packets.receive(child.end, packets.DONT_WAIT)
            except BlockingIOError:
                return False
            except ConnectionResetError:
                continue  # what it had sent before is still to be read
            except OSError as exc:
                self._distrust(child, str(exc))
                return False
            if not packet:
                self._note_end(child)
                return False
            self._note(child, packet)
            if not child.sent:
                return False  # what was not asked for does not come
        return True

    def _note_end(self, child: Child) -> None:
        """Let go of an adopted process that has nothing more to say. Of other ends the notice of a death tells."""
        self._loop.remove_reader(child.end.fileno())
        if child.adopted and not child.sent:
            self._children.pop(child.slot.number, None)
            self._close(child)

    def _note(self, child: Child, packet: bytes) -> None:
        try:
            outcome = decode_outcome(packet)
        except msgspec.MsgspecError as exc:
            self._distrust(child, f"unreadable outcome: {exc}")
            return
        if outcome.number == READY:
            self._note_up(child)
            return
        if not child.sent or child.sent[0].number != outcome.number:
            self._distrust(child, f"outcome {outcome.number} was not expected")
            return
        held = child.sent.popleft()
        slot = child.slot
        slot.since = time.monotonic()
        slot.waits.popleft()
        # Sums of floats drift, and inf - inf is no number: an empty or short window is added up anew.
        slot.expected = sum(slot.waits) if len(slot.waits) < 8 else slot.expected - held.expected
        self._durations.note(held.intake.task, outcome.took)
        self._on_outcome(held, outcome)

    def _distrust(self, child: Child, why: str) -> None:
        logger.error("child %s is out of step (%s); killing it", child.pid, why)
        self._starter.kill(child.slot.number, signal.SIGKILL, group=True)

    # -- taking back --------------------------------------------------------------------------------------------

    def _look_for_late(self) -> None:
        """Take the windows of slots back whose current run turned out long."""
        self._looking = None
        windows = [child for child in self._children.values() if len(child.sent) > 1]
        now = time.monotonic()
        for child in windows:
            if child.slot.is_late(now):
                self._read_all(child)  # perhaps it is this loop that was late
            if child.slot.is_late(now):
                self._take_back(child)
        self.dispatch()
        if self._looking is None and any(len(child.sent) > 1 for child in windows):
            self._looking = self._loop.call_later(_LOOK_EVERY, self._look_for_late)

    def _take_back(self, child: Child) -> None:
        """Read from the child's own end what it has not read, and let it wait here instead, in its old order."""
        unread = set()
        while True:
            try:
                packet = packets.receive(child.handle, packets.DONT_WAIT)
            except OSError:
                break
            if not packet:
                break
            unread.add(decode_run(packet).number)
        if not unread:
            return
        back = [held for held in child.sent if held.number in unread]
        child.sent = deque(held for held in child.sent if held.number not in unread)
        child.slot.waits = deque(held.expected for held in child.sent)
        child.slot.expected = sum(child.slot.waits)
        self.waiting.extendleft(reversed(back))
        for held in back:
            self._on_start(held, None)

    def _look_for_stalled(self) -> None:
        """Kill the children that run nothing and do not read either: what they were sent would wait for ever.

        A task may have left its process like that: stopped, or with a lock held that its next run needs.
        """
        for child in self._children.values():
            if self._is_stalled(child):
                logger.error(
                    "child %s runs nothing, and has not read its next message for %d s; killing it, others run that",
                    child.pid,
                    _STALLED_AFTER,
                )
                child.stalled = True
                self._slots = [slot for slot in self._slots if slot is not child.slot]
                self._starter.kill(child.slot.number, signal.SIGKILL, group=True)
        self.dispatch()
        self._looking_at_heads = self._loop.call_later(_LOOK_AT_HEADS_EVERY, self._look_for_stalled)

    def _is_stalled(self, child: Child) -> bool:
        """Look at the head of what was sent. When it is the same for too long, take back what was not read."""
        if not child.sent or child.adopted:
            return False
        number = child.sent[0].number
        child.looks = child.looks + 1 if child.head == number else 0
        child.head = number
        if child.looks < _STALLED_AFTER:
            return False
        self._read_all(child)
        self._take_back(child)  # of a child whose run takes long this finds nothing
        return not child.sent

    def withdraw(self, *, claimed_before: float = float("inf")) -> list[Held]:
        """Hand over the messages that no child has begun and that were claimed before some monotonic instant."""
        for child in self._children.values():
            if len(child.sent) > 1:
                self._take_back(child)
        found = [held for held in self.waiting if held.claimed_at < claimed_before]
        if found:
            self.waiting = deque(held for held in self.waiting if held.claimed_at >= claimed_before)
        return found

    def take_out(self, wanted: Iterable[Held]) -> list[Held]:
        """Hand over those of some messages that no child has begun; what else was taken back waits again."""
        numbers = {held.number for held in wanted}
        for child in self._children.values():
            if any(held.number in numbers for held in child.sent):
                self._take_back(child)
        found = [held for held in self.waiting if held.number in numbers]
        if found:
            self.waiting = deque(held for held in self.waiting if held.number not in numbers)
        self.dispatch()
        return found

    # -- stopping -----------------------------------------------------------------------------------------------

    @property
    def running(self) -> int:
        """Messages that are with children."""
        return sum(len(child.sent) for child in self._children.values())

    @property
    def alive(self) -> int:
        """Children that have not died."""
        return len(self._children)

    def finish(self) -> None:
        """Let every child end when its current run has; start no more."""
        self._stopping = True
        for child in self._children.values():
            self._take_back(child)
            with contextlib.suppress(OSError):
                child.end.shutdown(socket.SHUT_WR)

    def kill(self) -> None:
        """Kill every child and everything that it has started."""
        self._stopping = True
        for number, child in self._children.items():
            self._read_all(child)
            self._starter.kill(number, signal.SIGKILL, group=True)

    def abandon(self) -> list[Held]:
        """Give up every child, because nobody will tell of their deaths; return what they had not answered."""
        unanswered: list[Held] = []
        for child in self._children.values():
            self._read_all(child)
            self._take_back(child)
            unanswered.extend(child.sent)
            if child.pid:  # what its body had started goes as well
                signal_group(child.pid, signal.SIGKILL)
        self.close()
        return unanswered

    def close(self) -> None:
        """Close the channels of the children that are left."""
        self._stopping = True
        for timer in (self._looking, self._looking_at_heads, self._foretelling):
            if timer is not None:
                timer.cancel()
        for child in self._children.values():
            self._close(child)
        self._children.clear()
        self._slots = []
