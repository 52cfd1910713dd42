"""What every bus must do, as a suite for pytest.

    class TestMemoryBus(BusConformance):
        @pytest.fixture
        def world(self):
            return MemoryBuses()

pytest shows the values in failed assertions when `pytest.register_assert_rewrite("celeriac.testing.buses")` runs before
the import.
"""

from __future__ import annotations

import asyncio
import json
import os
import threading
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final, TypeVar

import pytest

from celeriac.brokers.base import MESSAGE_MAX_BYTES
from celeriac.brokers.bus import Bus, Inbox
from celeriac.brokers.subscription import KEEP, Subscription
from celeriac.brokers.topics import Topic
from celeriac.exceptions import BrokerUnavailable, MessageTooLarge
from celeriac.testing.worlds import ANSWER_WITHIN
from celeriac.wire.notices import Notice

T = TypeVar("T")

CONTROL: Final = "celery.pidbox"
REPLIES: Final = "reply.celery.pidbox"
EVENTS: Final = "celeryev"

_QUIET: Final = 0.2
"""Seconds after which a test believes that nothing more will be heard."""


class Operator:
    """Drive a station from a test, in an event loop that runs in a thread of its own. The methods block."""

    def __init__(self, bus: Bus) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="operator", daemon=True)
        self._thread.start()
        self.station = bus.station()

    def start(self, call: Coroutine[Any, Any, T]) -> Future[T]:
        return asyncio.run_coroutine_threadsafe(call, self._loop)

    def do(self, call: Coroutine[Any, Any, T]) -> T:
        return self.start(call).result(ANSWER_WITHIN)

    def subscribe(self, *topics: Topic, keep: int = KEEP) -> Ear:
        return Ear(self, self.do(self.station.subscribe(topics, deadline_at=soon(), keep=keep)))

    def broadcast(self, *notices: Notice) -> None:
        self.do(self.station.broadcast(notices, deadline_at=soon()))

    def reply(self, *notices: Notice) -> None:
        self.do(self.station.reply(notices, deadline_at=soon()))

    def stop(self) -> None:
        """Close the station and end the loop."""
        self.do(self.station.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(ANSWER_WITHIN)
        self._loop.close()


class Ear:
    """Drive a subscription from a test."""

    def __init__(self, operator: Operator, subscription: Subscription) -> None:
        self.operator = operator
        self.subscription = subscription

    def hear(self, count: int = 1) -> list[Notice]:
        """Return the next notices, so many of them or those that come until it has gone quiet."""
        heard: list[Notice] = []
        give_up_at = soon()
        while len(heard) < count and time.monotonic() < give_up_at:
            heard += self.operator.do(self.subscription.hear(timeout=0.5))
        return heard

    def rest(self) -> list[Notice]:
        """Return what is heard until it has gone quiet."""
        heard: list[Notice] = []
        while more := self.operator.do(self.subscription.hear(timeout=_QUIET)):
            heard += more
        return heard


class BusWorld(ABC):
    """Give the suite what it needs of one adapter. Make a fresh one for every test."""

    def __init__(self) -> None:
        self._operators: list[Operator] = []
        self._buses: list[Bus] = []

    @abstractmethod
    def make_bus(self) -> Bus:
        """Make one more bus in this world, as another process would."""

    @abstractmethod
    def leftovers(self) -> int:
        """Count what the technology keeps for inboxes, open ones included; 0 when nobody asks anything."""

    def outlast(self, seconds: float) -> None:
        """Let so much time pass for inboxes."""
        time.sleep(seconds)

    def cut(self) -> bool:
        """Cut the connections of all buses; False where there are none to cut."""
        return False

    def bus(self) -> Bus:
        bus = self.make_bus()
        self._buses.append(bus)
        return bus

    def operator(self, bus: Bus | None = None) -> Operator:
        """Start an event loop with a station of a bus."""
        operator = Operator(bus or self.bus())
        self._operators.append(operator)
        return operator

    def end(self) -> None:
        """Stop what the test started."""
        for operator in self._operators:
            operator.stop()
        for bus in self._buses:
            bus.close()


def soon() -> float:
    """Return a deadline that no working bus misses."""
    return time.monotonic() + ANSWER_WITHIN


def an_event(kind: str = "worker-heartbeat", *, number: int = 0) -> Notice:
    """Make an event as nodes emit them."""
    body = json.dumps({"type": kind, "hostname": "w1@host", "clock": number}).encode()
    return Notice(exchange=EVENTS, routing_key=kind.replace("-", "."), body=body, headers=b'{"hostname": "w1@host"}')


def a_command(method: str = "ping") -> Notice:
    """Make a control command."""
    return Notice(exchange=CONTROL, body=json.dumps({"method": method}).encode(), persistent=True)


def an_answer(inbox: Inbox, text: str = "pong") -> Notice:
    """Make an answer to whoever owns an inbox."""
    body = json.dumps({"w1@host": {"ok": text}}).encode()
    return Notice(exchange=inbox.exchange, routing_key=inbox.routing_key, body=body, headers=b'{"ticket": "t"}')


def collect(inbox: Inbox, count: int) -> list[Notice]:
    """Collect so many answers, or those that have come by a deadline."""
    found: list[Notice] = []
    deadline_at = soon()
    while len(found) < count and time.monotonic() < deadline_at:
        found += inbox.collect(deadline_at=deadline_at)
    return found


class BusConformance:
    """Be the whole suite: subclass it, give it a fixture `world`, and every promise of the port is checked."""

    @pytest.fixture
    def world(self) -> BusWorld:
        raise NotImplementedError(f"{type(self).__name__} must have a fixture `world` that returns a BusWorld")

    @pytest.fixture
    def bus(self, world: BusWorld) -> Bus:
        return world.bus()

    @pytest.fixture
    def operator(self, world: BusWorld) -> Operator:
        return world.operator()

    # -- broadcasting -------------------------------------------------------------------------------------------

    def test_a_listener_hears_what_is_said_byte_for_byte(self, bus: Bus, operator: Operator) -> None:
        ear = operator.subscribe(Topic(CONTROL))
        notice = Notice(
            exchange=CONTROL,
            routing_key="w1.über",
            body=b"\x00\xff not text",
            headers='{"clock": 1, "name": "ü"}'.encode(),
            content_type="application/x-msgpack",
            content_encoding="binary",
            persistent=True,
        )

        bus.broadcast([notice], deadline_at=soon())

        assert ear.hear() == [notice]

    def test_every_listener_hears_it(self, world: BusWorld, bus: Bus) -> None:
        ears = [world.operator().subscribe(Topic(CONTROL)) for _ in range(3)]

        bus.broadcast([a_command()], deadline_at=soon())

        assert [ear.hear() for ear in ears] == [[a_command()]] * 3

    def test_the_order_is_kept(self, bus: Bus, operator: Operator) -> None:
        ear = operator.subscribe(Topic(EVENTS))
        said = [an_event(number=number) for number in range(500)]

        bus.broadcast(said[:200], deadline_at=soon())
        for notice in said[200:210]:
            bus.broadcast([notice], deadline_at=soon())
        bus.broadcast(said[210:], deadline_at=soon())

        assert ear.hear(500) == said

    def test_nobody_needs_to_listen(self, bus: Bus) -> None:
        bus.broadcast([a_command(), an_event()], deadline_at=soon())
        bus.broadcast([], deadline_at=soon())

    def test_who_comes_later_hears_nothing_of_it(self, bus: Bus, operator: Operator) -> None:
        bus.broadcast([a_command("earlier")], deadline_at=soon())

        ear = operator.subscribe(Topic(CONTROL))
        bus.broadcast([a_command("later")], deadline_at=soon())

        assert ear.hear() == [a_command("later")]
        assert ear.rest() == []

    def test_one_station_says_and_hears(self, operator: Operator) -> None:
        ear = operator.subscribe(Topic(EVENTS))

        operator.broadcast(an_event(number=1), an_event(number=2))

        assert ear.hear(2) == [an_event(number=1), an_event(number=2)]

    def test_what_is_too_large_is_refused_whole(self, bus: Bus, operator: Operator) -> None:
        ear = operator.subscribe(Topic(CONTROL))
        giant = Notice(exchange=CONTROL, body=b"x" * (MESSAGE_MAX_BYTES + 1))

        with pytest.raises(MessageTooLarge, match=CONTROL):
            bus.broadcast([a_command(), giant], deadline_at=soon())
        with pytest.raises(MessageTooLarge):
            operator.broadcast(giant)

        assert ear.rest() == []

    def test_a_megabyte_arrives(self, bus: Bus, operator: Operator) -> None:
        ear = operator.subscribe(Topic(CONTROL))
        large = Notice(exchange=CONTROL, body=os.urandom(1024 * 1024))

        bus.broadcast([large], deadline_at=soon())

        assert ear.hear() == [large]

    def test_many_threads_may_broadcast_at_once(self, bus: Bus, operator: Operator) -> None:
        ear = operator.subscribe(Topic(EVENTS))

        def say(thread: int) -> None:
            for number in range(25):
                bus.broadcast([an_event(number=thread * 100 + number)], deadline_at=soon())

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(say, range(8)))

        heard = [json.loads(notice.body)["clock"] for notice in ear.hear(200)]
        assert sorted(heard) == [thread * 100 + number for thread in range(8) for number in range(25)]
        for thread in range(8):
            assert [number for number in heard if number // 100 == thread] == sorted(
                number for number in heard if number // 100 == thread
            )

    # -- topics -------------------------------------------------------------------------------------------------

    @pytest.mark.parametrize(
        ("pattern", "heard"),
        [
            ("#", ["", "worker", "worker.online", "task.sent", "worker.elect.ack", "workers.online"]),
            ("worker.#", ["worker", "worker.online", "worker.elect.ack"]),
            ("worker.*", ["worker.online"]),
            ("*.*", ["worker.online", "task.sent", "workers.online"]),
            ("#.ack", ["worker.elect.ack"]),
            ("worker.#.ack", ["worker.elect.ack"]),
            ("task.sent", ["task.sent"]),
            ("worker.o[n]line", []),
            ("", [""]),
        ],
    )
    def test_a_listener_hears_the_keys_that_its_pattern_includes(
        self, bus: Bus, operator: Operator, pattern: str, heard: list[str]
    ) -> None:
        ear = operator.subscribe(Topic(EVENTS, pattern), Topic(CONTROL))
        keys = ["", "worker", "worker.online", "task.sent", "worker.elect.ack", "workers.online"]

        bus.broadcast([Notice(exchange=EVENTS, routing_key=key, body=b"{}") for key in keys], deadline_at=soon())
        bus.broadcast([a_command("last")], deadline_at=soon())

        found = ear.hear(len(heard) + 1)
        assert [notice.routing_key for notice in found if notice.exchange == EVENTS] == heard
        assert found[-1] == a_command("last")

    def test_conversations_are_apart(self, bus: Bus, operator: Operator) -> None:
        ear = operator.subscribe(Topic(CONTROL))

        others = [Notice(exchange=name, body=b"{}") for name in (f"{CONTROL}2", f"x{CONTROL}", "celery", EVENTS)]
        bus.broadcast([*others, a_command()], deadline_at=soon())

        assert ear.hear() == [a_command()]

    def test_what_several_topics_include_comes_once(self, bus: Bus, operator: Operator) -> None:
        ear = operator.subscribe(Topic(EVENTS, "worker.#"), Topic(EVENTS), Topic(EVENTS, "*.heartbeat"), Topic(EVENTS))

        bus.broadcast([an_event(number=1), an_event(number=2)], deadline_at=soon())

        assert ear.hear(2) == [an_event(number=1), an_event(number=2)]
        assert ear.rest() == []

    def test_the_same_thing_said_twice_is_heard_twice(self, bus: Bus, operator: Operator) -> None:
        ear = operator.subscribe(Topic(EVENTS), Topic(EVENTS, "worker.#"))

        bus.broadcast([an_event(), an_event()], deadline_at=soon())

        assert ear.hear(2) == [an_event(), an_event()]

    # -- listening ----------------------------------------------------------------------------------------------

    def test_a_listener_who_waits_is_woken(self, bus: Bus, operator: Operator) -> None:
        ear = operator.subscribe(Topic(CONTROL))
        waiting = operator.start(ear.subscription.hear())

        bus.broadcast([a_command()], deadline_at=soon())

        assert waiting.result(ANSWER_WITHIN) == [a_command()]

    def test_a_wait_ends_after_its_timeout(self, operator: Operator) -> None:
        ear = operator.subscribe(Topic(CONTROL))
        began_at = time.monotonic()

        heard = operator.do(ear.subscription.hear(timeout=0.1))

        assert heard == []
        assert time.monotonic() - began_at >= 0.09
        assert operator.do(ear.subscription.hear(timeout=0)) == []

    def test_the_newest_of_what_is_not_fetched_stays_and_the_rest_is_counted(
        self, bus: Bus, operator: Operator
    ) -> None:
        ear = operator.subscribe(Topic(EVENTS), keep=10)
        signal = operator.subscribe(Topic(CONTROL))

        bus.broadcast([an_event(number=number) for number in range(35)], deadline_at=soon())
        bus.broadcast([a_command()], deadline_at=soon())
        signal.hear()
        give_up_at = soon()  # a listener may have a connection of its own, and hear later than another one
        while ear.subscription.dropped < 25 and time.monotonic() < give_up_at:
            time.sleep(0.01)

        assert ear.rest() == [an_event(number=number) for number in range(25, 35)]
        assert ear.subscription.dropped == 25

    def test_a_listener_that_sleeps_holds_nobody_up(self, bus: Bus, operator: Operator) -> None:
        operator.subscribe(Topic(EVENTS), keep=1)
        body = b"x" * 10_000

        for _ in range(20):
            notices = [Notice(exchange=EVENTS, routing_key="task.sent", body=body)] * 100
            bus.broadcast(notices, deadline_at=time.monotonic() + 5)

    def test_a_closed_listener_hears_nothing_more(self, bus: Bus, operator: Operator) -> None:
        closed, other = operator.subscribe(Topic(CONTROL)), operator.subscribe(Topic(CONTROL))
        waiting = operator.start(closed.subscription.hear())

        operator.do(closed.subscription.close())
        operator.do(closed.subscription.close())
        bus.broadcast([a_command()], deadline_at=soon())

        assert waiting.result(ANSWER_WITHIN) == []
        assert other.hear() == [a_command()]
        assert operator.do(closed.subscription.hear()) == []
        assert closed.subscription.is_closed

    def test_closing_the_station_closes_its_listeners(self, operator: Operator) -> None:
        ear = operator.subscribe(Topic(CONTROL))

        operator.do(operator.station.close())
        operator.do(operator.station.close())

        assert ear.subscription.is_closed

    def test_a_listener_may_be_iterated(self, bus: Bus, operator: Operator) -> None:
        ear = operator.subscribe(Topic(EVENTS))
        heard: list[Notice] = []

        async def listen() -> None:
            async for notice in ear.subscription:
                heard.append(notice)
                if len(heard) == 3:
                    await ear.subscription.close()

        listening = operator.start(listen())
        bus.broadcast([an_event(number=number) for number in range(3)], deadline_at=soon())
        listening.result(ANSWER_WITHIN)

        assert heard == [an_event(number=number) for number in range(3)]

    def test_a_listener_that_was_cancelled_goes_on_hearing(self, bus: Bus, operator: Operator) -> None:
        ear = operator.subscribe(Topic(CONTROL))
        waiting = operator.start(ear.subscription.hear())
        operator.do(asyncio.sleep(0))

        waiting.cancel()
        bus.broadcast([a_command()], deadline_at=soon())

        assert ear.hear() == [a_command()]

    def test_a_listener_outlives_a_lost_connection_and_says_that_it_missed_something(
        self, world: BusWorld, bus: Bus, operator: Operator
    ) -> None:
        ear = operator.subscribe(Topic(CONTROL))
        bus.broadcast([a_command("before")], deadline_at=soon())
        assert ear.hear() == [a_command("before")]

        was_cut = world.cut()

        heard: list[Notice] = []
        give_up_at = soon()
        while not heard and time.monotonic() < give_up_at:  # what is said before it is there again is lost
            bus.broadcast([a_command("after")], deadline_at=soon())
            operator.broadcast(a_command("after"))
            heard = operator.do(ear.subscription.hear(timeout=0.1))
        assert heard[0] == a_command("after")
        assert ear.subscription.gaps == int(was_cut)

    # -- asking and answering -----------------------------------------------------------------------------------

    def test_an_answer_reaches_its_asker_byte_for_byte(self, world: BusWorld, bus: Bus, operator: Operator) -> None:
        inbox = world.bus().inbox(REPLIES, deadline_at=soon())
        answer = Notice(
            exchange=REPLIES,
            routing_key=inbox.routing_key,
            body=b"\x00\xff",
            headers=b'{"ticket": "t", "clock": 3}',
            content_type="application/x-msgpack",
            content_encoding="binary",
        )

        bus.reply([answer], deadline_at=soon())
        operator.reply(answer)

        assert collect(inbox, 2) == [answer, answer]
        inbox.close()

    def test_answers_come_in_their_order(self, bus: Bus, operator: Operator) -> None:
        inbox = bus.inbox(REPLIES, deadline_at=soon())
        answers = [an_answer(inbox, str(number)) for number in range(200)]

        operator.reply(*answers[:100])
        operator.reply(*answers[100:])

        assert collect(inbox, 200) == answers
        inbox.close()

    def test_a_question_is_broadcast_and_answered(self, world: BusWorld, bus: Bus) -> None:
        operators = [world.operator() for _ in range(3)]
        ears = [operator.subscribe(Topic(CONTROL)) for operator in operators]

        async def serve(operator: Operator, ear: Ear) -> None:
            (question,) = await ear.subscription.hear()
            asked = json.loads(question.body)["reply_to"]
            answer = Notice(exchange=asked["exchange"], routing_key=asked["routing_key"], body=b'"pong"')
            await operator.station.reply([answer], deadline_at=soon())

        serving = [operator.start(serve(operator, ear)) for operator, ear in zip(operators, ears, strict=True)]
        with bus.inbox(REPLIES, deadline_at=soon()) as inbox:
            address = {"exchange": inbox.exchange, "routing_key": inbox.routing_key}
            body = json.dumps({"method": "ping", "reply_to": address}).encode()
            bus.broadcast([Notice(exchange=CONTROL, body=body)], deadline_at=soon())
            answers = collect(inbox, 3)

        assert [answer.body for answer in answers] == [b'"pong"'] * 3
        for served in serving:
            served.result(ANSWER_WITHIN)

    def test_an_asker_who_waits_is_woken(self, bus: Bus, operator: Operator) -> None:
        with bus.inbox(REPLIES, deadline_at=soon()) as inbox, ThreadPoolExecutor(1) as threads:
            waiting = threads.submit(inbox.collect, deadline_at=soon())
            operator.reply(an_answer(inbox))

            assert waiting.result(ANSWER_WITHIN) == [an_answer(inbox)]

    def test_collecting_ends_at_once_when_hardly_any_time_is_left(self, bus: Bus) -> None:
        with bus.inbox(REPLIES, deadline_at=soon()) as inbox:
            for left in (0.0004, 0.0001, 0.000001):
                began = time.monotonic()

                assert inbox.collect(deadline_at=time.monotonic() + left) == []

                assert time.monotonic() - began < 0.5

    def test_collecting_ends_at_its_deadline(self, bus: Bus) -> None:
        with bus.inbox(REPLIES, deadline_at=soon()) as inbox:
            began_at = time.monotonic()

            assert inbox.collect(deadline_at=began_at + 0.15) == []

            assert 0.1 < time.monotonic() - began_at < 5
            assert inbox.collect(deadline_at=began_at) == []

    def test_every_asker_gets_its_own_answers(self, world: BusWorld, operator: Operator) -> None:
        first, second = (world.bus().inbox(REPLIES, deadline_at=soon()) for _ in range(2))

        operator.reply(an_answer(first, "1"), an_answer(second, "2"))

        assert collect(first, 1) == [an_answer(first, "1")]
        assert collect(second, 1) == [an_answer(second, "2")]
        assert first.routing_key != second.routing_key
        first.close()
        second.close()

    def test_an_answer_to_nobody_is_dropped(self, world: BusWorld, bus: Bus, operator: Operator) -> None:
        gone = bus.inbox(REPLIES, deadline_at=soon())
        open_one = bus.inbox(REPLIES, deadline_at=soon())
        gone.close()

        nobody = Notice(exchange=REPLIES, routing_key="nobody", body=b"{}")
        elsewhere = Notice(exchange="reply.other", routing_key=open_one.routing_key, body=b"{}")
        bus.reply([an_answer(gone), nobody, elsewhere, an_answer(open_one)], deadline_at=soon())
        operator.reply(an_answer(gone), nobody, elsewhere)
        bus.reply([], deadline_at=soon())

        assert collect(open_one, 1) == [an_answer(open_one)]
        assert open_one.collect(deadline_at=time.monotonic()) == []
        open_one.close()
        assert world.leftovers() == 0

    def test_closing_leaves_nothing_behind(self, world: BusWorld, bus: Bus, operator: Operator) -> None:
        inbox = bus.inbox(REPLIES, deadline_at=soon())
        operator.reply(an_answer(inbox), an_answer(inbox))
        assert world.leftovers() > 0

        inbox.close()
        inbox.close()

        assert world.leftovers() == 0

    def test_what_a_dead_asker_leaves_expires(self, world: BusWorld, bus: Bus, operator: Operator) -> None:
        dead = bus.inbox(REPLIES, deadline_at=soon(), expires=0.5)
        operator.reply(an_answer(dead))
        assert world.leftovers() > 0

        world.outlast(0.6)

        bus.inbox(REPLIES, deadline_at=soon()).close()
        operator.reply(an_answer(dead))
        assert world.leftovers() == 0

    def test_an_asker_that_collects_keeps_its_inbox(self, world: BusWorld, bus: Bus, operator: Operator) -> None:
        inbox = bus.inbox(REPLIES, deadline_at=soon(), expires=0.5)
        for _ in range(4):
            world.outlast(0.3)
            assert inbox.collect(deadline_at=time.monotonic()) == []

        operator.reply(an_answer(inbox))

        assert collect(inbox, 1) == [an_answer(inbox)]
        inbox.close()

    def test_a_listener_hears_no_answers(self, bus: Bus, operator: Operator) -> None:
        ear = operator.subscribe(Topic(REPLIES))
        with bus.inbox(REPLIES, deadline_at=soon()) as inbox:
            operator.reply(an_answer(inbox))

            assert collect(inbox, 1) == [an_answer(inbox)]
        assert ear.rest() == []

    # -- life ---------------------------------------------------------------------------------------------------

    def test_a_closed_bus_opens_again(self, bus: Bus, operator: Operator) -> None:
        ear = operator.subscribe(Topic(CONTROL))
        bus.broadcast([a_command("1")], deadline_at=soon())

        bus.close()
        bus.close()
        bus.broadcast([a_command("2")], deadline_at=soon())

        assert ear.hear(2) == [a_command("1"), a_command("2")]

    def test_a_forked_child_is_heard_or_told_that_it_is_not(self, bus: Bus, operator: Operator) -> None:
        ear = operator.subscribe(Topic(CONTROL))
        bus.broadcast([a_command("parent")], deadline_at=soon())

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of Python 3.12: threads run, and fork is the point
            child = os.fork()
        if child == 0:
            try:
                bus.broadcast([a_command("child")], deadline_at=soon())
                os._exit(0)
            except BrokerUnavailable:
                os._exit(1)
            finally:
                os._exit(2)
        _, status = os.waitpid(child, 0)

        reached = bus.capabilities.crosses_processes
        assert os.waitstatus_to_exitcode(status) == (0 if reached else 1)
        expected = [a_command("parent")] + [a_command("child")] * reached
        assert ear.hear(len(expected)) == expected
        bus.broadcast([a_command("parent again")], deadline_at=soon())
        assert ear.hear() == [a_command("parent again")]

    def test_where_it_is_can_be_shown(self, world: BusWorld, bus: Bus) -> None:
        assert "://" in bus.url
        assert bus.url == world.bus().url
