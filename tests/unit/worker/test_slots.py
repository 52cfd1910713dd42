from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from celeriac.brokers.base import Delivery
from celeriac.message import Message
from celeriac.wire.protocol import Intake
from celeriac.worker import packets
from celeriac.worker.dispatch import Adaptive, Durations
from celeriac.worker.forkserver import Died, Started
from celeriac.worker.held import Held
from celeriac.worker.runs import READY, Outcome, Run, decode_run, encode
from celeriac.worker.slots import Slots

LOOK_EVERY = 0.01
KILLED = 9


class Children:
    """Be the forkserver, and let a test be the children."""

    def __init__(self, foretell: Callable[[Held], Awaitable[None]] | None = None) -> None:
        self.ends: dict[int, socket.socket] = {}
        self.killed: list[tuple[int, int, bool]] = []
        self.crashed: list[Held] = []
        self.ended: list[Held] = []
        self.slots = Slots(
            self,
            Adaptive(),
            Durations(),
            on_outcome=lambda held, outcome: self.ended.append(held),
            on_crash=lambda held, died: self.crashed.append(held),
            on_start=lambda held, pid: None,
            foretell=foretell,
        )

    def spawn(self, slot: int, child_end: socket.socket) -> None:
        self.ends[slot] = child_end.dup()
        self.slots.note_started(Started(slot, 1_000 + slot))
        packets.send(self.ends[slot], encode(Outcome(READY, "", None, 0, 0.0)))

    def kill(self, slot: int, number: int, *, group: bool = False) -> None:
        self.killed.append((slot, number, group))

    def read(self, slot: int) -> Run:
        return decode_run(packets.receive(self.ends[slot], packets.DONT_WAIT))

    def answer(self, slot: int, run: Run) -> None:
        packets.send(self.ends[slot], encode(Outcome(run.number, "SUCCESS", None, 0, 0.0)))

    def die(self, slot: int) -> None:
        self.ends.pop(slot).close()
        self.slots.note_died(Died(slot, 1_000 + slot, KILLED, 0))


@pytest.fixture
async def children(monkeypatch) -> AsyncIterator[Children]:
    monkeypatch.setattr("celeriac.worker.slots._LOOK_AT_HEADS_EVERY", LOOK_EVERY)
    made = Children()
    yield made
    made.slots.close()
    for end in made.ends.values():
        end.close()


def held(number: int, *, expected: float = float("inf"), redelivered: bool = False) -> Held:
    message = Message(task_id=f"t{number}", queue="q", headers=b"{}", body=b"[]")
    delivery = Delivery(tag=number, owner=1, message=message, redelivered=redelivered)
    return Held(number, delivery, Intake("t", f"t{number}", None, None, 0, None, 2), 0.0, expected)


async def looks(count: int) -> None:
    await asyncio.sleep(count * LOOK_EVERY * 1.5)


async def until(claim) -> None:
    async with asyncio.timeout(10):
        while not claim():
            await asyncio.sleep(0.001)


async def test_a_child_that_does_not_read_is_killed_and_what_it_was_sent_waits_for_others(children: Children):
    children.slots.start(1)
    await children.slots.up.wait()
    children.slots.add([held(1)])
    children.slots.dispatch()

    await until(lambda: children.killed)

    assert children.killed == [(0, signal.SIGKILL, True)]
    assert [one.number for one in children.slots.waiting] == [1]
    assert children.slots.running == 0
    assert not children.slots.idle, "nothing is sent to it any more"
    await looks(10)
    assert len(children.killed) == 1


async def test_its_successor_runs_what_it_did_not_read_and_nothing_has_crashed(children: Children):
    children.slots.start(1)
    await children.slots.up.wait()
    children.slots.add([held(1)])
    children.slots.dispatch()
    await until(lambda: children.killed)

    children.die(0)

    await until(lambda: children.slots.running == 1)
    assert children.read(0).number == 1
    assert children.crashed == []


async def test_a_child_whose_run_takes_long_is_left_alone(children: Children):
    children.slots.start(1)
    await children.slots.up.wait()
    children.slots.add([held(1)])
    children.slots.dispatch()
    run = children.read(0)

    await looks(20)

    assert children.killed == []
    children.answer(0, run)
    await until(lambda: children.ended)


async def test_a_child_that_reads_now_and_then_is_left_alone(children: Children):
    children.slots.start(1)
    await children.slots.up.wait()
    children.slots.add([held(number) for number in range(1, 11)])
    children.slots.dispatch()
    for number in range(1, 11):
        await looks(2)
        children.answer(0, children.read(0))
        await until(lambda number=number: len(children.ended) == number)

    assert children.killed == []


async def test_what_somebody_had_before_is_sent_when_that_was_foretold_and_others_are_sent_at_once():
    foretold: list[int] = []
    known = asyncio.Event()

    async def foretell(one: Held) -> None:
        foretold.append(one.number)
        await known.wait()

    children = Children(foretell)
    children.slots.start(2)
    await children.slots.up.wait()
    children.slots.add([held(1), held(2, redelivered=True)])
    children.slots.dispatch()
    await until(lambda: foretold)
    assert (children.slots.running, foretold) == (1, [2])

    known.set()

    await until(lambda: children.slots.running == 2)
    assert foretold == [2]
    children.slots.close()
    for end in children.ends.values():
        end.close()
