"""Exchanges: which queues a message for one reaches, whoever has bound them."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from celeriac.brokers.base import Broker
from celeriac.brokers.topology import Broadcast, Exchange, Queue, binding
from celeriac.exceptions import Unroutable
from celeriac.message import Message, Route
from celeriac.testing.brokers.suite import WorldSuite, clean, end_of, publish
from celeriac.testing.worlds import ANSWER_WITHIN, BrokerWorld, Node, a_message, task_ids

SOON = 5.0
"""Seconds for which a claim waits for what is said to everybody."""


def sent(
    exchange: str,
    routing_key: str = "",
    kind: str | None = None,
    *,
    task_id: str = "id-1",
    headers: Mapping[str, Any] | None = None,
    mandatory: bool | None = None,
) -> Message:
    """Make a message for an exchange."""
    route = Route(exchange=exchange, routing_key=routing_key, kind=kind, headers=headers, mandatory=mandatory)
    properties = json.dumps({"delivery_info": {"exchange": exchange, "routing_key": routing_key}}).encode()
    plain = a_message(task_id)
    said = json.dumps({**json.loads(plain.headers), **(headers or {})}).encode()
    return msgspec.structs.replace(plain, queue=exchange, headers=said, route=route, properties=properties)


class Exchanges(WorldSuite):
    """Check where exchanges lead."""

    def test_a_direct_exchange_leads_to_the_queues_of_the_key(self, broker: Broker, node: Node) -> None:
        shop = Exchange("shop")
        broker.declare([Queue("a", shop, "k"), Queue("b", shop, "k"), Queue("c", shop, "other")])

        publish(broker, sent("shop", "k", "direct"))

        reached = node.claim("a", "b", "c")
        assert sorted(one.message.queue for one in reached) == ["a", "b"]
        assert task_ids(reached) == ["id-1", "id-1"]
        assert {one.message.properties for one in reached} == {sent("shop", "k").properties}

    @pytest.mark.parametrize(
        ("pattern", "key", "leads"),
        [
            ("a.b", "a.b", True),
            ("a.*", "a.b", True),
            ("a.*", "a.b.c", False),
            ("a.#", "a.b.c", True),
            ("a.#", "a", True),
            ("#", "a.b", True),
            ("#.error", "shop.pay.error", True),
            ("*.error", "error", False),
            ("a.(b)+", "a.bb", False),
        ],
    )
    def test_a_topic_exchange_leads_on_by_patterns(
        self, broker: Broker, node: Node, pattern: str, key: str, leads: bool
    ) -> None:
        broker.declare([Queue("q", Exchange("logs", "topic"), pattern)])

        publish(broker, sent("logs", key, "topic", mandatory=False))

        assert task_ids(node.claim()) == (["id-1"] if leads else [])

    @pytest.mark.parametrize(
        ("wanted", "leads"),
        [
            ({"country": "ch", "kind": "pdf"}, True),
            ({"country": "ch", "kind": "png"}, False),
            ({"country": "ch", "kind": "png", "x-match": "any"}, True),
            ({"x-match": "any", "kind": "png"}, False),
            ({"country": None}, True),
        ],
    )
    def test_an_exchange_of_headers_leads_on_by_those(
        self, broker: Broker, node: Node, wanted: Mapping[str, Any], leads: bool
    ) -> None:
        broker.declare([Queue("q", Exchange("files", "headers"), binding_arguments=wanted)])

        headers = {"country": "ch", "kind": "pdf"}
        publish(broker, sent("files", "", "headers", headers=headers, mandatory=False))

        assert task_ids(node.claim()) == (["id-1"] if leads else [])

    def test_a_queue_that_is_reached_in_two_ways_has_a_message_once(self, broker: Broker, node: Node) -> None:
        logs = Exchange("logs", "topic")
        broker.declare([Queue("q", [binding(logs, "a.#"), binding(logs, "#.error")])])

        publish(broker, sent("logs", "a.error", "topic"))

        assert task_ids(node.claim()) == ["id-1"]

    def test_what_a_node_has_bound_others_reach(self, world: BrokerWorld, broker: Broker, node: Node) -> None:
        broker.declare([Queue("q", Exchange("logs", "topic"), "a.*")])
        node.claim()
        stranger = world.broker()

        publish(stranger, sent("logs", "a.b"))

        assert task_ids(node.claim()) == ["id-1"]

    def test_a_node_may_say_what_it_will_work_on_before_it_does(
        self, world: BrokerWorld, broker: Broker, node: Node
    ) -> None:
        broker.declare([Queue("q", Exchange("logs", "topic"), "a.*")])

        node.do(node.consumer.attend(["q"]))

        publish(world.broker(), sent("logs", "a.b"))
        assert task_ids(node.claim()) == ["id-1"]

    def test_a_queue_of_which_nothing_is_said_is_behind_an_exchange_of_its_name(
        self, broker: Broker, node: Node
    ) -> None:
        publish(broker, sent("q", "q"))

        assert task_ids(node.claim()) == ["id-1"]

    def test_a_message_that_reaches_nothing_is_an_error_that_says_so(self, broker: Broker, node: Node) -> None:
        broker.declare([Queue("q", Exchange("shop"), "k")])

        with pytest.raises(Unroutable, match=r"exchange 'shop' with routing key 'lost'.* 'k' -> q") as caught:
            publish(broker, a_message("before"), sent("shop", "lost", "direct"))

        assert (caught.value.exchange, caught.value.routing_key) == ("shop", "lost")
        assert node.claim() == []
        publish(broker, sent("shop", "lost", "direct", mandatory=False))

    def test_what_follows_a_run_goes_to_exchanges_too(self, broker: Broker, node: Node) -> None:
        broker.declare([Queue("a", Exchange("logs", "topic"), "#"), Queue("b", Exchange("logs", "topic"), "x.*")])
        publish(broker, a_message())
        [run] = node.claim()

        refused = node.settle(end_of(run, sent("logs", "x.y", "topic", task_id="next"), a_message("more", queue="a")))

        assert refused == []
        assert sorted(one.message.queue for one in node.claim("a", "b")) == ["a", "a", "b"]

    def test_what_follows_a_run_and_reaches_nothing_is_a_dead_letter(self, broker: Broker, node: Node) -> None:
        publish(broker, a_message())
        [run] = node.claim()

        node.settle(end_of(run, sent("shop", "lost", "direct", task_id="next")))

        [letter] = broker.dead_letters()
        assert (letter.task_id, "reaches no queue" in letter.reason) == ("next", True)

    def test_what_is_for_everybody_reaches_each_node(self, world: BrokerWorld) -> None:
        nodes, brokers = [], [world.broker(), world.broker()]
        for number, broker in enumerate(brokers):
            broker.declare([Broadcast("all", queue=f"all.{number}")])
            node = world.node(broker, name=f"w{number}@host")
            assert node.claim(f"all.{number}") == []
            nodes.append(node)

        publish(brokers[0], sent("all", "", "fanout", task_id="both"))

        for number, node in enumerate(nodes):
            heard = node.claim(f"all.{number}", wait=SOON)
            assert task_ids(heard) == ["both"]
            assert node.finish(*heard) == []

    def test_a_queue_that_nodes_share_has_once_what_is_for_everybody(self, world: BrokerWorld) -> None:
        shared = Queue("shared", Exchange("all", "fanout"))
        nodes, brokers = [], [world.broker(), world.broker()]
        for number, broker in enumerate(brokers):
            broker.declare([shared])
            nodes.append(world.node(broker, name=f"w{number}@host"))
            assert nodes[-1].claim("shared") == []

        publish(brokers[0], sent("all", "", "fanout", task_id="once"))

        assert task_ids(nodes[0].claim("shared", wait=SOON)) == ["once"]
        assert nodes[1].claim("shared", wait=0.3) == []

    def test_nobody_need_be_there_for_what_is_for_everybody(self, broker: Broker) -> None:
        broker.declare([Broadcast("all")])

        publish(broker, sent("all", "", "fanout"))

        assert broker.depths() == []
        with pytest.raises(Unroutable):
            publish(broker, sent("all", "", "fanout", mandatory=True))

    def test_the_queue_of_a_node_ends_with_it(self, world: BrokerWorld, broker: Broker) -> None:
        broker.declare([Broadcast("all", queue="all.1")])
        node = world.node(broker)
        node.claim("all.1", wait=0.0)
        publish(broker, sent("all", "", "fanout"))
        assert len(node.claim("all.1", wait=SOON)) == 1

        node.close()

        publish(broker, sent("all", "", "fanout"))
        assert broker.depths() == []
        assert broker.bindings("all", deadline_at=time.monotonic() + ANSWER_WITHIN) == []

    def test_the_queue_of_a_dead_node_ends_when_others_find_out(self, world: BrokerWorld, broker: Broker) -> None:
        broker.declare([Broadcast("all", queue="all.1")])
        node, watcher = world.node(broker), world.node(world.broker(), name="w2@host")
        node.claim("all.1")
        publish(broker, sent("all", "", "fanout"))
        assert len(node.claim("all.1", wait=SOON)) == 1

        world.kill(node)
        world.outlast_lease(watcher)
        clean(broker)

        assert broker.depths() == []
        assert broker.bindings("all", deadline_at=time.monotonic() + ANSWER_WITHIN) == []
