"""What anybody has put into the stream of what is revoked."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from urllib.parse import urlsplit

import amqp
import pytest

from celeriac.brokers.amqp.topology import REVOCATIONS
from celeriac.exceptions import BrokerUnavailable, OperationalError
from celeriac.testing.brokers.revocations import revocation, revoke
from celeriac.testing.worlds import ANSWER_WITHIN
from tests.servers.proxy import proxy_to
from tests.tables_by_hand import HOSTILE, Raw, nested, text
from tests.unit.brokers.amqp_world import AmqpWorld

__all__ = ["proxy_to"]

FOREIGN = {
    **HOSTILE,
    "nested-deep": nested(200),
    "an-offset-of-its-own": text(b"x-stream-offset", b"soon"),
    "no-text": text(b"x", b"\xff\xfe"),
}


@pytest.fixture
def world(amqp_url):
    world = AmqpWorld(amqp_url)
    yield world
    world.end()


def test_what_nobody_can_read_there_hides_nothing(world):
    broker = world.broker()
    node = world.node(broker)
    place = world.place
    revoke(broker, revocation(node, "before"))
    with amqp.Connection(place.endpoints[0].address, virtual_host=place.virtual_host, confirm_publish=True) as driver:
        channel = driver.channel()
        for table in FOREIGN.values():
            for body in (b"{}", b'{"x":' + b"[" * 50_000):
                channel.basic_publish(Raw(body, table), "", REVOCATIONS)
    revoke(broker, revocation(node, "after"))

    for one in (broker, world.broker()):
        assert [each.task_id for each in one.revocations().revocations] == ["before", "after"]
        assert one.revoked(["before", "after"]).keys() == {"before", "after"}
    assert world.node(name="w2@host").look().revocations == broker.revocations().version


def deleted(world, queue):
    """Delete a queue as somebody else does."""
    place = world.place
    with amqp.Connection(place.endpoints[0].address, virtual_host=place.virtual_host) as driver:
        driver.channel().queue_delete(queue)


def test_a_stream_in_the_place_of_another_is_read_from_its_beginning_however_far_it_has_come(world):
    broker, other = world.broker(), world.broker()
    node = world.node(broker)
    revoke(broker, revocation(node, "before"))
    assert [one.task_id for one in broker.revocations().revocations] == ["before"]
    deleted(world, REVOCATIONS)

    revoke(other, revocation(node, "first"))
    for _ in range(10):
        other.revocations()  # each look is an entry, too

    assert broker.revoked(["before", "first"]).keys() == {"before", "first"}
    version = broker.revocations().version
    revoke(other, revocation(node, "second"))
    assert [one.task_id for one in broker.revocations(version).revocations] == ["second"]


def test_a_stream_in_the_place_of_another_is_noticed_although_others_go_on_writing(world):
    broker, other = world.broker(), world.broker()
    node = world.node(broker)
    for _ in range(6):
        broker.revocations()
    deleted(world, REVOCATIONS)
    revoke(other, revocation(node, "first"))
    is_enough = threading.Event()

    def go_on() -> None:
        while not is_enough.wait(0.1):
            other.revocations()

    with ThreadPoolExecutor(1) as threads:
        going_on = threads.submit(go_on)
        try:
            found = broker.revoked(["first"])
        finally:
            is_enough.set()
        going_on.result()

    assert found.keys() == {"first"}


def test_a_node_is_told_what_is_revoked_after_somebody_has_deleted_the_stream(world):
    broker, other = world.broker(), world.broker()
    node = world.node(broker)
    before = node.look().revocations
    deleted(world, REVOCATIONS)

    give_up_at = time.monotonic() + ANSWER_WITHIN
    while node.consumer._channel.is_following:  # it is told by the server
        assert time.monotonic() < give_up_at
        time.sleep(0.01)
    node.extend()
    revoke(other, revocation(node, "one"))

    while (version := node.look().revocations) == before:
        assert time.monotonic() < give_up_at
    assert version > before


@pytest.fixture
def proxied(amqp_url, proxy_to):
    """Give a broker that has been asked what is revoked, and the proxy between it and its server."""
    where = urlsplit(amqp_url)
    proxy = proxy_to(where.port)
    world = AmqpWorld(f"amqp://guest:guest@127.0.0.1:{proxy.port}{where.path}")
    broker = world.broker()
    broker.revoked(["one"])
    yield proxy, broker
    world.end()


@contextmanager
def another_thread_asking(proxy, broker):
    """Have a thread ask what is revoked, to whom the server does not answer within the block."""
    proxy.black_hole()
    with ThreadPoolExecutor(1) as threads:
        asking = threads.submit(broker.revoked, ["one"])
        while not broker._revoked._lock.locked():
            time.sleep(0.001)
        yield
        proxy.heal()
        asking.result()


def test_who_asks_what_is_revoked_waits_for_another_thread_until_its_own_deadline(proxied):
    _, broker = proxied

    with another_thread_asking(*proxied):
        began_at = time.monotonic()
        with pytest.raises(BrokerUnavailable, match="another thread"):
            broker._revoked.version(deadline_at=time.monotonic() + 0.2)
        took = time.monotonic() - began_at

    assert took < 5.0


def test_a_child_that_is_forked_while_a_thread_asks_what_is_revoked_can_ask_too(proxied):
    _, broker = proxied

    with another_thread_asking(*proxied):
        child = os.fork()
        if child == 0:
            try:
                broker.revoked(["one"])
                os._exit(0)
            finally:
                os._exit(1)
    give_up_at = time.monotonic() + ANSWER_WITHIN
    while not (ended := os.waitpid(child, os.WNOHANG))[0]:
        if time.monotonic() > give_up_at:
            os.kill(child, 9)
        time.sleep(0.01)

    assert ended[1] == 0


def test_who_may_not_read_what_is_revoked_is_told_so(world, rabbitmq):
    broker = world.broker()
    broker.revoked(["one"])
    poor = world.place.virtual_host.replace("-", "")
    rabbitmq.server.ctl("add_user", poor, poor)
    rabbitmq.server.ctl("set_permissions", "-p", world.place.virtual_host, poor, ".*", ".*", "^$")
    url = f"amqp://{poor}:{poor}@{world.place.endpoints[0].address}/{world.place.virtual_host}"
    other = AmqpWorld(url)

    for ask in (lambda: other.broker().revoked(["one"]), lambda: other.broker().dead_letters()):
        with pytest.raises(OperationalError, match=r"ACCESS_REFUSED.*celeriac\."):
            ask()

    other.end()
    rabbitmq.server.ctl("delete_user", poor)
