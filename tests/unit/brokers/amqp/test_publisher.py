"""Publishing to a real server, over a proxy that fails, and to a server that is short of something."""

from __future__ import annotations

import contextlib
import select
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest

from celeriac.brokers.amqp.carried import Carried, Outgoing
from celeriac.brokers.amqp.options import AmqpOptions
from celeriac.brokers.amqp.place import AmqpPlace, read_place
from celeriac.brokers.amqp.publisher import Publisher
from celeriac.brokers.amqp.topology import Queue
from celeriac.exceptions import BrokerUnavailable, EncodeError, OperationalError, Unroutable
from tests.servers.proxy import Proxy, Way, proxy_to

__all__ = ["proxy_to"]

QUEUE = Queue(name="q")
WITHIN = 1.0
LATE = 10.0
"""Seconds after its deadline in which a call has ended, on a busy machine, too."""


def messages(count: int = 1, **changes) -> list[Outgoing]:
    said = {"exchange": "", "key": "q", "needs": (QUEUE,), **changes}
    return [Outgoing(Carried({"n": n}, {"correlation_id": f"id-{n}"}, b"body"), **said) for n in range(count)]


def ready(publisher: Publisher) -> int:
    return publisher.call(
        lambda channel: channel.queue_declare("q", passive=True).message_count, "counting", deadline_at=soon(60)
    )


def soon(seconds: float = WITHIN) -> float:
    return time.monotonic() + seconds


@pytest.fixture
def proxied(amqp_url, proxy_to) -> tuple[Proxy, AmqpPlace]:
    where = urlsplit(amqp_url)
    assert where.port is not None
    proxy = proxy_to(where.port)
    return proxy, read_place(f"amqp://guest:guest@127.0.0.1:{proxy.port}{where.path}", "broker_url")


@pytest.fixture
def publish_to():
    publishers: list[Publisher] = []

    def make(place: AmqpPlace, **options) -> Publisher:
        publishers.append(Publisher(place, AmqpOptions(**options)))
        return publishers[-1]

    yield make
    for publisher in publishers:
        publisher.close()


def ended_in_time(call: Callable[[], object]) -> BrokerUnavailable:
    began_at = time.monotonic()
    with pytest.raises(BrokerUnavailable) as raised:
        call()
    assert time.monotonic() - began_at <= WITHIN + LATE
    return raised.value


def test_what_is_published_is_there_when_the_call_returns(amqp_url, publish_to):
    publisher = publish_to(read_place(amqp_url, "broker_url"))

    publisher.publish(messages(5_000), deadline_at=soon(60))

    assert ready(publisher) == 5_000


def test_what_no_queue_takes_is_an_error_that_names_the_place_and_the_others_arrive(amqp_url, publish_to):
    publisher = publish_to(read_place(amqp_url, "broker_url"))
    lost = [Outgoing(Carried({}, {"correlation_id": "lost"}, b""), "amq.topic", "to.nobody")]

    with pytest.raises(Unroutable, match=r"lost.*amq\.topic.*to\.nobody.*task_queues") as raised:
        publisher.publish([*messages(2), *lost], deadline_at=soon(60))

    assert (raised.value.exchange, raised.value.routing_key) == ("amq.topic", "to.nobody")
    assert ready(publisher) == 2


@pytest.mark.parametrize("ways", [(Way.UP,), (Way.DOWN,)])
def test_publishing_through_a_black_hole_ends_at_its_deadline(proxied, publish_to, ways):
    proxy, place = proxied
    publisher = publish_to(place)
    publisher.publish(messages(), deadline_at=soon(60))
    proxy.black_hole(*ways)

    error = ended_in_time(lambda: publisher.publish(messages(), deadline_at=soon()))

    assert error.maybe_published
    assert "did not answer within" in str(error)
    proxy.heal()
    publisher.publish(messages(), deadline_at=soon(60))


def test_a_channel_that_is_not_open_in_time_is_told_to_be_late(proxied, publish_to):
    proxy, place = proxied
    proxy.delay(0.3, Way.DOWN)  # each step of the hand-shake comes in time, and what follows too late

    error = ended_in_time(lambda: publish_to(place).publish(messages(), deadline_at=soon()))

    assert "did not answer within" in str(error)


def test_a_queue_whose_name_is_too_long_is_an_error_that_says_so(amqp_url, publish_to):
    name = "q" * 256

    with pytest.raises(EncodeError, match="255 bytes"):
        publish_to(read_place(amqp_url, "broker_url")).declare([Queue(name=name)], deadline_at=soon(60))


def test_what_was_done_past_its_deadline_leaves_no_broken_connection_to_the_next(amqp_url, publish_to):
    publisher = publish_to(read_place(amqp_url, "broker_url"))
    publisher.publish(messages(), deadline_at=soon(60))

    publisher.call(shut_down, "looking on", deadline_at=soon(0.0))

    publisher.publish(messages(), deadline_at=soon(60))


def test_a_channel_that_is_refused_by_a_server_that_falls_silent_ends_the_call_at_its_deadline(proxied, publish_to):
    proxy, place = proxied
    publisher = publish_to(place)
    healing = threading.Timer(WITHIN + 2 * LATE, proxy.heal)  # or who waits for ever would do so here, too
    healing.start()

    def ask_in_vain(channel) -> None:
        try:
            channel.queue_declare("nowhere", passive=True)
        finally:
            proxy.black_hole()

    began_at = time.monotonic()
    with pytest.raises(OperationalError, match="nowhere"):
        publisher.call(ask_in_vain, "looking for a queue", deadline_at=soon())

    assert time.monotonic() - began_at <= WITHIN + LATE
    healing.cancel()
    proxy.heal()
    publisher.publish(messages(), deadline_at=soon(60))


def shut_down(channel) -> None:
    """Return when the socket is shut down, because a deadline has passed."""
    select.select([channel.connection.transport.sock], [], [])


def test_connections_may_be_made_while_what_is_declared_is_forgotten(amqp_url, publish_to):
    publisher = publish_to(read_place(amqp_url, "broker_url"))
    is_enough = threading.Event()

    def make_and_drop() -> None:
        while not is_enough.is_set():
            with contextlib.ExitStack() as stack:
                for _ in range(20):
                    stack.enter_context(publisher._line())
            publisher.close()
            publisher._idle.clear()

    with ThreadPoolExecutor(3) as threads:
        making = [threads.submit(make_and_drop) for _ in range(3)]
        try:
            for _ in range(20_000):
                publisher.forget_declared()
        finally:
            is_enough.set()
        for one in making:
            one.result()


def test_connecting_through_a_black_hole_ends_at_the_deadline_and_nothing_was_published(proxied, publish_to):
    proxy, place = proxied
    proxy.black_hole()

    error = ended_in_time(lambda: publish_to(place).publish(messages(), deadline_at=soon()))

    assert not error.maybe_published


def test_a_connection_that_was_cut_while_it_idled_is_made_again(proxied, publish_to):
    proxy, place = proxied
    publisher = publish_to(place)
    publisher.publish(messages(), deadline_at=soon(60))
    proxy.reset()
    time.sleep(1.1)  # what is used at once is not looked at before

    publisher.publish(messages(), deadline_at=soon(60))

    assert ready(publisher) == 2


def test_the_next_server_of_a_list_is_used_and_stays_in_use(proxied, publish_to, proxy_to):
    proxy, place = proxied
    gone = proxy_to(1)
    gone.refuse()
    hosts = f"amqp://guest:guest@127.0.0.1:{gone.port}/{place.virtual_host};127.0.0.1:{proxy.port}"
    publisher = publish_to(read_place(hosts, "broker_url"))

    publisher.publish(messages(), deadline_at=soon(60))
    publisher.publish(messages(), deadline_at=soon(60))

    assert ready(publisher) == 2
    assert proxy.accepted == 1


def test_a_server_that_keeps_silent_leaves_time_for_the_next(proxied, publish_to, proxy_to, amqp_url):
    proxy, place = proxied
    silent = proxy_to(urlsplit(amqp_url).port)
    silent.black_hole()
    hosts = f"amqp://guest:guest@127.0.0.1:{silent.port}/{place.virtual_host};127.0.0.1:{proxy.port}"

    publish_to(read_place(hosts, "broker_url")).publish(messages(), deadline_at=soon(8 * WITHIN))

    assert proxy.accepted == 1


def test_connecting_is_tried_as_often_as_was_said(proxied, publish_to):
    proxy, place = proxied
    proxy.refuse()
    publisher = publish_to(place, max_retries=2, interval_start=0.01, interval_step=0.0)
    began_at = time.monotonic()

    with pytest.raises(BrokerUnavailable, match="refuses connections"):
        publisher.publish(messages(), deadline_at=soon(60))

    assert time.monotonic() - began_at < 30


def test_more_calls_than_connections_may_be_wait_for_their_turn(proxied, publish_to):
    proxy, place = proxied
    publisher = publish_to(place, max_connections=1, acquire_timeout=0.2)
    publisher.publish(messages(), deadline_at=soon(60))
    proxy.black_hole(Way.DOWN)
    first = threading.Thread(target=lambda: publisher.publish(messages(), deadline_at=soon(60)))
    first.start()
    while publisher._idle:
        time.sleep(0.01)

    with pytest.raises(BrokerUnavailable, match=r"all 1 connections.*broker_pool_limit"):
        publisher.publish(messages(), deadline_at=soon(60))

    proxy.heal()
    first.join(60)
    publisher.publish(messages(), deadline_at=soon(60))
    assert proxy.accepted == 1


def test_a_user_who_may_not_is_told_so(amqp_url, publish_to):
    place = read_place(amqp_url.replace("guest:guest", "guest:wrong"), "broker_url")

    with pytest.raises(OperationalError, match="user or the password"):
        publish_to(place, max_retries=0).publish(messages(), deadline_at=soon(60))


@pytest.mark.parametrize("method", ["PLAIN", "AMQPLAIN"])
def test_ways_to_log_in(amqp_url, publish_to, method):
    publish_to(read_place(amqp_url, "broker_url"), login_method=method).publish(messages(), deadline_at=soon(60))
