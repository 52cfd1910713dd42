"""What every pool must do, as a suite for pytest.

    class TestPoolOfMine(PoolConformance):
        @pytest.fixture
        def pool(self):
            return PoolOfMine

The suite is the supervisor of one child, which runs in a thread of this process, so that tests can look into the
bodies. pytest shows the values in failed assertions when `pytest.register_assert_rewrite("celeriac.testing.pools")`
runs before the import.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any, Final
from uuid import uuid4

import msgspec
import pytest

from celeriac import Celery, current_task
from celeriac.exceptions import ImproperlyConfigured
from celeriac.message import Message
from celeriac.states import FAILURE, SUCCESS
from celeriac.wire.results import read_record
from celeriac.worker import packets
from celeriac.worker.channel import Channel
from celeriac.worker.interrupts import Interrupts
from celeriac.worker.pools.base import Pool
from celeriac.worker.runs import ARE_YOU_THERE, READY, Outcome, Run, decode_outcome, decode_run, encode

_WITHIN: Final = 30.0
_BODIES: Final = 4


class Gate:
    """Hold bodies up until it is opened, and know which of them wait at it."""

    def __init__(self) -> None:
        self._open = threading.Event()
        self._begun: list[Any] = []

    def pass_through(self, name: Any) -> None:
        self._begun.append(name)
        if not self._open.wait(_WITHIN):
            raise TimeoutError(f"nobody opened the gate for {name!r}")

    async def apass_through(self, name: Any) -> None:
        self._begun.append(name)
        async with asyncio.timeout(_WITHIN):
            while not self._open.is_set():
                await asyncio.sleep(0.002)

    @property
    def begun(self) -> Sequence[Any]:
        """Those that have come to it, in order."""
        return tuple(self._begun)

    def open(self) -> None:
        self._open.set()


class Child:
    """One child of a pool, seen by its supervisor."""

    def __init__(self, pool: type[Pool], app: Celery, capacity: int) -> None:
        self.capacity = capacity
        packets.receive_in_threads()
        self._end, self._handle = packets.pair()
        self._line, line_end = packets.pair()
        self._error: BaseException | None = None
        interrupts = Interrupts(line_end)
        made = pool(app, "w1@here", capacity, interrupts)
        self._thread = threading.Thread(target=self._serve, args=(made, self._handle.dup()), daemon=True)
        self._last = 0
        self._sockets = (self._end, self._handle, self._line, line_end)
        self._thread.start()

    def _serve(self, pool: Pool, end: socket.socket) -> None:
        with end:
            try:
                pool.serve(Channel(end))
            except BaseException as error:  # noqa: BLE001 - `wait_end` looks at it
                self._error = error

    def send(self, message: Message) -> int:
        """Send a run; return its number."""
        self._last += 1
        packets.send(self._end, encode(Run(self._last, message, redelivered=False, crashes=0)))
        return self._last

    def ask(self) -> None:
        """Ask whether it reads."""
        packets.send(self._end, ARE_YOU_THERE)

    def outcome(self) -> Outcome:
        """Return the next outcome."""
        self._end.settimeout(_WITHIN)
        return decode_outcome(packets.receive(self._end))

    def outcomes(self, count: int) -> dict[int, Outcome]:
        """Return so many outcomes, by their number."""
        found = [self.outcome() for _ in range(count)]
        assert len({one.number for one in found}) == count, "a run was answered twice"
        return {one.number: one for one in found}

    def unread(self) -> list[int]:
        """Take back what it has not read, and name that."""
        found = []
        with contextlib.suppress(BlockingIOError):
            while packet := packets.receive(self._handle, packets.DONT_WAIT):
                found.append(decode_run(packet).number)
        return found

    def finish(self) -> None:
        """Tell it that no more comes."""
        self._end.shutdown(socket.SHUT_WR)

    def leave_alone(self) -> None:
        """Be a supervisor that dies."""
        self._end.close()

    def wait_end(self) -> BaseException | None:
        """Wait until it has ended; return what it raised."""
        self._thread.join(_WITHIN)
        assert not self._thread.is_alive(), "the child did not end"
        return self._error

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.finish()
        self._thread.join(_WITHIN)
        for one in self._sockets:
            one.close()


class Bodies:
    """The tasks that the suite runs."""

    def __init__(self) -> None:
        self.gate = Gate()
        self.app = Celery("pools", broker=f"memory://{uuid4()}", set_as_current=False)
        for function in (self.double, self.adouble, self.wait, self.await_, self.who, self.awho, self.leave, self.size):
            self.app.task(name=function.__name__)(_as_function(function))
        self.app.finalize()

    def message(self, name: str, *args: Any, task_id: str | None = None) -> Message:
        """Make the message of a call."""
        return self.app.builder.build(self.app.tasks[name], args, {}, task_id=task_id)

    def double(self, number: int) -> int:
        return 2 * number

    async def adouble(self, number: int) -> int:
        await asyncio.sleep(0)
        return 2 * number

    def wait(self, name: Any) -> Any:
        self.gate.pass_through(name)
        return name

    async def await_(self, name: Any) -> Any:
        await self.gate.apass_through(name)
        return name

    def who(self) -> list[str | None]:
        first = _this_run()
        time.sleep(0.005)
        return [first, _this_run()]

    async def awho(self) -> list[str | None]:
        first = _this_run()
        await asyncio.sleep(0.005)
        return [first, _this_run()]

    def leave(self, kind: str) -> None:
        raise {"SystemExit": SystemExit, "KeyboardInterrupt": KeyboardInterrupt, "ValueError": ValueError}[kind](kind)

    def size(self, text: str) -> str:
        return text * 2


def _as_function(method: Any) -> Any:
    """Make a plain function of a bound method: a task is named and checked by one."""
    if asyncio.iscoroutinefunction(method):

        async def awaited(*args: Any) -> Any:
            return await method(*args)

        return awaited

    def called(*args: Any) -> Any:
        return method(*args)

    return called


def _this_run() -> str | None:
    run: str | None = current_task.request.id
    return run


def _value(outcome: Outcome) -> Any:
    assert outcome.record is not None
    return read_record(outcome.record).result


def _until(claim: Any, what: str) -> None:
    deadline = time.monotonic() + _WITHIN
    while not claim():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.001)


class PoolConformance:
    """Be the whole suite: subclass it, give it a fixture `pool`, and every promise of the port is checked."""

    @pytest.fixture
    def pool(self) -> type[Pool]:
        raise NotImplementedError("give the class of tests a fixture `pool` that returns your pool's class")

    @pytest.fixture
    def bodies(self) -> Iterator[Bodies]:
        made = Bodies()
        yield made
        made.gate.open()

    @pytest.fixture
    def child(self, pool: type[Pool], bodies: Bodies) -> Iterator[Child]:
        """Give one that has said that it is ready, with as many bodies as the pool gives a child of four."""
        made = Child(pool, bodies.app, max(pool.layout(_BODIES, None)))
        assert made.outcome().number == READY
        yield made
        bodies.gate.open()
        made.close()

    # -- how a node is divided ----------------------------------------------------------------------------------

    def test_a_layout_has_bodies_in_each_child_and_no_more_than_asked_for(self, pool: type[Pool]) -> None:
        for concurrency in (1, 2, 7, 100):
            capacities = pool.layout(concurrency, None)
            assert capacities
            assert min(capacities) >= 1
            assert sum(capacities) in (1, concurrency)

    def test_processes_divide_the_bodies_or_are_refused(self, pool: type[Pool]) -> None:
        if max(pool.layout(10, None)) == 1:
            with pytest.raises(ImproperlyConfigured, match="processes"):
                pool.layout(10, 4)
            return

        capacities = pool.layout(10, 4)

        assert len(capacities) == 4
        assert sum(capacities) == 10
        assert max(capacities) - min(capacities) <= 1
        with pytest.raises(ImproperlyConfigured):
            pool.layout(3, 4)

    def test_it_has_a_name_and_says_how_many_run_where_nobody_says(self, pool: type[Pool]) -> None:
        assert pool.name
        assert pool.role
        assert pool.usual_concurrency(2) >= 1

    # -- outcomes -----------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("task", ["double", "adouble"])
    def test_a_run_is_answered_under_its_number(self, child: Child, bodies: Bodies, task: str) -> None:
        number = child.send(bodies.message(task, 21))

        outcome = child.outcome()

        assert (outcome.number, outcome.state, _value(outcome)) == (number, SUCCESS, 42)
        assert outcome.took >= 0

    def test_each_run_of_many_is_answered_once(self, child: Child, bodies: Bodies) -> None:
        names = ["double", "adouble"]
        sent = {child.send(bodies.message(names[number % 2], number)): number for number in range(200)}

        outcomes = child.outcomes(200)

        assert {number: _value(outcome) for number, outcome in outcomes.items()} == {
            number: 2 * value for number, value in sent.items()
        }

    @pytest.mark.parametrize("kind", ["ValueError", "SystemExit", "KeyboardInterrupt"])
    def test_what_a_body_raises_fails_its_run_and_nothing_else(self, child: Child, bodies: Bodies, kind: str) -> None:
        failed = child.send(bodies.message("leave", kind))
        other = child.send(bodies.message("double", 1))

        outcomes = child.outcomes(2)

        assert (outcomes[failed].state, outcomes[other].state) == (FAILURE, SUCCESS)

    def test_a_message_that_cannot_be_read_is_answered_too(self, child: Child, bodies: Bodies) -> None:
        good = bodies.message("double", 1)
        bad = child.send(msgspec.structs.replace(good, body=b"\xff not json"))
        other = child.send(good)

        outcomes = child.outcomes(2)

        assert outcomes[bad].dead_reason is not None
        assert outcomes[other].state == SUCCESS

    def test_large_messages_and_results_travel(self, child: Child, bodies: Bodies) -> None:
        text = "x" * (packets.MAX_PACKET * 2)
        child.send(bodies.message("size", text))

        assert len(_value(child.outcome())) == 2 * len(text)

    # -- how many run -------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("task", ["wait", "await_"])
    def test_as_many_run_at_once_as_it_has_bodies_and_more_are_not_read(
        self, child: Child, bodies: Bodies, task: str
    ) -> None:
        sent = [child.send(bodies.message(task, name)) for name in range(child.capacity + 3)]

        _until(lambda: len(bodies.gate.begun) == child.capacity, f"{child.capacity} bodies at once")
        time.sleep(0.05)  # for one too many to begin

        assert len(bodies.gate.begun) == child.capacity
        assert child.unread() == sent[child.capacity :]
        bodies.gate.open()
        assert set(child.outcomes(child.capacity)) == set(sent[: child.capacity])

    def test_what_waits_is_read_when_bodies_are_free_again(self, child: Child, bodies: Bodies) -> None:
        sent = [child.send(bodies.message("wait", name)) for name in range(child.capacity)]
        _until(lambda: len(bodies.gate.begun) == child.capacity, "all bodies to begin")
        sent += [child.send(bodies.message("adouble", number)) for number in range(3)]

        bodies.gate.open()

        assert set(child.outcomes(len(sent))) == set(sent)

    def test_it_says_that_it_reads_when_it_is_asked_and_has_a_body_free(self, child: Child, bodies: Bodies) -> None:
        for name in range(child.capacity - 1):
            child.send(bodies.message("wait", name))
        _until(lambda: len(bodies.gate.begun) == child.capacity - 1, "bodies to begin")

        child.ask()

        assert child.outcome().number == READY

    # -- what a body knows --------------------------------------------------------------------------------------

    def test_each_body_knows_its_own_run(self, child: Child, bodies: Bodies) -> None:
        ids = {}
        for number in range(40):
            task_id = f"run-{number}"
            ids[child.send(bodies.message("who" if number % 2 else "awho", task_id=task_id))] = task_id

        outcomes = child.outcomes(40)

        assert {number: _value(outcome) for number, outcome in outcomes.items()} == {
            number: [task_id, task_id] for number, task_id in ids.items()
        }

    # -- its end ------------------------------------------------------------------------------------------------

    def test_it_ends_when_nothing_more_comes(self, child: Child) -> None:
        child.finish()

        assert child.wait_end() is None

    def test_what_runs_is_answered_before_it_ends(self, child: Child, bodies: Bodies) -> None:
        sent = [child.send(bodies.message("wait", name)) for name in range(child.capacity)]
        _until(lambda: len(bodies.gate.begun) == child.capacity, "all bodies to begin")

        child.finish()
        bodies.gate.open()

        assert set(child.outcomes(len(sent))) == set(sent)
        assert child.wait_end() is None

    def test_it_ends_when_its_supervisor_has_gone(self, child: Child, bodies: Bodies) -> None:
        child.send(bodies.message("wait", 1))
        _until(lambda: bodies.gate.begun, "the body to begin")

        child.leave_alone()
        bodies.gate.open()

        assert isinstance(child.wait_end(), OSError | None)
