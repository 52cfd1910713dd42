"""The node's slots: send runs to children, read their outcomes, take back what they have not begun.

This is the shell around `dispatch.py`, which chooses. `children.py` is about one child, `suspects.py` about runs that
may have killed one.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from math import inf
from typing import Final, Protocol

import msgspec

from celeriac.worker import packets
from celeriac.worker.children import Child
from celeriac.worker.dispatch import LATE_AFTER, Durations, Slot, Strategy, worth_relieving
from celeriac.worker.forkserver import Died, Started, signal_group
from celeriac.worker.held import Held, Verdict
from celeriac.worker.orders import ORDER_SIGNAL, Order, send_order
from celeriac.worker.recycling import Recycling
from celeriac.worker.runs import READY, Outcome, decode_outcome
from celeriac.worker.settle import how_it_died
from celeriac.worker.strategies import learner_of
from celeriac.worker.suspects import Suspects

logger: Final = logging.getLogger("celeriac.worker")

_READ_MAX: Final = 128
_LOOK_EVERY: Final = LATE_AFTER / 2
_LOOK_AT_HEADS_EVERY: Final = 1.0
_STALLED_AFTER: Final = 5
"""Looks, that is seconds, after which a child that has not read what it is to do next is given up. Not measured by a
clock: a node that was stopped itself must not blame its children for it."""

_END_WITHIN: Final = 10.0
"""Seconds after its last run in which a child that is replaced must have ended."""

_RESPAWN_DELAYS: Final = (0.0, 0.1, 0.5, 1.0, 5.0)


class Starter(Protocol):
    """Start and kill the processes that hold slots."""

    def spawn(self, slot: int, child_end: socket.socket, line: socket.socket) -> None: ...

    def kill(self, slot: int, number: int, *, group: bool = False) -> None: ...


class Slots:
    """Keep the children of a node, and the messages that wait for one of them.

    Args:
        starter: starts children.
        strategy: chooses.
        durations: learns from outcomes.
        on_outcome: called for each outcome, in the order of their arrival.
        on_crash: called for the message whose child died under it, with the notice. Where several ran in that child
            nobody knows which of them did it: all become suspects, and it is called when one of them does it again.
        on_killed: called for a message with a verdict, whose child has died; the verdict says what the run came to.
        on_start: called when a message goes to a child, with the child's pid; with None when it was taken back unread.
        foretell: awaited before a message that somebody had before goes to a child; None where that is not needed.
        recycling: what a child may come to before another one takes its place; None: it stays.
        alive_within: seconds in which a child that was started must be ready; None: as long as it takes.

    A child has a place in its node, from 0, and a number. Its successor has the same place, and a number of its own:
    for a while both are there.
    """

    def __init__(
        self,
        starter: Starter,
        strategy: Strategy,
        durations: Durations,
        *,
        on_outcome: Callable[[Held, Outcome], None],
        on_crash: Callable[[Held, Died], None],
        on_killed: Callable[[Held, Verdict], None],
        on_start: Callable[[Held, int | None], None],
        foretell: Callable[[Held], Awaitable[None]] | None = None,
        recycling: Recycling | None = None,
        alive_within: float | None = None,
    ) -> None:
        self._starter = starter
        self._strategy = strategy
        self._learn = learner_of(strategy)
        self._durations = durations
        self._on_outcome = on_outcome
        self._on_crash = on_crash
        self._on_killed = on_killed
        self._on_start = on_start
        self._foretell = foretell
        self._recycling = recycling
        self.alive_within = alive_within
        self._foretold: Held | None = None
        self._foretelling: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()
        self._children: dict[int, Child] = {}
        self._slots: list[Slot] = []
        self._capacities: Sequence[int] = ()
        self._early_deaths = 0
        self._alone_after = 0.0
        self._looking: asyncio.TimerHandle | None = None
        self._looking_at_heads: asyncio.TimerHandle | None = None
        self._stopping = False
        self.suspects = Suspects()
        """Messages that may have killed a child, and wait for one of their own."""
        self.waiting: deque[Held] = deque()
        """Messages that are claimed, decided on and not with any child."""
        self.up = asyncio.Event()
        """Set when all children were up at the same time."""

    # -- children -----------------------------------------------------------------------------------------------

    def start(self, capacities: Sequence[int]) -> None:
        """Start a child for each number of bodies that one is to run at once. Called once."""
        self._capacities = capacities
        for place in range(len(capacities)):
            self._spawn(place)
        self._looking_at_heads = self._loop.call_later(_LOOK_AT_HEADS_EVERY, self._look_for_stalled)

    def adopt(
        self, number: int, end: socket.socket, handle: socket.socket, line: socket.socket, *, capacity: int = 1
    ) -> None:
        """Use a process that exists already as a child (pool `solo`). It ends its channel when it is done."""
        self._capacities = (*self._capacities, capacity)
        self._keep(Child(Slot(number, capacity), end, handle, {}, adopted=True, line=line))

    def _spawn(self, place: int) -> None:
        if self._stopping or self._child_at(place) is not None:
            return
        is_alone = place == len(self._capacities)
        number = place
        while number in self._children:
            number += places(self._capacities)
        slot = Slot(number, 1 if is_alone else self._room_at(place), place=place)
        try:
            end, handle = packets.pair()
        except OSError as exc:
            self._spawn_later(place, exc)
            return
        try:
            line, line_end = packets.pair()
        except OSError as exc:
            end.close()
            handle.close()
            self._spawn_later(place, exc)
            return
        self._keep(Child(slot, end, handle, {}, is_alone=is_alone, line=line))
        self._starter.spawn(number, handle, line_end)
        line_end.close()

    def _spawn_later(self, place: int, error: OSError) -> None:
        """Try again to start a child for which there are no descriptors now: others may give theirs back."""
        delay = _RESPAWN_DELAYS[-1]
        logger.error("no child can be started, trying again in %.1f s: %s", delay, error)
        if place == len(self._capacities):
            self._alone_after = time.monotonic() + delay
            self._loop.call_later(delay, self.dispatch)
        else:
            self._loop.call_later(delay, self._spawn, place)

    def _child_at(self, place: int) -> Child | None:
        """Return the child that has a place, and keeps it."""
        return next((one for one in self._children.values() if one.slot.place == place and not one.is_leaving), None)

    def _room_at(self, place: int) -> int:
        """Return how many bodies the child at a place may run: those of its predecessors that still run count."""
        left = [one for one in self._children.values() if one.slot.place == place and one.is_leaving]
        return self._capacities[place] - sum(len(one.sent) for one in left)

    def _keep(self, child: Child) -> None:
        self._children[child.slot.number] = child
        self._loop.add_reader(child.end.fileno(), self._read, child)

    def _note_up(self, child: Child) -> None:
        child.ready = True
        child.is_deaf = False
        self._choose_among()
        crew = [one for one in self._children.values() if not (one.is_alone or one.is_leaving)]
        if len(crew) == len(self._capacities) and all(one.ready for one in crew):
            self._early_deaths = 0
            self.up.set()
        self.dispatch()

    def _choose_among(self) -> None:
        """Tell strategies which children may be chosen, after one has changed."""
        self._slots = [child.slot for child in self._children.values() if child.takes_work]

    def note_started(self, notice: Started) -> None:
        """Learn a child's pid."""
        child = self._children.get(notice.slot)
        if child is None:
            return
        child.pid = notice.pid
        if self.alive_within is not None and not child.ready:
            self._loop.call_later(self.alive_within, self._expect_ready, child, self.alive_within)

    def _expect_ready(self, child: Child, within: float) -> None:
        if not child.ready and self._children.get(child.slot.number) is child:
            logger.error(
                "child %d was not ready within %.1f s (worker_proc_alive_timeout); killing it", child.pid, within
            )
            self._starter.kill(child.slot.number, signal.SIGKILL, group=True)

    def note_died(self, notice: Died) -> None:
        """Bury a child: its last outcomes count, what it has not read goes elsewhere, what it was running crashed."""
        child = self._children.pop(notice.slot, None)
        if child is None:
            return
        self._read_all(child)
        self._take_back(child)
        self._close(child)
        if child.is_leaving and not child.is_alone:
            self._hand_over(child)
        if not self._stopping and self._child_at(child.slot.place) is None:
            delay = self._respawn_delay(child)
            if child.is_alone:
                self._alone_after = time.monotonic() + delay
                self._loop.call_later(delay, self.dispatch)
            else:
                self._loop.call_later(delay, self._spawn, child.slot.place)
        self._bury(child, notice)
        self.dispatch()

    # -- replacing ----------------------------------------------------------------------------------------------

    def _retire(self, child: Child) -> None:
        """Let a child end when its current runs have, and start the one that takes its place."""
        child.leave()
        self._choose_among()
        self._spawn(child.slot.place)
        if not child.sent:
            self._loop.call_later(_END_WITHIN, self._expect_gone, child)

    def _hand_over(self, child: Child) -> None:
        """Give the bodies that are free in a child that leaves to its successor."""
        successor = self._child_at(child.slot.place)
        if successor is not None:
            successor.slot.capacity = self._room_at(child.slot.place)
            self._choose_among()
            if not child.sent and child.slot.number in self._children:
                self._loop.call_later(_END_WITHIN, self._expect_gone, child)

    def _expect_gone(self, child: Child) -> None:
        if self._children.get(child.slot.number) is child:
            logger.error("child %d did not end within %.0f s after its last run; killing it", child.pid, _END_WITHIN)
            self._starter.kill(child.slot.number, signal.SIGKILL, group=True)

    def _bury(self, child: Child, notice: Died) -> None:
        """See to what a child was running when it died."""
        running = []
        innocent = []
        for held in child.sent.values():
            if held.verdict is not None:
                self._on_killed(held, held.verdict)
            elif held.if_killed is not None and (child.is_doomed or len(child.sent) > 1):
                self._on_killed(held, held.if_killed)
            elif child.is_doomed and not held.acked:
                innocent.append(held)
            else:
                running.append(held)
        self._wait_again(innocent)
        suspected = [held for held in running if not held.acked] if len(child.sent) > 1 else []
        for held in running:
            if held.acked or not suspected:
                self._on_crash(held, notice)
        if suspected:
            logger.error(
                "child %d, which was running %d tasks, %s; they run again, one at a time in a child of their own, "
                "because it is not known which of them did it",
                notice.pid,
                len(child.sent),
                how_it_died(notice.status, notice.peak_kib),
            )
            self._suspect(suspected)

    def _suspect(self, held: Iterable[Held]) -> None:
        for one in held:
            one.is_soft_told = one.is_hard_told = False
            self._on_start(one, None)
            self.suspects.add(one)

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
        self._loop.remove_writer(child.end.fileno())
        child.close()
        self._choose_among()

    # -- sending ------------------------------------------------------------------------------------------------

    @property
    def slots(self) -> list[Slot]:
        """What strategies see: the children that may be given work."""
        return self._slots

    @property
    def idle(self) -> bool:
        """True when a body is free."""
        return any(slot.load < slot.capacity for slot in self._slots)

    def add(self, held: Iterable[Held]) -> None:
        """Take messages that are to run; `dispatch` sends them."""
        if max(self._capacities, default=1) == 1:
            self.waiting.extend(held)
            return
        for one in held:  # what has killed a child must not take the neighbours of its next run along
            if one.delivery.crashes:
                self.suspects.add(one)
            else:
                self.waiting.append(one)

    def dispatch(self) -> None:
        """Send waiting messages for as long as the strategy finds children for them."""
        if self.suspects:
            self._send_suspect()
        waiting = self.waiting
        if not waiting or not self._slots:
            return
        now = time.monotonic()
        window = False
        while waiting:
            held = waiting[0]
            slot = self._strategy.choose(self._slots, held.expected, now)
            if slot is None or not self._is_foretold(held):
                break
            child = self._children[slot.number]
            if not self._send(child, held, now):
                if child.is_choked and self._slots:
                    continue
                break
            waiting.popleft()
            window = window or slot.load > 1
        if window and self._looking is None:
            self._looking = self._loop.call_later(_LOOK_EVERY, self._look_for_late)

    def _send_suspect(self) -> None:
        """Send the next suspect to the child for suspects, which is started for them and ends when there are none."""
        child = self._children.get(len(self._capacities))
        if child is None:
            if time.monotonic() >= self._alone_after:
                self._spawn(len(self._capacities))
        elif child.ready and not (child.sent or child.is_leaving or child.is_stalled or child.is_doomed):
            held = self.suspects.first
            if self._is_foretold(held) and self._send(child, held, time.monotonic()):
                self.suspects.remove(held)

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
        # Noted first: a body may kill this very process before `send` has returned.
        self._on_start(held, child.pid)
        try:
            child.send(held, now)
        except BlockingIOError:  # its socket is full, which for one with no body free is a full window
            self._on_start(held, None)
            if not child.slot.is_full:
                child.is_choked = True
                self._choose_among()
                self._loop.add_writer(child.end.fileno(), self._note_room, child)
            return False
        except OSError:  # it is dying, and the notice of that comes next
            self._on_start(held, None)
            return False
        if self._recycling is not None and not (child.is_alone or child.adopted):
            child.begun += 1
            if self._recycling.is_spent(child.begun):
                self._retire(child)
        return True

    def _note_room(self, child: Child) -> None:
        self._loop.remove_writer(child.end.fileno())
        child.is_choked = False
        self._choose_among()
        self.dispatch()

    # -- reading ------------------------------------------------------------------------------------------------

    def _read(self, child: Child) -> None:
        self._read_some(child, _READ_MAX)
        self.dispatch()
        if not self.waiting:
            self._relieve()

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
        held = child.note_answered(outcome.number, time.monotonic())
        if held is None:
            self._distrust(child, f"outcome {outcome.number} was not expected")
            return
        if child.is_alone and not self.suspects:
            child.leave()
            self._loop.call_later(_END_WITHIN, self._expect_gone, child)
        if self._recycling is not None and not (child.is_alone or child.adopted):
            self._look_at_size(child)
        if self._learn is not None:
            self._learn(child.slot, held.expected, outcome.took)
        self._durations.note(held.intake.task, outcome.took)
        self._on_outcome(held, outcome)

    def _look_at_size(self, child: Child) -> None:
        """After a run, replace a child that has grown too large."""
        assert self._recycling is not None
        if child.is_leaving:
            self._hand_over(child)
        elif self._recycling.is_too_large(child.pid):
            self._take_back(child)
            self._retire(child)

    def _distrust(self, child: Child, why: str) -> None:
        logger.error("child %s is out of step (%s); killing it", child.pid, why)
        self._starter.kill(child.slot.number, signal.SIGKILL, group=True)

    # -- taking back --------------------------------------------------------------------------------------------

    def _look_for_late(self) -> None:
        """Take back what waits in children whose current runs turned out long, or that read no more."""
        self._looking = None
        windows = [child for child in self._children.values() if len(child.sent) > 1]
        now = time.monotonic()
        for child in windows:
            if child.may_leave_unread(now):
                self._read_all(child)  # perhaps it is this loop that was late
            if child.may_leave_unread(now) and self._take_back(child) and not child.slot.is_full:
                child.ask()
                self._choose_among()
        self.dispatch()
        if self._looking is None and any(child.unread_since for child in windows if len(child.sent) > 1):
            self._looking = self._loop.call_later(_LOOK_EVERY, self._look_for_late)

    def _take_back(self, child: Child) -> bool:
        """Let wait here what a child has not read, in its old order; say whether there was any."""
        back = child.take_back()
        if child.is_alone:
            self._suspect(back)
            return bool(back)
        self._wait_again(back)
        return bool(back)

    def _relieve(self) -> None:
        """Have what waits for long behind the runs of one child begin in another that has nothing to do."""
        slot = worth_relieving(self._slots)
        if slot is not None and self._take_back(self._children[slot.number]):
            self.dispatch()

    def _wait_again(self, back: Sequence[Held]) -> None:
        """Have messages wait in front of all others, as if they had not been sent."""
        self.waiting.extendleft(reversed(back))
        for held in back:
            held.is_soft_told = held.is_hard_told = False
            self._on_start(held, None)

    # -- ending runs --------------------------------------------------------------------------------------------

    def interrupt(self, held: Held, order: Order) -> bool:
        """Give an order to the child that runs a message; False when none runs it now."""
        child = self._pin(held)
        if child is None or child.line is None or not send_order(child.line, order):
            return False
        self._starter.kill(child.slot.number, signal.Signals[ORDER_SIGNAL])
        return True

    def condemn(self, held: Held, verdict: Verdict) -> bool:
        """Let the child that runs a message begin nothing more; False when none runs it now.

        When the child dies the run has come to what the verdict says, and whatever else ran there runs again.
        """
        child = self._pin(held)
        if child is None:
            return False
        held.verdict = verdict
        child.is_doomed = True
        self._choose_among()
        return True

    def kill_run(self, held: Held, verdict: Verdict, number: int = signal.SIGKILL) -> bool:
        """Condemn a run, and send its child a signal: with SIGKILL to everything that it has started, too."""
        if not self.condemn(held, verdict):
            return False
        child = self._child_of(held)
        assert child is not None
        self._starter.kill(child.slot.number, number, group=number == signal.SIGKILL)
        return True

    def kill_doomed(self) -> None:
        """Kill the doomed children whose condemned runs have ended otherwise."""
        for child in self._children.values():
            if child.is_doomed and not any(held.verdict for held in child.sent.values()):
                self._starter.kill(child.slot.number, signal.SIGKILL, group=True)

    def runs(self, held: Held) -> bool:
        """Say whether a child runs a message right now; what that child has not read waits here afterwards."""
        return self._pin(held) is not None

    def is_with_child(self, held: Held) -> bool:
        """Say whether a child has been sent a message and has not answered it."""
        return self._child_of(held) is not None

    def with_children(self) -> list[Held]:
        """Return what children have been sent and have not answered."""
        return [held for child in self._children.values() for held in child.sent.values()]

    def _child_of(self, held: Held) -> Child | None:
        return next((child for child in self._children.values() if held.number in child.sent), None)

    def _pin(self, held: Held) -> Child | None:
        """Return the child that runs a message, made sure of by taking back what it has not read.

        What a child has not answered need not run: it may wait there unread, or its outcome wait here. Both are
        looked at first, so that nothing which is done to the child afterwards hits another run.
        """
        child = self._child_of(held)
        if child is None:
            return None
        self._take_back(child)
        self._read_all(child)
        return child if held.number in child.sent else None

    # -- children that hang -------------------------------------------------------------------------------------

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
                child.is_stalled = True
                self._choose_among()
                self._starter.kill(child.slot.number, signal.SIGKILL, group=True)
        self.dispatch()
        self._looking_at_heads = self._loop.call_later(_LOOK_AT_HEADS_EVERY, self._look_for_stalled)

    def _is_stalled(self, child: Child) -> bool:
        """Say whether a child runs nothing, though it has had something to do or to say for too long."""
        if child.is_stalled or not child.is_stuck(_STALLED_AFTER):
            return False
        self._read_all(child)
        if next(iter(child.sent), 0) != child.head or not (child.sent or child.is_deaf):
            return False  # it was this loop that had not heard of it
        self._take_back(child)  # of a child whose runs take long this finds nothing
        return not child.sent

    def withdraw(self, *, claimed_before: float = inf) -> list[Held]:
        """Hand over the messages that no child has begun and that were claimed before some monotonic instant.

        Suspects only where that is everything: given back for want of a slot, they would kill their next neighbours.
        """
        for child in self._children.values():
            if len(child.sent) > 1:
                self._take_back(child)
        found = [held for held in self.waiting if held.claimed_at < claimed_before]
        if found:
            self.waiting = deque(held for held in self.waiting if held.claimed_at >= claimed_before)
        return found + self.suspects.withdraw() if claimed_before == inf else found

    def take_out(self, wanted: Iterable[Held]) -> list[Held]:
        """Hand over those of some messages that no child has begun; what else was taken back waits again."""
        numbers = {held.number for held in wanted}
        for child in self._children.values():
            if not numbers.isdisjoint(child.sent):
                self._take_back(child)
        found = [held for held in self.waiting if held.number in numbers]
        if found:
            self.waiting = deque(held for held in self.waiting if held.number not in numbers)
        found += self.suspects.take_out(numbers)
        self.dispatch()
        return found

    def crew(self) -> list[Child]:
        """Return the children that have not died, for those who only look."""
        return list(self._children.values())

    @property
    def capacities(self) -> Sequence[int]:
        """Bodies at once in each child that the node is to have."""
        return self._capacities

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
            child.leave()
        self._choose_among()

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
            unanswered.extend(child.sent.values())
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


def places(capacities: Sequence[int]) -> int:
    """Return how many places a node has: one for each child, and one for a child that runs suspects.

    The number of a child is its place, plus a multiple of this.
    """
    return len(capacities) + 1
