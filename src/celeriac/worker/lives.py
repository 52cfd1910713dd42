"""The lives of a node's children: they are started, come up, are replaced, and must end in time."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import time
from collections.abc import Callable, Sequence
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

    def spawn(self, slot: int, child_end: socket.socket, line: socket.socket) -> None: ...

    def kill(self, slot: int, number: int, *, group: bool = False) -> None: ...


class Lives:
    """Keep as many children as a node has places, and one more for suspects when there are any.

    Args:
        starter: starts children.
        on_readable: called when a child has sent something.
        on_room: called when there may be room for messages that wait.
        alive_within: seconds in which a child that was started must be ready; None: as long as it takes.

    A child has a place in its node, from 0, and a number. Its successor has the same place, and a number of its own:
    for a while both are there.

    Attributes:
        children: those that have not died, by number.
        capacities: bodies at once in each child that the node is to have.
        slots: what strategies see: the children that may be given work.
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
        self.capacities: Sequence[int] = ()
        self._early_deaths = 0
        self._alone_after = 0.0
        self._stopping = False
        self.children: dict[int, Child] = {}
        self.slots: list[Slot] = []
        self.up = asyncio.Event()

    @property
    def run_one_each(self) -> bool:
        """True when no child runs several bodies at once."""
        return max(self.capacities, default=1) == 1

    # -- starting -----------------------------------------------------------------------------------------------

    def start(self, capacities: Sequence[int]) -> None:
        """Start a child for each number of bodies that one is to run at once. Called once."""
        self.capacities = capacities
        for place in range(len(capacities)):
            self._spawn(place)

    def adopt(
        self, number: int, end: socket.socket, handle: socket.socket, line: socket.socket, *, capacity: int = 1
    ) -> None:
        """Use a process that exists already as a child (pool `solo`). It ends its channel when it is done."""
        self.capacities = (*self.capacities, capacity)
        self._keep(Child(Slot(number, capacity, place=number), end, handle, {}, adopted=True, line=line))

    def alone(self) -> Child | None:
        """Return the child for suspects; where there is none, None, and see to it that there soon is."""
        child = self.children.get(len(self.capacities))
        if child is None and time.monotonic() >= self._alone_after:
            self._spawn(len(self.capacities))
        return child

    def _spawn(self, place: int) -> None:
        if self._stopping or self._at(place) is not None:
            return
        is_alone = place == len(self.capacities)
        number = place
        while number in self.children:
            number += places(self.capacities)
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
        self._spawn_after(delay, place)

    def _spawn_after(self, delay: float, place: int) -> None:
        if place == len(self.capacities):  # that one is started when it is asked for
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
        if len(crew) == len(self.capacities) and all(one.ready for one in crew):
            self._early_deaths = 0
            self.up.set()
        self._on_room()

    def choose_among(self) -> None:
        """Tell strategies which children may be chosen, after one has changed."""
        self.slots = [child.slot for child in self.children.values() if child.takes_work]

    # -- replacing ----------------------------------------------------------------------------------------------

    def retire(self, child: Child) -> None:
        """Let a child end when its current runs have, and start the one that takes its place."""
        child.leave()
        self.choose_among()
        self._spawn(child.slot.place)
        if not child.sent:
            self.expect_gone(child)

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


def places(capacities: Sequence[int]) -> int:
    """Return how many places a node has: one for each child, and one for a child that runs suspects.

    The number of a child is its place, plus a multiple of this.
    """
    return len(capacities) + 1
