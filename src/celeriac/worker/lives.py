"""The lives of a node's children: they are started, come up, are replaced, and must end in time."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import time
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import zip_longest
from typing import Final, Protocol

from celeriac.worker import packets
from celeriac.worker.children import Child
from celeriac.worker.dispatch import Slot
from celeriac.worker.forkserver import Started

logger: Final = logging.getLogger("celeriac.worker")

_END_WITHIN: Final = 10.0
"""Seconds after its last run in which a child that is replaced must have ended."""

_RESPAWN_DELAYS: Final = (0.0, 0.1, 0.5, 1.0, 5.0)


class Starter(Protocol):
    """Start and kill the processes that hold slots."""

    def spawn(
        self, slot: int, child_end: socket.socket, line: socket.socket, *, place: int = 0, capacity: int = 1
    ) -> None: ...

    def kill(self, slot: int, number: int, *, group: bool = False) -> None: ...


class Lives:
    """Keep as many children as a node has places, and one more for suspects when there are any.

    Args:
        starter: starts children.
        on_readable: called when a child has sent something.
        on_room: called when there may be room for messages that wait.
        alive_within: seconds in which a child that was started must be ready; None: as long as it takes.

    A child has a place in its node, from 0, and a number. Its successor has the same place, and a number of its own:
    for a while both are there. The child for suspects has the place behind those that the node starts with.

    Attributes:
        children: those that have not died, by number.
        capacities: bodies at once in the child at each place; 0 where the node is to have none.
        slots: what strategies see: the children that may be given work.
        is_replacing: some child was told to leave so that another one takes its place, or none.
        up: set when all children were up at the same time.
    """

    def __init__(
        self,
        starter: Starter,
        *,
        on_readable: Callable[[Child], None],
        on_room: Callable[[], None],
        alive_within: float | None = None,
    ) -> None:
        self._starter = starter
        self._on_readable = on_readable
        self._on_room = on_room
        self.alive_within = alive_within
        self._loop = asyncio.get_running_loop()
        self.capacities: list[int] = []
        self._place_alone = 0
        self._last = 0
        self._early_deaths = 0
        self._alone_after = 0.0
        self._stopping = False
        self.children: dict[int, Child] = {}
        self.slots: list[Slot] = []
        self.is_replacing = False
        self.up = asyncio.Event()

    @property
    def run_one_each(self) -> bool:
        """True when no child runs several bodies at once."""
        return max(self.capacities, default=1) == 1

    # -- starting -----------------------------------------------------------------------------------------------

    def start(self, capacities: Sequence[int]) -> None:
        """Start a child for each number of bodies that one is to run at once. Called once."""
        self._place_alone = len(capacities)
        self.capacities = [*capacities, 0]
        for place in range(len(capacities)):
            self._spawn(place)

    def adopt(
        self, number: int, end: socket.socket, handle: socket.socket, line: socket.socket, *, capacity: int = 1
    ) -> None:
        """Use a process that exists already as a child (pool `solo`). It ends its channel when it is done."""
        self.capacities = [*self.capacities[: self._place_alone], capacity, 0]
        self._place_alone += 1
        self._keep(Child(Slot(number, capacity, place=number), end, handle, {}, adopted=True, line=line))

    def alone(self) -> Child | None:
        """Return the child for suspects; where there is none, None, and see to it that there soon is."""
        child = self._at(self._place_alone) or self.children.get(self._place_alone)
        if child is None and time.monotonic() >= self._alone_after:
            self._spawn(self._place_alone)
        return child

    def _spawn(self, place: int) -> None:
        if self._stopping or self._at(place) is not None:
            return
        is_alone = place == self._place_alone
        capacity = 1 if is_alone else self.capacities[place]
        if not capacity:
            return
        number = self._free_number(place)
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
        self._starter.spawn(number, handle, line_end, place=place, capacity=capacity)
        line_end.close()

    def _free_number(self, place: int) -> int:
        """Return the number of the next child at a place: the place itself, or one above all places."""
        number = place
        while number in self.children:
            self._last = number = max(self._last + 1, len(self.capacities))
        return number

    def _spawn_later(self, place: int, error: OSError) -> None:
        """Try again to start a child for which there are no descriptors now: others may give theirs back."""
        delay = _RESPAWN_DELAYS[-1]
        logger.error("no child can be started, trying again in %.1f s: %s", delay, error)
        self._spawn_after(delay, place)

    def _spawn_after(self, delay: float, place: int) -> None:
        if place == self._place_alone:  # that one is started when it is asked for
            self._alone_after = time.monotonic() + delay
            self._loop.call_later(delay, self._on_room)
        else:
            self._loop.call_later(delay, self._spawn, place)

    def _at(self, place: int) -> Child | None:
        """Return the child that has a place, and keeps it."""
        return next((one for one in self.children.values() if one.slot.place == place and not one.is_leaving), None)

    def _room_at(self, place: int) -> int:
        """Return how many bodies the child at a place may run: those of its predecessors that still run count."""
        left = [one for one in self.children.values() if one.slot.place == place and one.is_leaving]
        return self.capacities[place] - sum(len(one.sent) for one in left)

    def _keep(self, child: Child) -> None:
        self.children[child.slot.number] = child
        self._loop.add_reader(child.end.fileno(), self._on_readable, child)

    # -- coming up ----------------------------------------------------------------------------------------------

    def note_started(self, notice: Started) -> None:
        """Learn a child's pid."""
        child = self.children.get(notice.slot)
        if child is None:
            return
        child.pid = notice.pid
        if self.alive_within is not None and not child.ready:
            self._loop.call_later(self.alive_within, self._expect_ready, child, self.alive_within)

    def _expect_ready(self, child: Child, within: float) -> None:
        if not child.ready and self.children.get(child.slot.number) is child:
            logger.error(
                "child %d was not ready within %.1f s (worker_proc_alive_timeout); killing it", child.pid, within
            )
            self.kill(child)

    def note_up(self, child: Child) -> None:
        """Learn that a child reads."""
        child.ready = True
        child.is_deaf = False
        self.choose_among()
        crew = [one for one in self.children.values() if not (one.is_alone or one.is_leaving)]
        if len(crew) == sum(map(bool, self.capacities)) and all(one.ready for one in crew):
            self._early_deaths = 0
            self.up.set()
        self._on_room()

    def choose_among(self) -> None:
        """Tell strategies which children may be chosen, after one has changed."""
        self.slots = [child.slot for child in self.children.values() if child.takes_work]

    # -- replacing ----------------------------------------------------------------------------------------------

    def retire(self, child: Child) -> None:
        """Let a child end when its current runs have, and start the one that takes its place."""
        self.is_replacing = True
        child.leave(is_replaced=True)
        self.choose_among()
        self._spawn(child.slot.place)
        if not child.sent:
            self.expect_gone(child)

    def resize(self, capacities: Sequence[int]) -> list[Child]:
        """Have as many bodies in as many children as is said here; start those that are missing.

        Returns:
            The children that have to be retired for it. Those that run something stay, where they can.
        """
        wanted = Counter(capacities)
        changing = []
        for place in sorted(range(len(self.capacities)), key=self._load_at, reverse=True):
            capacity = self.capacities[place]
            if capacity and wanted[capacity]:
                wanted[capacity] -= 1
            elif place != self._place_alone:
                changing.append(place)
        missing = list(wanted.elements())
        while len(changing) < len(missing):
            changing.append(len(self.capacities))
            self.capacities.append(0)
        # Places that have a child first: it is replaced by one of another capacity.
        changing.sort(key=lambda place: not self.capacities[place])
        retired = []
        for place, capacity in zip_longest(changing, missing, fillvalue=0):
            if self.capacities[place] == capacity:
                continue
            self.capacities[place] = capacity
            child = self._at(place)
            if child is not None:
                retired.append(child)
            else:
                self._spawn(place)
        return retired

    def crew(self) -> list[Child]:
        """Return the children that keep their places, without that for suspects."""
        return [one for one in self.children.values() if not (one.is_alone or one.is_leaving or one.adopted)]

    def _load_at(self, place: int) -> int:
        child = self._at(place)
        return 0 if child is None else child.slot.load

    def hand_over(self, child: Child) -> None:
        """Give the bodies that are free in a child that leaves to its successor."""
        successor = self._at(child.slot.place)
        if successor is not None:
            successor.slot.capacity = self._room_at(child.slot.place)
            self.choose_among()
        if not child.sent and child.slot.number in self.children:
            self.expect_gone(child)

    def expect_gone(self, child: Child) -> None:
        """Kill a child that was told to leave, and has nothing to do any more, when it does not end."""
        self._loop.call_later(_END_WITHIN, self._kill_if_there, child)

    def _kill_if_there(self, child: Child) -> None:
        if self.children.get(child.slot.number) is child:
            logger.error("child %d did not end within %.0f s after its last run; killing it", child.pid, _END_WITHIN)
            self.kill(child)

    # -- ending -------------------------------------------------------------------------------------------------

    def kill(self, child: Child, number: int = signal.SIGKILL) -> None:
        """Send a child a signal; SIGKILL to everything that it has started, too."""
        self._starter.kill(child.slot.number, number, group=number == signal.SIGKILL)

    def replace(self, child: Child) -> None:
        """Let go of a child that has died and was taken out of `children`; start the one that takes its place."""
        self.release(child)
        if child.is_leaving and not child.is_alone:
            self.hand_over(child)
        if not self._stopping and not child.adopted and self._at(child.slot.place) is None:
            self._spawn_after(self._respawn_delay(child), child.slot.place)

    def _respawn_delay(self, child: Child) -> float:
        if child.ready:
            return 0.0
        # It died before it came up: whatever the cause, starting it in a hot loop does not cure it.
        delay = _RESPAWN_DELAYS[min(self._early_deaths, len(_RESPAWN_DELAYS) - 1)]
        self._early_deaths += 1
        logger.error("child %s died before it was ready; starting another in %.1f s", child.pid, delay)
        return delay

    def release(self, child: Child) -> None:
        """Close what belongs to a child."""
        self._loop.remove_reader(child.end.fileno())
        self._loop.remove_writer(child.end.fileno())
        child.close()
        self.choose_among()

    def stop(self) -> None:
        """Start no more children."""
        self._stopping = True

    def close(self) -> None:
        """Close the channels of the children that are left."""
        self.stop()
        for child in self.children.values():
            self.release(child)
        self.children.clear()
        self.slots = []
