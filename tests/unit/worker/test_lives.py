from __future__ import annotations

import errno
import signal
import socket
from collections.abc import AsyncIterator

import pytest

from celeriac.worker import packets
from celeriac.worker.held import Held
from celeriac.worker.recycling import Recycling
from tests.unit.worker.crew import Children, close, held, numbers, send, started, turns, until


@pytest.fixture
async def short_lived() -> AsyncIterator[Children]:
    made = Children(recycling=Recycling(max_tasks=2))
    yield made
    close(made)


def is_told_to_leave(children: Children, slot: int) -> bool:
    try:
        return children.ends[slot].recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False


async def run_in(children: Children, slot: int, one: Held) -> None:
    """Have a child that has nothing to do run one message to its end."""
    send(children.slots, one)
    children.answer(slot, children.read(slot))
    await until(lambda: one in children.ended)


async def test_a_successor_is_up_before_the_last_run_ends_and_begins_when_it_has(short_lived: Children):
    slots = await started(short_lived, 1)
    await run_in(short_lived, 0, held(1))
    send(slots, held(2), held(3))
    last = short_lived.read(0)
    assert last.number == 2
    assert is_told_to_leave(short_lived, 0)
    await turns(10)
    assert (2 in short_lived.ends, slots.running) == (True, 1), "no more bodies run than there may"

    short_lived.answer(0, last)

    await until(lambda: slots.running == 1 and len(short_lived.ended) == 2)
    assert short_lived.read(2).number == 3
    short_lived.die(0)
    assert short_lived.crashed == []


async def test_the_successor_of_a_child_of_many_bodies_has_those_that_have_become_free(short_lived: Children):
    slots = await started(short_lived, 2)
    send(slots, *(held(number) for number in range(1, 5)))
    runs = [short_lived.read(0), short_lived.read(0)]

    short_lived.answer(0, runs[1])

    await until(lambda: slots.running == 2 and len(short_lived.ended) == 1)
    assert short_lived.read(2).number == 3
    assert [slot.capacity for slot in slots.slots] == [1]
    short_lived.answer(0, runs[0])
    await until(lambda: numbers(slots.waiting) == [])
    assert short_lived.read(2).number == 4


async def test_who_dies_on_its_last_run_has_crashed_and_has_one_successor(short_lived: Children):
    slots = await started(short_lived, 1)
    await run_in(short_lived, 0, held(1))
    send(slots, held(2))
    short_lived.read(0)

    short_lived.die(0)

    send(slots, held(3))
    await until(lambda: slots.running == 1)
    assert numbers(short_lived.crashed) == [2]
    assert short_lived.read(2).number == 3
    await turns(10)
    assert slots.alive == 1


async def test_a_successor_that_dies_before_it_is_up_is_replaced_with_all_its_bodies(short_lived: Children):
    slots = await started(short_lived, 1)
    await run_in(short_lived, 0, held(1))
    short_lived.come_up = False
    await run_in(short_lived, 0, held(2))
    short_lived.come_up = True
    short_lived.die(2)
    short_lived.die(0)

    send(slots, held(3))

    await until(lambda: slots.running == 1)
    assert [slot.capacity for slot in slots.slots] == [1]


async def test_a_child_that_has_grown_too_large_is_replaced_after_its_run(monkeypatch):
    sizes = {1_000: 100, 1_002: 100}
    monkeypatch.setattr("celeriac.worker.recycling.memory_kib", sizes.__getitem__)
    children = Children(recycling=Recycling(max_memory_kib=200))
    slots = await started(children, 1)
    await run_in(children, 0, held(1))
    sizes[1_000] = 201
    await run_in(children, 0, held(2))

    send(slots, held(3))

    await until(lambda: slots.running == 1)
    assert is_told_to_leave(children, 0)
    assert children.read(2).number == 3
    close(children)


async def test_a_child_that_does_not_come_up_in_time_is_killed():
    children = Children(alive_within=0.02)
    children.come_up = False

    children.slots.start((1,))

    await until(lambda: children.killed)
    assert children.killed == [(0, signal.SIGKILL, True)]
    close(children)


async def test_a_child_that_does_not_end_after_its_last_run_is_killed(short_lived: Children, monkeypatch):
    monkeypatch.setattr("celeriac.worker.lives._END_WITHIN", 0.02)
    await started(short_lived, 1)
    await run_in(short_lived, 0, held(1))
    await run_in(short_lived, 0, held(2))

    await until(lambda: short_lived.killed)

    assert short_lived.killed == [(0, signal.SIGKILL, True)]


async def test_a_child_for_suspects_that_does_not_end_is_killed(children: Children, monkeypatch):
    monkeypatch.setattr("celeriac.worker.lives._END_WITHIN", 0.02)
    slots = await started(children, 2)
    send(slots, held(1, crashes=1))
    await until(lambda: slots.running == 1)
    children.answer(1, children.read(1))
    await until(lambda: children.ended)

    await until(lambda: children.killed)

    assert children.killed == [(1, signal.SIGKILL, True)]


async def test_a_child_that_has_grown_too_large_and_does_not_end_is_killed(monkeypatch):
    monkeypatch.setattr("celeriac.worker.lives._END_WITHIN", 0.02)
    monkeypatch.setattr("celeriac.worker.recycling.memory_kib", lambda pid: 201)
    children = Children(recycling=Recycling(max_memory_kib=200))
    await started(children, 1)
    await run_in(children, 0, held(1))

    await until(lambda: children.killed)

    assert children.killed == [(0, signal.SIGKILL, True)]
    close(children)


async def test_a_child_for_which_there_are_no_descriptors_is_started_later(children: Children, monkeypatch):
    monkeypatch.setattr("celeriac.worker.lives._RESPAWN_DELAYS", (0.01,))
    slots = await started(children, 1)
    pair, calls = packets.pair, iter([True, False, True, True])

    def scarce_pair() -> tuple[socket.socket, socket.socket]:
        if not next(calls, True):
            raise OSError(errno.EMFILE, "Too many open files")
        return pair()

    monkeypatch.setattr(packets, "pair", scarce_pair)
    children.die(0)

    await until(lambda: slots.idle)
    assert slots.alive == 1


async def test_a_child_that_was_told_to_leave_is_not_asked_whether_it_reads(monkeypatch):
    monkeypatch.setattr("celeriac.worker.children.LATE_AFTER", 0.01)
    several = Children(recycling=Recycling(max_tasks=3))
    slots = await started(several, 3)
    send(slots, held(1), held(2), held(3))
    assert several.read(0).number == 1
    child = slots.lives.children[0]
    assert child.is_leaving

    await until(lambda: len(child.sent) == 1)

    assert not child.is_deaf
    close(several)
