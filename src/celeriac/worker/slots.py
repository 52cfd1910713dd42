"""The node's slots: send runs to children, read their outcomes, take back what they have not begun.

This is the shell around `dispatch.py`, which chooses. `children.py` is about one child, `lives.py` about how children
come and go, `deaths.py` about what a death means for what ran; `under_way.py` reaches into runs from outside, and
`suspects.py` is about runs that may have killed a child.
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
from typing import Final

import msgspec

from celeriac.worker import packets
from celeriac.worker.children import Child
from celeriac.worker.deaths import after_death
from celeriac.worker.dispatch import LATE_AFTER, Durations, Slot, Strategy, worth_relieving
from celeriac.worker.foretelling import Foretelling
from celeriac.worker.forkserver import Died, signal_group
from celeriac.worker.held import Held, Verdict
from celeriac.worker.lives import Lives, Starter
from celeriac.worker.recycling import Recycling
from celeriac.worker.runs import READY, Outcome, decode_outcome
from celeriac.worker.settle import how_it_died
from celeriac.worker.strategies import learner_of
from celeriac.worker.suspects import Suspects

logger: Final = logging.getLogger("celeriac.worker")

_READ_MAX: Final = 128
_LOOK_EVERY: Final = LATE_AFTER / 2


class Slots:
    """Hand the messages that wait in a node to its children, and their outcomes to whoever settles them.

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

    Attributes:
        lives: the children.
        suspects: messages that may have killed a child, and wait for one of their own.
        waiting: messages that are claimed, decided on and not with any child.
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
        self._strategy = strategy
        self._learn = learner_of(strategy)
        self._durations = durations
        self._on_outcome = on_outcome
        self._on_crash = on_crash
        self._on_killed = on_killed
        self._on_start = on_start
        self._foretelling = Foretelling(foretell, go_on=self.dispatch)
        self._recycling = recycling
        self._loop = asyncio.get_running_loop()
        self._looking: asyncio.TimerHandle | None = None
        self.lives = Lives(starter, on_readable=self._read, on_room=self.dispatch, alive_within=alive_within)
        self.suspects = Suspects()
        self.waiting: deque[Held] = deque()

    # -- children -----------------------------------------------------------------------------------------------

    def start(self, capacities: Sequence[int]) -> None:
        """Start a child for each number of bodies that one is to run at once. Called once."""
        self.lives.start(capacities)

    def adopt(
        self, number: int, end: socket.socket, handle: socket.socket, line: socket.socket, *, capacity: int = 1
    ) -> None:
        """Use a process that exists already as a child (pool `solo`). It ends its channel when it is done."""
        self.lives.adopt(number, end, handle, line, capacity=capacity)

    def note_died(self, notice: Died) -> None:
        """Bury a child: its last outcomes count, what it has not read goes elsewhere, what it was running crashed."""
        child = self.lives.children.pop(notice.slot, None)
        if child is None:
            return
        self.read_all(child)
        self.take_back(child)
        self.lives.replace(child)
        self._bury(child, notice)
        self.dispatch()

    def _bury(self, child: Child, notice: Died) -> None:
        """See to what a child was running when it died."""
        fates = after_death(child)
        for held, verdict in fates.killed:
            self._on_killed(held, verdict)
        self._wait_again(fates.innocent)
        for held in fates.crashed:
            self._on_crash(held, notice)
        if fates.suspected:
            logger.error(
                "child %d, which was running %d tasks, %s; they run again, one at a time in a child of their own, "
                "because it is not known which of them did it",
                notice.pid,
                len(child.sent),
                how_it_died(notice.status, notice.peak_kib),
            )
            self._suspect(fates.suspected)

    def _suspect(self, held: Iterable[Held]) -> None:
        for one in held:
            one.is_soft_told = one.is_hard_told = False
            self._on_start(one, None)
            self.suspects.add(one)

    # -- sending ------------------------------------------------------------------------------------------------

    @property
    def slots(self) -> list[Slot]:
        """What strategies see: the children that may be given work."""
        return self.lives.slots

    @property
    def bodies(self) -> int:
        """How many of them run at once."""
        return sum(slot.capacity for slot in self.lives.slots)

    @property
    def idle(self) -> bool:
        """True when a body is free."""
        return any(slot.load < slot.capacity for slot in self.lives.slots)

    def add(self, held: Iterable[Held]) -> None:
        """Take messages that are to run; `dispatch` sends them."""
        if self.lives.run_one_each:
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
        waiting, lives = self.waiting, self.lives
        if not waiting or not lives.slots:
            return
        now = time.monotonic()
        window = False
        while waiting:
            held = waiting[0]
            slot = self._strategy.choose(lives.slots, held.expected, now)
            if slot is None or not self._foretelling.may_begin(held):
                break
            child = lives.children[slot.number]
            if not self._send(child, held, now):
                if child.is_choked and lives.slots:
                    continue
                break
            waiting.popleft()
            window = window or slot.load > 1
        if window and self._looking is None:
            self._looking = self._loop.call_later(_LOOK_EVERY, self._look_for_late)

    def _send_suspect(self) -> None:
        """Send the next suspect to the child for suspects, which is started for them and ends when there are none."""
        child = self.lives.alone()
        if child is None or not child.ready or child.sent or child.is_leaving or child.is_stalled or child.is_doomed:
            return
        held = self.suspects.first
        if self._foretelling.may_begin(held) and self._send(child, held, time.monotonic()):
            self.suspects.remove(held)

    def _send(self, child: Child, held: Held, now: float) -> bool:
        # Noted first: a body may kill this very process before `send` has returned.
        self._on_start(held, child.pid)
        try:
            child.send(held, now)
        except BlockingIOError:  # its socket is full, which for one with no body free is a full window
            self._on_start(held, None)
            if not child.slot.is_full:
                child.is_choked = True
                self.lives.choose_among()
                self._loop.add_writer(child.end.fileno(), self._note_room, child)
            return False
        except OSError:  # it is dying, and the notice of that comes next
            self._on_start(held, None)
            return False
        if self._recycling is not None and not (child.is_alone or child.adopted):
            child.begun += 1
            if self._recycling.is_spent(child.begun):
                self.lives.retire(child)
        return True

    def _note_room(self, child: Child) -> None:
        self._loop.remove_writer(child.end.fileno())
        child.is_choked = False
        self.lives.choose_among()
        self.dispatch()

    # -- reading ------------------------------------------------------------------------------------------------

    def _read(self, child: Child) -> None:
        self._read_some(child, _READ_MAX)
        self.dispatch()
        if not self.waiting:
            self._relieve()

    def read_all(self, child: Child) -> None:
        """Note all outcomes that a child has sent by now."""
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
            self.lives.children.pop(child.slot.number, None)
            self.lives.release(child)

    def _note(self, child: Child, packet: bytes) -> None:
        try:
            outcome = decode_outcome(packet)
        except msgspec.MsgspecError as exc:
            self._distrust(child, f"unreadable outcome: {exc}")
            return
        if outcome.number == READY:
            self.lives.note_up(child)
            return
        held = child.note_answered(outcome.number, time.monotonic())
        if held is None:
            self._distrust(child, f"outcome {outcome.number} was not expected")
            return
        if outcome.quote is not None:
            try:
                outcome = child.completed(outcome, held)
            except ValueError as exc:
                child.sent[held.number] = held
                self._distrust(child, f"unreadable outcome: {exc}")
                return
        if child.is_alone and not self.suspects:
            child.leave()
            self.lives.expect_gone(child)
        if self.lives.is_replacing or self._recycling is not None:
            self._look_at_size(child)
        if self._learn is not None:
            self._learn(child.slot, held.expected, outcome.took)
        self._durations.note(held.intake.task, outcome.took)
        self._on_outcome(held, outcome)

    def _look_at_size(self, child: Child) -> None:
        """After a run, replace a child that has grown too large; have a successor take the place of one that leaves."""
        if child.is_alone or child.adopted:
            return
        if child.is_leaving:
            self.lives.hand_over(child)
        elif self._recycling is not None and self._recycling.is_too_large(child.pid):
            self.take_back(child)
            self.lives.retire(child)

    def _distrust(self, child: Child, why: str) -> None:
        logger.error("child %s is out of step (%s); killing it", child.pid, why)
        self.lives.kill(child)

    # -- taking back --------------------------------------------------------------------------------------------

    def _look_for_late(self) -> None:
        """Take back what waits in children whose current runs turned out long, or that read no more."""
        self._looking = None
        windows = [child for child in self.lives.children.values() if len(child.sent) > 1]
        now = time.monotonic()
        for child in windows:
            if child.may_leave_unread(now):
                self.read_all(child)  # perhaps it is this loop that was late
            if child.may_leave_unread(now) and self.take_back(child) and not child.slot.is_full:
                child.ask()
                self.lives.choose_among()
        self.dispatch()
        if self._looking is None and any(child.unread_since for child in windows if len(child.sent) > 1):
            self._looking = self._loop.call_later(_LOOK_EVERY, self._look_for_late)

    def take_back(self, child: Child) -> bool:
        """Let wait here what a child has not read, in its old order; say whether there was any."""
        back = child.take_back()
        if child.is_alone:
            self._suspect(back)
            return bool(back)
        self._wait_again(back)
        return bool(back)

    def _relieve(self) -> None:
        """Have what waits for long behind the runs of one child begin in another that has nothing to do."""
        slot = worth_relieving(self.lives.slots)
        if slot is not None and self.take_back(self.lives.children[slot.number]):
            self.dispatch()

    def _wait_again(self, back: Sequence[Held]) -> None:
        """Have messages wait in front of all others, as if they had not been sent."""
        self.waiting.extendleft(reversed(back))
        for held in back:
            held.is_soft_told = held.is_hard_told = False
            self._on_start(held, None)

    def withdraw(self, *, claimed_before: float = inf) -> list[Held]:
        """Hand over the messages that no child has begun and that were claimed before some monotonic instant.

        Suspects only where that is everything: given back for want of a slot, they would kill their next neighbours.
        """
        for child in self.lives.children.values():
            if len(child.sent) > 1:
                self.take_back(child)
        found = [held for held in self.waiting if held.claimed_at < claimed_before]
        if found:
            self.waiting = deque(held for held in self.waiting if held.claimed_at >= claimed_before)
        return found + self.suspects.withdraw() if claimed_before == inf else found

    def take_out(self, wanted: Iterable[Held]) -> list[Held]:
        """Hand over those of some messages that no child has begun; what else was taken back waits again."""
        numbers = {held.number for held in wanted}
        for child in self.lives.children.values():
            if not numbers.isdisjoint(child.sent):
                self.take_back(child)
        found = [held for held in self.waiting if held.number in numbers]
        if found:
            self.waiting = deque(held for held in self.waiting if held.number not in numbers)
        found += self.suspects.take_out(numbers)
        self.dispatch()
        return found

    def with_children(self) -> list[Held]:
        """Return what children have been sent and have not answered."""
        return [held for child in self.lives.children.values() for held in child.sent.values()]

    def crew(self) -> list[Child]:
        """Return the children that have not died, for those who only look."""
        return list(self.lives.children.values())

    @property
    def capacities(self) -> Sequence[int]:
        """Bodies at once in each child that the node is to have."""
        return self.lives.capacities

    # -- stopping -----------------------------------------------------------------------------------------------

    @property
    def running(self) -> int:
        """Messages that are with children."""
        return sum(len(child.sent) for child in self.lives.children.values())

    @property
    def unanswered(self) -> int:
        """Messages that wait here or are with children."""
        return len(self.waiting) + len(self.suspects) + self.running

    @property
    def behind(self) -> int:
        """Messages that wait, here or in children, because no body is free for them."""
        return len(self.waiting) + sum(max(0, slot.load - slot.capacity) for slot in self.lives.slots)

    @property
    def alive(self) -> int:
        """Children that have not died."""
        return len(self.lives.children)

    def finish(self) -> None:
        """Let every child end when its current run has; start no more."""
        self.lives.stop()
        for child in self.lives.children.values():
            self.take_back(child)
            child.leave()
        self.lives.choose_among()

    def kill(self) -> None:
        """Kill every child and everything that it has started."""
        self.lives.stop()
        for child in list(self.lives.children.values()):
            self.read_all(child)
            self.lives.kill(child)

    def abandon(self) -> list[Held]:
        """Give up every child, because nobody will tell of their deaths; return what they had not answered."""
        self.lives.stop()
        unanswered: list[Held] = []
        for child in list(self.lives.children.values()):
            self.read_all(child)
            self.take_back(child)
            unanswered.extend(child.sent.values())
            if child.pid:  # what its body had started goes as well
                signal_group(child.pid, signal.SIGKILL)
        self.close()
        return unanswered

    def close(self) -> None:
        """Close the channels of the children that are left."""
        if self._looking is not None:
            self._looking.cancel()
        self._foretelling.stop()
        self.lives.close()
