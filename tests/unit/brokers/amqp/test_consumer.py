"""What a worker does on RabbitMQ beyond what the suites ask of every broker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import pytest

from celeriac.brokers.amqp.carried import Carried, Outgoing
from celeriac.brokers.amqp.consumer import AmqpConsumer
from celeriac.brokers.amqp.frames import HEAD_BYTES, TAIL_BYTES
from celeriac.brokers.amqp.tables import write_properties
from celeriac.brokers.base import Broker, Claim, Delivery, Settlement
from celeriac.brokers.topology import Exchange, Queue
from celeriac.exceptions import ImproperlyConfigured
from celeriac.testing.brokers.suite import publish
from celeriac.testing.worlds import Node, a_message, task_ids
from tests.unit.brokers.amqp_world import AmqpWorld

STAYS_AWAY = 0.5


@pytest.fixture(params=["classic", "quorum"])
def world(amqp_url, request):
    world = AmqpWorld(amqp_url, queue_type=request.param)
    yield world
    world.end()


def insides(node: Node) -> AmqpConsumer:
    assert isinstance(node.consumer, AmqpConsumer)
    return node.consumer


def finished(node: Node, count: int, *, wait: float, what: str) -> list[str]:
    """Claim and finish so many messages, or more; return their ids. Each claim must find some."""
    found: list[str] = []
    while len(found) < count:
        deliveries = node.claim(wait=wait)
        assert deliveries, what
        found += task_ids(deliveries)
        node.finish(*deliveries)
    return found


@pytest.fixture
def classic(amqp_url):
    world = AmqpWorld(amqp_url)
    yield world
    world.end()


def queue_of(world: AmqpWorld, **options: Any) -> Queue:
    """Declare the queue that is there anyhow, and say more about it."""
    kind = world._options.queue_type or "classic"
    return Queue(
        "q", Exchange("q"), "q", queue_arguments={} if kind == "classic" else {"x-queue-type": kind}, **options
    )


def test_a_node_that_takes_no_more_keeps_what_it_has_and_leaves_the_rest(world):
    publish(world.broker(), *(a_message(f"id-{number}") for number in range(5)))
    node, other = world.node(), world.node(name="w2@host")
    kept = node.claim(limit=2)

    node.do(node.consumer.take_no_more())

    taken = finished(other, 3, wait=1.0, what="the rest has not come back")
    assert sorted([*task_ids(kept), *taken]) == [f"id-{number}" for number in range(5)]
    assert node.finish(*kept) == []
    node.extend()
    publish(world.broker(), a_message("later"))
    assert task_ids(other.claim(wait=2.0)) == ["later"]


def test_what_nobody_claims_stays_in_a_queue_that_ends_with_its_last_consumer(classic):
    world = classic
    broker = world.broker()
    broker.declare([Queue("q", Exchange("q"), "q", auto_delete=True)])
    node = world.node(broker)
    assert node.claim() == []
    publish(broker, a_message("id-1"), a_message("id-2"))
    consumer = insides(node)
    node.do(consumer._arrivals.wait_for(2, 10.0))
    consumer._claimed_at -= 10.0

    node.extend()

    assert len(consumer._arrivals) < 2, "some was given back"
    found = finished(node, 2, wait=5.0, what="what was given back is lost")
    assert sorted(found) == ["id-1", "id-2"]


def test_what_uses_a_lost_connection_at_once_connects_once(world):
    publish(world.broker(), a_message("under way"))
    node = world.node()
    [delivery] = node.claim(wait=30.0)
    consumer = insides(node)
    before = consumer.owner

    async def all_at_once() -> Sequence[object]:
        await consumer._channel.close()
        return await asyncio.gather(consumer.extend(), consumer.claim(["q"], limit=1, wait=0.2), consumer.extend())

    _, claim, _ = node.do(all_at_once())

    assert isinstance(claim, Claim)
    assert consumer.owner == before + 1
    assert claim.deliveries == [], "it was adopted"
    assert node.finish(delivery) == []
    assert world.node(name="w2@host").claim(wait=STAYS_AWAY) == []


@pytest.mark.parametrize("is_lost", [False, True], ids=["nobody claims it", "the connection is lost"])
def test_what_somebody_has_had_is_so_also_when_it_came_once_more_in_between(classic, is_lost):
    publish(classic.broker(), a_message())
    node = classic.node()
    consumer = insides(node)
    node.release(*node.claim(wait=30.0))
    node.do(consumer._arrivals.wait_for(1, 30.0))

    node.do(consumer._channel.close() if is_lost else consumer._give_back_unclaimed())

    [delivery] = node.claim(wait=30.0)
    assert delivery.redelivered


def test_an_ending_waits_for_no_connection(world):
    publish(world.broker(), a_message("under way"))
    node = world.node()
    [delivery] = node.claim(wait=30.0)

    async def ends_without_connection() -> None:
        await insides(node)._channel.close()
        async with insides(node)._connecting:  # nobody can connect meanwhile
            await node.consumer.settle([Settlement(delivery=delivery)], None)

    node.do(ends_without_connection())

    assert node.claim(wait=STAYS_AWAY) == []
    assert world.node(name="w2@host").claim(wait=STAYS_AWAY) == [], "it was acknowledged when it came again"


def test_what_runs_is_adopted_also_while_there_is_no_room_to_claim(world):
    publish(world.broker(), a_message("under way"))
    node = world.node()
    [delivery] = node.claim(wait=2.0)

    node.do(insides(node)._channel.close())
    node.extend()

    held = insides(node)._holdings.get(delivery.tag)
    assert held is not None
    for _ in range(50):
        if held.place is not None:
            break
        node.do(asyncio.sleep(0.1))
    assert held.place is not None
    assert node.finish(delivery) == []


def test_what_is_given_back_is_not_taken_along_by_what_is_acknowledged(world):
    count = 30
    publish(world.broker(), *(a_message(f"id-{number:03}") for number in range(count)))
    node, other = world.node(), world.node(name="w2@host")
    deliveries = node.claim(limit=count, wait=2.0)
    while len(deliveries) < count:
        deliveries += node.claim(limit=count, wait=2.0)
    back, done = deliveries[: count // 2], deliveries[count // 2 :]

    async def both_at_once() -> None:
        consumer = insides(node)
        await asyncio.gather(
            consumer._claims.give_back((one.tag for one in back), claimed=True),
            consumer._claims.end(one.tag for one in done),
        )

    node.do(both_at_once())
    node.do(node.consumer.take_no_more())

    again: list[str] = []
    while len(again) < len(back):
        found = other.claim(limit=count, wait=2.0)
        assert found, "some were lost"
        again += task_ids(found)
        other.finish(*found)
    assert sorted(again) == task_ids(back)


def test_consumers_say_what_their_queue_says_about_them(world):
    """Of two nodes the one whose `x-priority` is higher has all that it takes."""
    nodes = []
    for priority in (1, 2):
        broker = world.broker()
        broker.declare([queue_of(world, consumer_arguments={"x-priority": priority})])
        node = world.node(broker, name=f"w{priority}@host")
        assert node.claim() == []
        nodes.append(node)
    low, high = nodes

    publish(world.broker(), *(a_message(f"id-{number}") for number in range(5)))

    assert low.claim(wait=STAYS_AWAY) == []
    assert sorted(task_ids(high.claim())) == [f"id-{number}" for number in range(5)]


def test_a_queue_that_somebody_deletes_is_declared_again_by_its_node(world, caplog):
    caller = world.broker()
    node = world.node()
    publish(caller, a_message("before"))
    assert node.finish(*node.claim(wait=5.0)) == []

    world.broker().administration().delete_queue("q", if_unused=False, if_empty=False)
    for _ in range(300):
        assert node.claim(wait=0.1) == []
        if "queues q were deleted" in caplog.text:
            break

    publish(caller, a_message("after"))
    assert task_ids(node.claim(wait=10.0)) == ["after"]


def test_a_node_gets_what_comes_into_a_queue_that_a_caller_has_made_again(world):
    caller = world.broker()
    node = world.node()
    publish(caller, a_message("before"))
    assert node.finish(*node.claim(wait=5.0)) == []

    world.broker().administration().delete_queue("q", if_unused=False, if_empty=False)
    publish(caller, a_message("after"))

    found: list[str] = []
    for _ in range(300):
        found += task_ids(node.claim(wait=0.1))
        if found:
            break
    assert found == ["after"]


def test_a_queue_that_somebody_deletes_is_declared_again_by_callers(world):
    broker = world.broker()
    publish(broker, a_message("before"))

    world.broker().administration().delete_queue("q", if_unused=False, if_empty=False)
    publish(broker, a_message("after"), a_message("elsewhere", queue="r"), a_message("once more"))

    found = [(depth.queue, depth.ready) for depth in world.broker().depths(["q", "r"])]
    assert found == [("q", 2), ("r", 1)]


def test_an_exclusive_queue_is_for_one_node_and_for_all_callers(classic):
    world = classic
    first, second = (world.broker() for _ in range(2))
    for broker in (first, second):
        broker.declare([queue_of(world, exclusive=True)])
    node = world.node(first)
    assert node.claim() == []

    publish(second, a_message("at once"), a_message("later", eta_at=time.time() + 3.0))

    [at_once] = node.claim(wait=5.0)
    assert at_once.message.task_id == "at once"
    [later] = node.claim(wait=10.0)
    assert later.message.task_id == "later"
    assert node.finish(at_once, later) == []
    with pytest.raises(ImproperlyConfigured, match=r"queue 'q' .* is exclusive, and belongs to another connection"):
        second.purge("q")
    other = world.node(second, name="w2@host")
    with pytest.raises(ImproperlyConfigured, match="Stop that node"):
        other.claim()
    publish(second, a_message("still there"))
    [still_there] = node.claim(wait=5.0)
    assert node.finish(still_there) == []


def test_a_quorum_queue_cannot_be_exclusive(classic):
    broker = classic.broker()
    broker.declare([Queue("q", Exchange("q"), "q", queue_arguments={"x-queue-type": "quorum"}, exclusive=True)])

    with pytest.raises(ImproperlyConfigured, match="queue 'q' cannot be"):
        classic.node(broker).claim()


def test_a_node_that_has_lost_its_connection_has_its_exclusive_queue_again(classic):
    world = classic
    broker = world.broker()
    broker.declare([queue_of(world, exclusive=True)])
    node = world.node(broker)
    assert node.claim() == []

    node.do(insides(node)._channel.close())
    assert node.claim() == []

    publish(broker, a_message("id-1"))
    assert task_ids(node.claim(wait=5.0)) == ["id-1"]
    world.kill(node)
    assert world.node(broker, name="w2@host").claim() == [], "the queue of a dead node is another's"


def test_an_ending_on_a_connection_that_is_being_closed_is_told_when_its_message_comes_again(world):
    publish(world.broker(), a_message("under way"))
    node = world.node()
    [delivery] = node.claim(wait=2.0)
    insides(node)._channel._wire._writer = Closing()  # type: ignore[assignment]  # as uvloop's is for a moment

    assert node.finish(delivery) == []

    assert node.claim(wait=STAYS_AWAY) == []
    assert world.node(name="w2@host").claim(wait=STAYS_AWAY) == [], "it was acknowledged when it came again"


class Closing:
    """Be what writes to a server that has said goodbye."""

    def write(self, frames: bytes) -> None:
        raise RuntimeError("Cannot call write() after write_eof()")


def with_quorum_queue(world: AmqpWorld, *others: Queue) -> Broker:
    """Declare one beside the queue that is there anyhow."""
    broker = world.broker()
    broker.declare([*others, Queue("r", Exchange("r"), "r", queue_arguments={"x-queue-type": "quorum"})])
    return broker


@pytest.mark.parametrize("queues", [("q", "r"), ("r", "q")])
def test_a_classic_queue_beside_a_quorum_queue_is_left_to_other_nodes_too(classic, queues):
    broker = with_quorum_queue(classic)
    publish(broker, *(a_message(f"id-{number}") for number in range(100)))
    node = classic.node(broker)

    assert len(node.claim(*queues, limit=2, wait=30.0)) == 2
    node.claim(*queues, limit=2)  # all that was sent before is here by then

    [depth] = broker.depths(["q"])
    assert depth.ready > 50


def test_a_node_consumes_a_quorum_queue_for_a_while(classic):
    broker = with_quorum_queue(classic, Queue("t", Exchange("t"), "t", auto_delete=True))
    node = classic.node(broker)
    publish(broker, *(a_message(f"id-{number}") for number in range(60)))
    publish(broker, a_message("in r", queue="r"))
    held = [*node.claim("q", "t", limit=2, wait=30.0)]
    publish(broker, a_message("in t", queue="t"))

    while len(held) < 5 or "in r" not in task_ids(held):
        held += node.claim("q", "t", "r", limit=2, wait=30.0)
    while len(held) < 62:
        held += node.claim("q", "t", limit=50, wait=30.0)

    assert sorted(task_ids(held)) == sorted(["in r", "in t", *(f"id-{number}" for number in range(60))])
    assert not any(delivery.redelivered for delivery in held)
    assert node.finish(*held) == []
    assert node.claim("q", "t", "r") == []


def test_a_node_has_as_many_messages_of_a_queue_under_way_as_it_claims(world):
    broker = world.broker()
    publish(broker, *(a_message(f"id-{number}") for number in range(100)))
    node = world.node(broker)

    held: list[Delivery] = []
    while len(held) < 80:
        came = node.claim(limit=1, wait=10.0)
        assert came, f"no more than {len(held)} are sent to one node"
        held += came

    assert node.finish(*held) == []
    finished(node, 20, wait=10.0, what="the rest is lost")
    assert node.claim() == []


def test_what_came_back_and_has_no_room_for_a_count_holds_nothing_up(classic):
    broker = classic.broker()
    publish(broker, a_message("small"))
    headers = {"task": "shop.pay", "id": "large", "x": ""}
    properties = {"content_type": "application/json", "correlation_id": "large"}
    room = 131_072 - HEAD_BYTES - TAIL_BYTES - 12 - len(write_properties(Carried(headers, properties, b"")))
    large = Carried(headers | {"x": "x" * room}, properties, b"[[], {}, {}]")
    broker._publisher.publish([Outgoing(large, "", "q")], deadline_at=time.monotonic() + 30.0)
    node, other = classic.node(broker), classic.node(broker, name="w2@host")
    assert len(node.claim(limit=2)) == 2

    classic.kill(node)

    assert sorted(finished(other, 2, wait=10.0, what="they are held up")) == ["large", "small"]


@pytest.mark.parametrize(
    "name", ["q" * 182, "q" * 255, "\u00fc" * 127, "a|b*{c}?"], ids=["182-bytes", "255-bytes", "umlauts", "signs"]
)
def test_a_queue_may_have_any_name_that_names_may_be(classic, name):
    broker = classic.broker()
    node, other = classic.node(broker), classic.node(broker, name="w2@host")
    assert node.claim(name) == other.claim(f"{name[:-1]}r") == []

    publish(broker, a_message("now", queue=name), a_message("later", queue=name, eta_at=time.time() + 2.0))

    held: list[Delivery] = []
    while len(held) < 2:
        held += node.claim(name, wait=30.0)
    assert sorted(task_ids(held)) == ["later", "now"]
    assert node.finish(*held) == []
    assert other.claim(f"{name[:-1]}r") == []


def test_an_exclusive_queue_may_have_any_name_that_names_may_be(classic):
    name = "\u00fc|{}"
    broker = classic.broker()
    broker.declare([Queue(name, Exchange(f"{name}!", "topic"), "#", exclusive=True)])
    node = classic.node(broker)
    assert node.claim(name) == []

    publish(broker, a_message("now", queue=name))

    assert task_ids(node.claim(name, wait=30.0)) == ["now"]
