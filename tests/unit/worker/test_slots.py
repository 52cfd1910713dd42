from __future__ import annotations

import asyncio
import errno
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from celeriac.brokers.base import Delivery
from celeriac.exceptions import TimeLimitExceeded
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

LOOK_EVERY = 0.01
KILLED = 9
PATIENCE = 60.0


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
        self.killed: list[tuple[int, int, bool]] = []
        self.lines: dict[int, socket.socket] = {}
        self.crashed: list[Held] = []
        self.killed_runs: list[tuple[int, Verdict]] = []
        self.ended: list[Held] = []
        self.slots = Slots(
            self,
            Adaptive(),
            Durations(),
            on_outcome=lambda held, outcome: self.ended.append(held),
            on_crash=lambda held, died: self.crashed.append(held),
            on_killed=lambda held, verdict: self.killed_runs.append((held.number, verdict)),
            on_start=lambda held, pid: None,
            foretell=foretell,
            recycling=recycling,
            alive_within=alive_within,
        )

    def spawn(self, slot: int, child_end: socket.socket, line: socket.socket) -> None:
        self.ends[slot] = child_end.dup()
        self.lines[slot] = line.dup()
        self.slots.note_started(Started(slot, 1_000 + slot))
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

    def die(self, slot: int) -> None:
        self.ends.pop(slot).close()
        self.lines.pop(slot).close()
        self.slots.note_died(Died(slot, 1_000 + slot, KILLED, 0))


@pytest.fixture
def hasty(children: Children, monkeypatch) -> None:
    """Have what is not read at once taken back."""
    monkeypatch.setattr("celeriac.worker.children.LATE_AFTER", 0.01)


@pytest.fixture
async def children(monkeypatch) -> AsyncIterator[Children]:
    monkeypatch.setattr("celeriac.worker.slots._LOOK_AT_HEADS_EVERY", LOOK_EVERY)
    # A test reads when it comes to it, however busy the machine is.
    monkeypatch.setattr("celeriac.worker.children.LATE_AFTER", PATIENCE)
    made = Children()
    yield made
    made.slots.close()
    made.close()


def held(
    number: int,
    *,
    expected: float = float("inf"),
    redelivered: bool = False,
    crashes: int = 0,
    acked: bool = False,
    size: int = 2,
) -> Held:
    message = Message(task_id=f"t{number}", queue="q", headers=b"{}", body=b" " * size)
    delivery = Delivery(tag=number, owner=1, message=message, redelivered=redelivered, crashes=crashes)
    return Held(number, delivery, Intake("t", f"t{number}", None, None, 0, None, 2), 0.0, expected, acked=acked)


def numbers(some) -> list[int]:
    return [one.number for one in some]


async def looks(count: int) -> None:
    await asyncio.sleep(count * LOOK_EVERY * 1.5)


async def until(claim) -> None:
    async with asyncio.timeout(10):
        while not claim():
            await asyncio.sleep(0.001)


async def test_a_child_that_does_not_read_is_killed_and_what_it_was_sent_waits_for_others(children: Children):
    children.slots.start((1,))
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
    children.slots.start((1,))
    await children.slots.up.wait()
    children.slots.add([held(1)])
    children.slots.dispatch()
    await until(lambda: children.killed)

    children.die(0)

    await until(lambda: children.slots.running == 1)
    assert children.read(0).number == 1
    assert children.crashed == []


async def test_a_child_whose_run_takes_long_is_left_alone(children: Children):
    children.slots.start((1,))
    await children.slots.up.wait()
    children.slots.add([held(1)])
    children.slots.dispatch()
    run = children.read(0)

    await looks(20)

    assert children.killed == []
    children.answer(0, run)
    await until(lambda: children.ended)


async def test_a_child_that_reads_now_and_then_is_left_alone(children: Children):
    children.slots.start((1,))
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
    children.slots.start((1, 1))
    await children.slots.up.wait()
    children.slots.add([held(1), held(2, redelivered=True)])
    children.slots.dispatch()
    await until(lambda: foretold)
    assert (children.slots.running, foretold) == (1, [2])

    known.set()

    await until(lambda: children.slots.running == 2)
    assert foretold == [2]
    children.slots.close()
    children.close()


async def started(children: Children, *capacities: int) -> Slots:
    children.slots.start(capacities)
    await children.slots.up.wait()
    return children.slots


def send(slots: Slots, *some: Held) -> None:
    slots.add(some)
    slots.dispatch()


async def test_a_child_runs_as_many_as_it_has_bodies_and_answers_in_any_order(children: Children):
    slots = await started(children, 3)
    send(slots, *(held(number) for number in range(1, 6)))
    runs = [children.read(0) for _ in range(3)]
    assert (numbers(runs), numbers(slots.waiting), slots.idle) == ([1, 2, 3], [4, 5], False)

    children.answer(0, runs[1])

    await until(lambda: numbers(children.ended) == [2])
    assert children.read(0).number == 4
    children.answer(0, runs[2])
    children.answer(0, runs[0])
    await until(lambda: numbers(children.ended) == [2, 3, 1])
    assert slots.running == 2


async def test_children_share_the_bodies_that_run(children: Children):
    slots = await started(children, 2, 2)

    send(slots, *(held(number) for number in range(1, 5)))

    assert {children.read(0).number, children.read(0).number} == {1, 3}
    assert {children.read(1).number, children.read(1).number} == {2, 4}


async def test_an_outcome_that_nobody_asked_for_costs_the_child_its_life(children: Children):
    slots = await started(children, 2)
    send(slots, held(1))
    run = children.read(0)

    children.answer(0, run)
    await until(lambda: children.ended)
    send(slots, held(2))
    children.answer(0, run)

    await until(lambda: children.killed)
    assert children.killed == [(0, signal.SIGKILL, True)]


async def test_a_child_with_nothing_to_do_is_given_what_waits_behind_the_runs_of_another(
    children: Children, monkeypatch
):
    monkeypatch.setattr("celeriac.worker.slots._LOOK_AT_HEADS_EVERY", PATIENCE)
    slots = await started(children, 1, 1)
    send(slots, *(held(number, expected=0.004) for number in range(1, 5)))
    runs = children.read(0), children.read(1)
    assert numbers(runs) == [1, 2]

    children.answer(1, runs[1])
    await until(lambda: numbers(children.ended) == [2])
    children.answer(1, children.read(1))

    await until(lambda: numbers(children.ended) == [2, 4])
    await until(lambda: slots.running == 2 and not slots.idle)
    assert children.read(1).number == 3
    with pytest.raises(BlockingIOError):
        children.read(0)


@pytest.mark.usefixtures("hasty")
async def test_what_a_blocked_child_has_not_read_runs_elsewhere_and_nothing_more_is_sent_to_it(children: Children):
    slots = await started(children, 4, 4)
    send(slots, *(held(number) for number in range(1, 5)))
    blocked, other = children.read(0), [children.read(1), children.read(1)]

    await until(lambda: children.has_unread(1))

    assert blocked.number == 1
    assert [*numbers(other), children.read(1).number] == [2, 4, 3]
    send(slots, held(5))
    assert children.read(1).number == 5
    assert slots.running == 5


@pytest.mark.usefixtures("hasty")
async def test_a_blocked_child_gets_work_again_once_it_reads(children: Children):
    slots = await started(children, 3)
    send(slots, held(1), held(2))
    children.read(0)
    await until(lambda: numbers(slots.waiting) == [2])
    assert not slots.idle

    children.says_it_reads(0)

    await until(lambda: slots.running == 2)
    assert children.read(0).number == 2


@pytest.mark.usefixtures("hasty")
async def test_the_question_outlives_further_looks_at_what_a_blocked_child_has_not_read(children: Children):
    slots = await started(children, 4)
    send(slots, held(1), held(2), held(3))
    children.read(0), children.read(0)
    await until(lambda: numbers(slots.waiting) == [3])

    assert numbers(slots.withdraw()) == [3]

    children.says_it_reads(0)
    await until(lambda: slots.idle)


@pytest.mark.usefixtures("hasty")
async def test_a_child_that_nothing_runs_in_and_that_reads_no_more_is_killed_for_it(children: Children):
    slots = await started(children, 3)
    send(slots, held(1), held(2))

    await until(lambda: children.killed)

    assert children.killed == [(0, signal.SIGKILL, True)]
    assert (numbers(slots.waiting), slots.running) == ([1, 2], 0)


async def test_a_child_whose_socket_is_full_gets_the_rest_when_it_has_read(children: Children):
    slots = await started(children, 100)
    send(slots, *(held(number, size=60_000) for number in range(1, 101)))
    sent = slots.running
    assert 0 < sent < 100
    assert not slots.idle

    read = [children.read(0).number for _ in range(sent)]

    await until(lambda: slots.running > sent)
    read += [children.read(0).number for _ in range(slots.running - sent)]
    assert read == list(range(1, len(read) + 1))


async def test_those_who_ran_in_a_child_that_died_run_again_alone_one_at_a_time_uncounted(children: Children):
    slots = await started(children, 3, 3)
    send(slots, *(held(number) for number in range(1, 7)))
    died = [children.read(0).number for _ in range(3)]

    children.die(0)

    await until(lambda: slots.running == 4)
    assert children.crashed == []
    first = children.read(2)
    assert first.number == died[0]
    children.answer(2, first)
    await until(lambda: len(children.ended) == 1 and slots.running == 4)
    second = children.read(2)
    assert second.number == died[1]


async def test_a_suspect_that_kills_its_own_child_is_counted_and_the_next_one_runs(children: Children):
    slots = await started(children, 2)
    send(slots, held(1), held(2))
    children.read(0), children.read(0)
    children.die(0)
    await until(lambda: slots.running == 1)

    assert children.read(1).number == 1
    children.die(1)

    await until(lambda: slots.running == 1)
    assert numbers(children.crashed) == [1]
    assert children.read(1).number == 2


async def test_the_child_for_suspects_ends_with_them(children: Children):
    slots = await started(children, 2)
    send(slots, held(1), held(2))
    children.read(0), children.read(0)
    children.die(0)
    for number in (1, 2):
        await until(lambda: slots.running == 1)
        run = children.read(1)
        assert run.number == number
        children.answer(1, run)
        await until(lambda number=number: len(children.ended) == number)

    assert children.ends[1].recv(1, socket.MSG_DONTWAIT) == b""
    children.die(1)
    await looks(3)
    assert slots.alive == 1


async def test_what_was_acked_before_its_run_never_runs_again(children: Children):
    slots = await started(children, 3)
    send(slots, held(1), held(2, acked=True), held(3))
    for _ in range(3):
        children.read(0)

    children.die(0)

    assert numbers(children.crashed) == [2]
    assert len(slots.suspects) == 2


async def test_one_that_ran_by_itself_in_a_child_of_many_bodies_is_the_one(children: Children):
    slots = await started(children, 3)
    send(slots, held(1))
    children.read(0)

    children.die(0)

    assert numbers(children.crashed) == [1]


async def test_what_has_killed_a_child_before_runs_alone_where_children_run_several(children: Children):
    slots = await started(children, 3)

    send(slots, held(1), held(2, crashes=1))

    await until(lambda: slots.running == 2)
    assert (children.read(0).number, children.read(1).number) == (1, 2)


async def test_suspects_are_not_given_back_for_want_of_a_slot_but_at_the_end(children: Children):
    slots = await started(children, 2)
    send(slots, held(1), held(2))
    children.read(0), children.read(0)
    children.die(0)

    assert slots.withdraw(claimed_before=1.0) == []
    assert numbers(slots.withdraw()) == [1, 2]


async def test_what_a_child_has_not_read_is_taken_out_and_the_rest_of_it_waits_again(children: Children):
    children.slots.start((1,))
    await until(lambda: children.slots.slots)
    sent = [held(number, expected=0.0) for number in range(1, 6)]
    children.slots.add(sent)
    children.slots.dispatch()
    running = children.read(0)

    found = children.slots.take_out([sent[0], sent[2], sent[4]])

    assert numbers(found) == [3, 5]
    assert running.number == 1
    left = []
    while children.has_unread(0):
        left.append(children.read(0).number)
    assert left + numbers(children.slots.waiting) == [2, 4]


async def test_what_waits_in_the_node_is_taken_out(children: Children):
    waiting = [held(number) for number in range(1, 4)]
    children.slots.add(waiting)

    assert numbers(children.slots.take_out(waiting[1:2])) == [2]
    assert numbers(children.slots.waiting) == [1, 3]
    assert children.slots.take_out(waiting[1:2]) == []


# -- replacing ------------------------------------------------------------------------------------------------------


@pytest.fixture
async def short_lived() -> AsyncIterator[Children]:
    made = Children(recycling=Recycling(max_tasks=2))
    yield made
    close(made)


def close(children: Children) -> None:
    children.slots.close()
    for end in [*children.ends.values(), *children.lines.values()]:
        end.close()


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
    await looks(3)
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
    await looks(2)
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
    monkeypatch.setattr("celeriac.worker.slots._END_WITHIN", 0.02)
    await started(short_lived, 1)
    await run_in(short_lived, 0, held(1))
    await run_in(short_lived, 0, held(2))

    await until(lambda: short_lived.killed)

    assert short_lived.killed == [(0, signal.SIGKILL, True)]


# -- ending runs ----------------------------------------------------------------------------------------------------

LATE = Verdict("FAILURE", TimeLimitExceeded(1))


async def test_an_order_reaches_the_child_that_runs_the_message(children: Children):
    slots = await started(children, 1)
    one = held(1)
    send(slots, one)
    children.read(0)

    assert slots.interrupt(one, Interrupt(1, "soft"))

    assert children.orders(0) == ["soft"]
    assert children.killed == [(0, signal.SIGUSR1, False)]


async def test_what_waits_unread_in_a_child_is_not_ended_there(children: Children):
    slots = await started(children, 1)
    first, second = held(1, expected=0.0001), held(2, expected=0.0001)
    send(slots, first, second)
    children.read(0)

    assert not slots.interrupt(second, Interrupt(2, "soft"))
    assert not slots.kill_run(second, LATE)

    assert children.killed == []
    assert second.verdict is None


async def test_what_has_answered_is_not_ended_any_more(children: Children):
    slots = await started(children, 1)
    first, second = held(1, expected=0.0001), held(2, expected=0.0001)
    send(slots, first, second)
    children.answer(0, children.read(0))

    assert not slots.kill_run(first, LATE)

    assert children.killed == []
    assert children.ended == [first]


async def test_a_killed_run_comes_to_its_verdict_and_its_neighbours_wait_again_uncounted(children: Children):
    slots = await started(children, 3)
    helds = [held(number) for number in range(1, 4)]
    send(slots, *helds)
    for _ in helds:
        children.read(0)

    assert slots.kill_run(helds[1], LATE)
    children.die(0)

    assert children.killed == [(0, signal.SIGKILL, True)]
    assert children.killed_runs == [(2, LATE)]
    assert children.crashed == []
    assert [one.number for one in slots.waiting] == [1, 3]


async def test_a_child_with_a_condemned_run_gets_nothing_more(children: Children):
    slots = await started(children, 2)
    one = held(1)
    send(slots, one)
    children.read(0)

    assert slots.condemn(one, LATE)
    send(slots, held(2))

    assert [each.number for each in slots.waiting] == [2]
    assert not slots.idle


async def test_an_outcome_that_comes_before_the_death_counts(children: Children):
    slots = await started(children, 1)
    one = held(1)
    send(slots, one)
    run = children.read(0)
    assert slots.kill_run(one, LATE)

    children.answer(0, run)
    children.die(0)

    assert children.ended == [one]
    assert children.killed_runs == []


async def test_a_doomed_child_whose_run_has_ended_otherwise_is_replaced(children: Children):
    slots = await started(children, 1)
    one = held(1)
    send(slots, one)
    run = children.read(0)
    slots.condemn(one, LATE)
    slots.kill_doomed()
    assert children.killed == []
    children.answer(0, run)
    await until(lambda: children.ended)

    slots.kill_doomed()

    assert children.killed == [(0, signal.SIGKILL, True)]


# -- what comes together --------------------------------------------------------------------------------------------


async def test_a_child_whose_outcome_has_just_come_is_not_killed_for_its_long_run(children: Children):
    slots = await started(children, 1)
    assert slots._looking_at_heads is not None
    slots._looking_at_heads.cancel()
    send(slots, held(1))
    run = children.read(0)
    child = slots._children[0]
    while not child.is_stuck(5):
        pass

    children.answer(0, run)  # the loop has not come to read it when it looks
    slots._look_for_stalled()

    assert numbers(children.ended) == [1]
    assert children.killed == []


async def test_a_run_that_was_told_to_end_does_not_begin_again_after_its_neighbour_was_killed(children: Children):
    slots = await started(children, 3)
    helds = [held(number) for number in range(1, 4)]
    send(slots, *helds)
    for _ in helds:
        children.read(0)
    helds[0].if_killed = LATE
    helds[2].is_soft_told = True

    assert slots.kill_run(helds[1], LATE)
    children.die(0)

    assert [number for number, _ in children.killed_runs] == [1, 2]
    assert numbers(slots.waiting) == [3]
    assert not helds[2].is_soft_told  # its next body has not heard of it


async def test_a_run_that_was_told_to_end_is_no_suspect_when_its_child_dies(children: Children):
    slots = await started(children, 2)
    one, other = held(1), held(2)
    send(slots, one, other)
    children.read(0), children.read(0)
    one.if_killed = LATE

    children.die(0)

    await until(lambda: slots.running == 1)
    assert children.killed_runs == [(1, LATE)]
    assert children.read(1).number == 2


async def test_a_child_for_suspects_that_does_not_end_is_killed(children: Children, monkeypatch):
    monkeypatch.setattr("celeriac.worker.slots._END_WITHIN", 0.02)
    slots = await started(children, 2)
    send(slots, held(1, crashes=1))
    await until(lambda: slots.running == 1)
    children.answer(1, children.read(1))
    await until(lambda: children.ended)

    await until(lambda: children.killed)

    assert children.killed == [(1, signal.SIGKILL, True)]


async def test_a_child_that_has_grown_too_large_and_does_not_end_is_killed(monkeypatch):
    monkeypatch.setattr("celeriac.worker.slots._END_WITHIN", 0.02)
    monkeypatch.setattr("celeriac.worker.recycling.memory_kib", lambda pid: 201)
    children = Children(recycling=Recycling(max_memory_kib=200))
    await started(children, 1)
    await run_in(children, 0, held(1))

    await until(lambda: children.killed)

    assert children.killed == [(0, signal.SIGKILL, True)]
    close(children)


async def test_a_child_for_which_there_are_no_descriptors_is_started_later(children: Children, monkeypatch):
    monkeypatch.setattr("celeriac.worker.slots._RESPAWN_DELAYS", (0.01,))
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
