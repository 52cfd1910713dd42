"""Children of a node that are played by a test."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable

from celeriac.brokers.base import Delivery
from celeriac.message import Message
from celeriac.wire.protocol import Intake
from celeriac.worker import packets
from celeriac.worker.dispatch import Adaptive, Durations
from celeriac.worker.forkserver import Died, Started
from celeriac.worker.held import Held, Verdict
from celeriac.worker.orders import Interrupt, read_orders
from celeriac.worker.recycling import Recycling
from celeriac.worker.runs import ARE_YOU_THERE, READY, Outcome, Run, decode_run, encode
from celeriac.worker.slots import Slots
from celeriac.worker.under_way import UnderWay

KILLED = 9
PATIENCE = 60.0
"""Seconds for which a child may leave unread what it was sent."""


class Children:
    """Be the forkserver, and let a test be the children."""

    def __init__(
        self,
        foretell: Callable[[Held], Awaitable[None]] | None = None,
        *,
        recycling: Recycling | None = None,
        alive_within: float | None = None,
    ) -> None:
        self.come_up = True
        self.ends: dict[int, socket.socket] = {}
        self.told: dict[int, tuple[int, int]] = {}
        self.killed: list[tuple[int, int, bool]] = []
        self.lines: dict[int, socket.socket] = {}
        self.crashed: list[Held] = []
        self.killed_runs: list[tuple[int, Verdict]] = []
        self.ended: list[Held] = []
        self.outcomes: list[Outcome] = []
        self.slots = Slots(
            self,
            Adaptive(),
            Durations(),
            on_outcome=self._note_outcome,
            on_crash=lambda held, died: self.crashed.append(held),
            on_killed=lambda held, verdict: self.killed_runs.append((held.number, verdict)),
            on_start=lambda held, pid: None,
            foretell=foretell,
            recycling=recycling,
            alive_within=alive_within,
        )
        self.under_way = UnderWay(self.slots)

    def _note_outcome(self, held: Held, outcome: Outcome) -> None:
        self.ended.append(held)
        self.outcomes.append(outcome)

    def spawn(
        self, slot: int, child_end: socket.socket, line: socket.socket, *, place: int = 0, capacity: int = 1
    ) -> None:
        self.told[slot] = (place, capacity)
        self.ends[slot] = child_end.dup()
        self.lines[slot] = line.dup()
        self.slots.lives.note_started(Started(slot, 1_000 + slot))
        if self.come_up:
            self.say_ready(slot)

    def say_ready(self, slot: int) -> None:
        packets.send(self.ends[slot], encode(Outcome(READY, "", None, 0, 0.0)))

    def has_unread(self, slot: int) -> bool:
        try:
            return bool(self.ends[slot].recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
        except BlockingIOError:
            return False

    def says_it_reads(self, slot: int) -> None:
        assert packets.receive(self.ends[slot], packets.DONT_WAIT) == ARE_YOU_THERE
        packets.send(self.ends[slot], encode(Outcome(READY, "", None, 0, 0.0)))

    def kill(self, slot: int, number: int, *, group: bool = False) -> None:
        self.killed.append((slot, number, group))

    def read(self, slot: int) -> Run:
        return decode_run(packets.receive(self.ends[slot], packets.DONT_WAIT))

    def answer(self, slot: int, run: Run) -> None:
        packets.send(self.ends[slot], encode(Outcome(run.number, "SUCCESS", None, 0, 0.0)))

    def close(self) -> None:
        for end in (*self.ends.values(), *self.lines.values()):
            end.close()

    def orders(self, slot: int) -> list[str]:
        """Return the kinds of the interrupts that a child was ordered."""
        return [each.kind for each in read_orders(self.lines[slot]) if isinstance(each, Interrupt)]

    def forget_orders(self, slot: int) -> None:
        """Read what a child was ordered, whatever it is."""
        with contextlib.suppress(BlockingIOError):
            while True:
                self.lines[slot].recv(1024, socket.MSG_DONTWAIT)

    def die(self, slot: int) -> None:
        self.ends.pop(slot).close()
        self.lines.pop(slot).close()
        self.slots.note_died(Died(slot, 1_000 + slot, KILLED, 0))


def held(
    number: int,
    *,
    expected: float = float("inf"),
    redelivered: bool = False,
    crashes: int = 0,
    acked: bool = False,
    size: int = 2,
    message: Message | None = None,
) -> Held:
    if message is None:
        message = Message(task_id=f"t{number}", queue="q", headers=b"{}", body=b" " * size)
    delivery = Delivery(tag=number, owner=1, message=message, redelivered=redelivered, crashes=crashes)
    return Held(number, delivery, Intake("t", f"t{number}", None, None, 0, None, 2), 0.0, expected, acked=acked)


def numbers(some) -> list[int]:
    return [one.number for one in some]


async def turns(count: int) -> None:
    """Let the loop do what is due, so many times."""
    for _ in range(count):
        await asyncio.sleep(0)


async def until(claim) -> None:
    async with asyncio.timeout(60):
        while not claim():
            await asyncio.sleep(0.001)


async def started(children: Children, *capacities: int) -> Slots:
    children.slots.start(capacities)
    await children.slots.lives.up.wait()
    return children.slots


def send(slots: Slots, *some: Held) -> None:
    slots.add(some)
    slots.dispatch()


def close(children: Children) -> None:
    children.slots.close()
    children.close()
