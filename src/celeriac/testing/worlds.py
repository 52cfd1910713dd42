"""Brokers, nodes and time as a conformance suite meets them, whatever the technology.

A *world* is one store with everything around it. An adapter's tests subclass `BrokerWorld`; the suites and the state
machines use nothing else, so what differs between technologies is said in one place.
"""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from collections.abc import Collection, Coroutine
from concurrent.futures import Future
from typing import Any, Final, TypedDict, TypeVar, Unpack

import msgspec

from celeriac.backends.base import ResultBackend
from celeriac.brokers.base import (
    Booking,
    Broker,
    Claim,
    Consumer,
    Delivery,
    Incarnation,
    RateRequest,
    Release,
    ReleaseCause,
    ResultMeta,
    ResultSink,
    Room,
    Settlement,
)
from celeriac.message import Message, Unique
from celeriac.states import SUCCESS
from celeriac.wire.unique import UNIQUE_HEADER

T = TypeVar("T")

ANSWER_WITHIN: Final = 30.0
"""Seconds after which a test gives up on a call that must have answered."""

LEASE_OUTLASTED: Final = 14
"""Seconds after which a dead owner was recovered: 8 s of standing still, 2 s of beat, looks 1 s apart, and slack."""


class Limits(TypedDict, total=False):
    """Name the limits that a suite asks a broker to have."""

    dead_letter_max: int
    dead_letter_expires: float
    message_max_bytes: int
    revocations_max: int
    priority_aging: int


class Node:
    """Drive one consumer from a test, in an event loop that runs in a thread of its own.

    The methods block and have the names of the consumer's; `start` leaves one under way.
    """

    def __init__(self, consumer: Consumer) -> None:
        self.consumer = consumer
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="node", daemon=True)
        self._thread.start()

    def start(self, call: Coroutine[Any, Any, T]) -> Future[T]:
        return asyncio.run_coroutine_threadsafe(call, self._loop)

    def do(self, call: Coroutine[Any, Any, T]) -> T:
        return self.start(call).result(ANSWER_WITHIN)

    def open(self) -> None:
        self.do(self.consumer.open())

    def close(self) -> None:
        self.do(self.consumer.close())

    def look(self, *queues: str, limit: int = 100, wait: float = 0.0) -> Claim:
        return self.do(self.consumer.claim(queues or ["q"], limit=limit, wait=wait))

    def claim(self, *queues: str, limit: int = 100, wait: float = 0.0) -> list[Delivery]:
        return self.look(*queues, limit=limit, wait=wait).deliveries

    def settle(self, *settlements: Settlement, results: ResultBackend | None = None) -> list[Settlement]:
        sink = None
        if results is not None:
            assert isinstance(results, ResultSink), "a backend in the broker's own store is also a sink"
            sink = results
        return self.do(self.consumer.settle(settlements, sink))

    def finish(self, *deliveries: Delivery) -> list[Settlement]:
        """Settle deliveries without anything that follows."""
        return self.settle(*(Settlement(delivery=delivery) for delivery in deliveries))

    def bury(self, *deliveries: Delivery, reason: str = "poison") -> list[Settlement]:
        """Settle deliveries as dead letters."""
        return self.settle(*(Settlement(delivery=delivery, dead_reason=reason) for delivery in deliveries))

    def release(
        self, *deliveries: Delivery, eta_at: float | None = None, cause: ReleaseCause = ReleaseCause.UNCOUNTED
    ) -> None:
        releases = [Release(delivery=delivery, eta_at=eta_at, cause=cause) for delivery in deliveries]
        self.do(self.consumer.release(releases))

    def free(self, *runs: tuple[str, str]) -> None:
        self.do(self.consumer.free(runs))

    def book(self, *requests: RateRequest) -> tuple[list[Booking], float]:
        return self.do(self.consumer.book(requests))

    def enter(self, *runs: tuple[Delivery, Room]) -> list[bool]:
        return self.do(self.consumer.enter(runs))

    def extend(self) -> None:
        self.do(self.consumer.extend())

    def recover(self) -> int:
        return self.do(self.consumer.recover())

    def peers(self) -> list[Incarnation]:
        return self.do(self.consumer.peers())

    def reconcile(self, held: Collection[int]) -> int:
        return self.do(self.consumer.reconcile(held))

    def stop(self) -> None:
        """End the loop wherever it is, without closing the consumer. May be called twice."""
        if self._loop.is_closed():
            return
        self.do(_cancel_others())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(ANSWER_WITHIN)
        self._loop.close()


async def _cancel_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    for _ in range(5):  # so do transports that they have closed
        await asyncio.sleep(0)


class BrokerWorld(ABC):
    """Give a suite what it needs of one adapter. Make a fresh one, with an empty store, for every test."""

    def __init__(self) -> None:
        self._nodes: list[Node] = []
        self._brokers: list[Broker] = []

    @abstractmethod
    def make_broker(self, **limits: Unpack[Limits]) -> Broker:
        """Make one more broker on this world's store, as another process would."""

    @abstractmethod
    def advance(self, seconds: float) -> None:
        """Let time pass, for the store and for everybody who uses it."""

    def results(self) -> ResultBackend | None:
        """Make a result backend in the brokers' own store, or None where there is no such thing."""
        return None

    def lose(self, consumer: Consumer) -> None:
        """Do to a consumer what the end of its process does, beyond that nothing calls it any more. Comes once."""
        return

    def broker(self, **limits: Unpack[Limits]) -> Broker:
        broker = self.make_broker(**limits)
        self._brokers.append(broker)
        return broker

    def node(self, broker: Broker | None = None, *, name: str = "w1@host") -> Node:
        """Start a node: an open consumer of its own incarnation."""
        node = Node((broker or self.broker()).consumer(Incarnation.begin(name)))
        self._nodes.append(node)
        node.open()
        return node

    def kill(self, node: Node) -> None:
        """End a node as SIGKILL does: it releases nothing and says nothing."""
        self._nodes.remove(node)
        node.stop()
        self.lose(node.consumer)

    def outlast_lease(self, watcher: Node) -> int:
        """Let a living node watch the others until every dead one was found, and say how many messages came back."""
        recovered = 0
        for _ in range(LEASE_OUTLASTED):
            self.advance(1.0)
            watcher.extend()
            recovered += watcher.recover()
        return recovered

    def end(self) -> None:
        """Stop what the test started."""
        for node in list(self._nodes):
            self.kill(node)
        for broker in self._brokers:
            broker.close()


def a_message(
    task_id: str = "id-1",
    *,
    queue: str = "q",
    priority: int = 0,
    eta_at: float | None = None,
    task: str = "shop.pay",
    body: bytes = b"[[], {}, {}]",
    unique: Unique | None = None,
) -> Message:
    """Make a message with just enough in it for a broker."""
    said: dict[str, object] = {"task": task, "id": task_id}
    if unique is not None:
        said[UNIQUE_HEADER] = {"key": unique.key, "for": unique.lasts}
    headers = msgspec.json.encode(said)
    return Message(
        task_id=task_id, queue=queue, priority=priority, eta_at=eta_at, headers=headers, body=body, unique=unique
    )


def a_result(task_id: str = "id-1", state: str = SUCCESS, *, record: bytes = b"{}", retries: int = 0) -> ResultMeta:
    """Make a result with just enough in it for a result backend."""
    return ResultMeta(task_id=task_id, state=state, record=record, retries=retries)


def task_ids(deliveries: Collection[Delivery]) -> list[str]:
    """Name what was delivered, in order."""
    return [delivery.message.task_id for delivery in deliveries]
