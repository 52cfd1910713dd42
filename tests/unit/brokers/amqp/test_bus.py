from __future__ import annotations

import json
import socket
import time
from urllib.parse import urlsplit

import aiormq
import amqp
import msgspec
import pytest

from celeriac.brokers.amqp import dialing, listening
from celeriac.brokers.amqp.broker import AmqpBroker
from celeriac.brokers.amqp.carried import Carried
from celeriac.brokers.amqp.channel import declare
from celeriac.brokers.amqp.frames import Delivered
from celeriac.brokers.amqp.options import AmqpOptions
from celeriac.brokers.amqp.place import read_place
from celeriac.brokers.amqp.topology import Binding
from celeriac.brokers.mailbox import Mailbox
from celeriac.brokers.topics import Topic
from celeriac.exceptions import BrokerUnavailable, OperationalError
from celeriac.testing.buses import (
    CONTROL,
    REPLIES,
    BusConformance,
    BusWorld,
    Ear,
    Operator,
    a_command,
    an_answer,
    collect,
    soon,
)
from celeriac.wire.notices import Notice
from tests.servers.proxy import Way, proxy_to
from tests.tables_by_hand import HOSTILE, Raw

__all__ = ["proxy_to"]


class RabbitBuses(BusWorld):
    """One virtual host."""

    def __init__(self, url, server):
        super().__init__()
        self._place = read_place(url, "broker_url")
        self._server = server

    def make_bus(self):
        return AmqpBroker(self._place).bus()

    def leftovers(self):
        said = self._server.ctl("list_queues", "-q", "-p", self._place.virtual_host, "name", "--no-table-headers")
        return len([name for name in said.split() if ".reply." in name])


class Chatter:
    """Be a driver's connection on which there is always one answer more."""

    channel_id = 1
    received = 0

    def channel(self):
        return self

    def watch(self, channel, deliver):
        self._deliver = deliver

    def declare(self, *_, **__):
        """Say yes to all that an inbox asks for."""

    exchange_declare = queue_declare = queue_bind = basic_consume = close = declare

    def drain_events(self, timeout):
        time.sleep(0.001)
        self.received += 1
        self._deliver(Delivered("c", self.received, False, REPLIES, "k", Carried({}, {}, b"{}"), b""))


def test_who_asks_gets_what_has_come_though_answers_never_end(monkeypatch):
    chatter, nowhere, connect = Chatter(), read_place("amqp://nowhere", "broker_url"), dialing.connect

    def chat(place, *args, **options):  # threads of tests before this one may connect somewhere else
        return (chatter, 0) if place == nowhere else connect(place, *args, **options)

    monkeypatch.setattr(dialing, "connect", chat)
    bus = AmqpBroker(nowhere).bus()

    with bus.inbox(REPLIES, deadline_at=soon()) as inbox:
        found = inbox.collect(deadline_at=time.monotonic())

    assert len(found) == chatter.received > 0


@pytest.fixture
def operator_of():
    operators: list[Operator] = []

    def make(url: str) -> Operator:
        options = AmqpOptions(connect_timeout=0.5)
        operators.append(Operator(AmqpBroker(read_place(url, "broker_url"), options).bus()))
        return operators[-1]

    yield make
    for operator in operators:
        operator.stop()


def listen(operator: Operator, mailbox: Mailbox) -> Ear:
    return Ear(operator, operator.do(operator.station.subscribe([Topic(CONTROL)], deadline_at=soon(), mailbox=mailbox)))


def hears(ear: Ear, url: str) -> bool:
    """Say something until it is heard, or for as long as anything may take."""
    bus = AmqpBroker(read_place(url, "broker_url")).bus()
    give_up_at = soon()
    heard: list[Notice] = []
    while not heard and time.monotonic() < give_up_at:
        bus.broadcast([a_command()], deadline_at=soon())
        heard = ear.operator.do(ear.subscription.hear(timeout=0.1))
    bus.close()
    return bool(heard)


@pytest.fixture
def slow_url(amqp_url, proxy_to):
    """Give the URL of a server that answers each step of a hand-shake in time, and what follows too late."""
    where = urlsplit(amqp_url)
    proxy = proxy_to(where.port)
    proxy.delay(0.3, Way.DOWN)
    return f"amqp://guest:guest@127.0.0.1:{proxy.port}{where.path}"


def test_a_server_that_keeps_silent_leaves_those_who_listen_time_for_the_next(amqp_url, operator_of):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host = f"127.0.0.1:{silent.getsockname()[1]}"
        urls = f"amqp://guest:guest@{host}{urlsplit(amqp_url).path};{amqp_url}"

        ear = listen(operator_of(urls), Mailbox())

        assert hears(ear, amqp_url)


def test_a_listener_whose_queue_somebody_deletes_hears_again(amqp_url, operator_of):
    ear = listen(operator_of(amqp_url), Mailbox(name="w1@here.shop.pidbox", exclusive=False))
    place = read_place(amqp_url, "broker_url")

    with amqp.Connection(place.endpoints[0].address, virtual_host=place.virtual_host) as driver:
        driver.channel().queue_delete("w1@here.shop.pidbox")

    while not ear.subscription.gaps:  # it is told by the server
        assert hears(ear, amqp_url)
    assert hears(ear, amqp_url)


def test_who_may_not_listen_is_told_why_and_does_not_ask_again(amqp_url, operator_of, proxy_to):
    where = urlsplit(amqp_url)
    proxy = proxy_to(where.port)
    operator = operator_of(f"amqp://guest:guest@127.0.0.1:{proxy.port}{where.path}")
    listen(operator, Mailbox(name="w1@here.shop.pidbox", ttl=7.0, exclusive=False))

    with pytest.raises(OperationalError, match=r"x-message-ttl.*control_queue_"):
        listen(operator, Mailbox(name="w1@here.shop.pidbox", ttl=8.0, exclusive=False))

    assert proxy.accepted == 2


def test_a_queue_that_goes_while_somebody_begins_to_listen_is_declared_again(amqp_url, operator_of, monkeypatch):
    """It goes with its last listener: with a node of the same name that stops, say."""
    gone: list[Binding] = []

    async def declare_and_lose(channel, part):
        await declare(channel, part)
        if isinstance(part, Binding) and not gone:
            gone.append(part)
            await channel.queue_delete(part.target)

    monkeypatch.setattr(listening, "declare", declare_and_lose)

    ear = listen(operator_of(amqp_url), Mailbox(name="w1@here.shop.pidbox", exclusive=False))

    assert hears(ear, amqp_url)


def test_who_has_no_permission_to_listen_is_told_that_it_is_the_permission(amqp_url, operator_of, monkeypatch):
    async def refuse(channel, part):
        raise aiormq.exceptions.ChannelAccessRefused("configure access refused")

    monkeypatch.setattr(listening, "declare", refuse)

    with pytest.raises(OperationalError, match=r"configure access refused.*needs the permissions") as raised:
        listen(operator_of(amqp_url), Mailbox())

    assert "control_queue_" not in str(raised.value)


def test_that_a_node_may_not_listen_any_more_is_warned_of_once(amqp_url, operator_of, monkeypatch, caplog):
    ear = listen(operator_of(amqp_url), Mailbox(name="w1@here.shop.pidbox", exclusive=False))
    place = read_place(amqp_url, "broker_url")
    asked: list[object] = []

    async def refuse(channel, part):
        asked.append(part)
        raise aiormq.exceptions.ChannelAccessRefused("configure access refused")

    monkeypatch.setattr(listening, "declare", refuse)
    with amqp.Connection(place.endpoints[0].address, virtual_host=place.virtual_host) as driver:
        driver.channel().queue_delete("w1@here.shop.pidbox")
    give_up_at = soon()
    while len(asked) < 3:
        assert time.monotonic() < give_up_at
        time.sleep(0.01)
    monkeypatch.undo()

    assert hears(ear, amqp_url)
    assert [one.levelname for one in caplog.records if "access refused" in one.getMessage()] == ["WARNING"]


PATIENT = AmqpOptions(heartbeat=120)
"""A server that hears nothing of the end of such a connection believes in it for longer than any test takes."""


@pytest.fixture
def proxied(amqp_url, proxy_to):
    where = urlsplit(amqp_url)
    proxy = proxy_to(where.port)
    place = read_place(f"amqp://guest:guest@127.0.0.1:{proxy.port}{where.path}", "broker_url")
    operator = Operator(AmqpBroker(place, PATIENT).bus())
    yield proxy, operator
    operator.stop()


def test_a_listener_does_not_wait_for_the_server_to_notice_that_its_connection_is_gone(amqp_url, proxied):
    proxy, operator = proxied
    ear = listen(operator, Mailbox())

    proxy.reset(server=False)

    assert hears(ear, amqp_url)
    assert ear.subscription.gaps == 1


def test_a_listener_hears_all_beside_a_connection_of_its_own_that_the_server_believes_in(amqp_url, proxied):
    proxy, operator = proxied
    ear = listen(operator, Mailbox(name="w1@here.shop.pidbox", exclusive=False))
    place = read_place(amqp_url, "broker_url")

    proxy.reset(server=False)

    with amqp.Connection(place.endpoints[0].address, virtual_host=place.virtual_host) as driver:
        channel = driver.channel()
        give_up_at = soon()
        while channel.queue_declare("w1@here.shop.pidbox", passive=True).consumer_count < 2:
            assert time.monotonic() < give_up_at
            time.sleep(0.01)
    said = [a_command(f"number-{number}") for number in range(10)]
    AmqpBroker(place).bus().broadcast(said, deadline_at=soon())
    assert ear.hear(10) == said


def test_an_inbox_does_not_wait_for_the_server_to_notice_that_its_connection_is_gone(amqp_url, proxied):
    proxy, operator = proxied
    with operator.station._bus.inbox(REPLIES, deadline_at=soon()) as inbox:
        proxy.reset(server=False)
        assert inbox.collect(deadline_at=time.monotonic()) == []
        inbox.open(soon())

        AmqpBroker(read_place(amqp_url, "broker_url")).bus().reply([an_answer(inbox)], deadline_at=soon())

        assert collect(inbox, 1) == [an_answer(inbox)]


def test_an_inbox_that_is_not_there_in_time_is_told_to_be_late(slow_url):
    bus = AmqpBroker(read_place(slow_url, "broker_url")).bus()

    with pytest.raises(BrokerUnavailable, match="did not answer within"):
        bus.inbox(REPLIES, deadline_at=time.monotonic() + 1.0)


def say_by_hand(place, message, exchange, routing_key):
    with amqp.Connection(place.endpoints[0].address, virtual_host=place.virtual_host) as connection:
        connection.channel().basic_publish(message, exchange, routing_key)


OTHERWISE_HERE = {
    "test_a_listener_hears_what_is_said_byte_for_byte": "headers are a table, whose JSON is written anew",
    "test_what_a_dead_asker_leaves_expires": "an inbox lives as long as the connection of its asker",
}
"""What is otherwise on RabbitMQ, and why."""


class TestRabbitBus(BusConformance):
    @pytest.fixture
    def world(self, amqp_url, rabbitmq):
        world = RabbitBuses(amqp_url, rabbitmq.server)
        yield world
        world.end()

    def test_what_is_said_is_heard_whole(self, bus, operator):
        ear = operator.subscribe(Topic(CONTROL))
        headers = {"clock": 1, "name": "\u00fc", "none": None, "deep": [{"a": 1.5}]}
        said = {"routing_key": "w1.\u00fc", "content_type": "application/x-msgpack", "content_encoding": "binary"}
        notice = Notice(
            exchange=CONTROL, body=b"\x00\xff", headers=json.dumps(headers).encode(), persistent=True, **said
        )

        bus.broadcast([notice], deadline_at=soon())

        [heard] = ear.hear()
        assert json.loads(heard.headers) == headers
        assert msgspec.structs.replace(heard, headers=notice.headers) == notice

    def test_queues_are_kept_as_their_mailboxes_say(self, bus, operator, rabbitmq):
        kept = Mailbox(name="w1@here.shop.pidbox", ttl=7.0, expires=9.0, exclusive=False, durable=True)
        prefixed = Mailbox(name="unused", prefix="watch", ttl=None, expires=None)

        for mailbox in (kept, prefixed):
            operator.do(operator.station.subscribe([Topic(CONTROL)], deadline_at=soon(), mailbox=mailbox))
        inbox = bus.inbox("reply.shop", deadline_at=soon(), expires=60.0, mailbox=Mailbox(ttl=3.0, expires=9.0))

        said = rabbitmq.server.ctl(
            *("list_queues", "-q", "-p", bus.place.virtual_host, "--no-table-headers"),
            *("name", "durable", "exclusive", "auto_delete", "arguments"),
        )
        inbox.close()
        found = {name: rest for name, *rest in (line.split("\t") for line in said.splitlines() if line)}
        [watching] = [found.pop(name) for name in list(found) if name.startswith("watch.")]
        [asking] = [found.pop(name) for name in list(found) if name.endswith(".reply.shop")]
        durable = found["w1@here.shop.pidbox"]
        assert (durable[:3], watching[:3], asking[:3]) == (
            ["true", "false", "false"],
            ["false", "true", "true"],
            ["false", "true", "true"],
        )
        assert ("9000" in durable[3], "7000" in durable[3], "000" in watching[3]) == (True, True, False)
        assert ("9000" in asking[3], "3000" in asking[3]) == (True, True)

    def test_what_is_no_answer_is_left_out(self, bus, caplog):
        deep: object = 1
        for _ in range(100):
            deep = {"x": deep}

        with bus.inbox(REPLIES, deadline_at=soon()) as inbox:
            bad = Notice(exchange=REPLIES, routing_key=inbox.routing_key, body=b"{}", headers=json.dumps(deep).encode())
            bus.reply([bad, an_answer(inbox)], deadline_at=soon())

            assert collect(inbox, 1) == [an_answer(inbox)]
        assert "left out what is no answer" in caplog.text

    @pytest.mark.parametrize("table", HOSTILE.values(), ids=HOSTILE)
    def test_an_answer_with_headers_that_nobody_can_read_is_left_out(self, bus, caplog, table):
        with bus.inbox(REPLIES, deadline_at=soon()) as inbox:
            say_by_hand(bus.place, Raw(b"{}", table), REPLIES, inbox.routing_key)
            bus.reply([an_answer(inbox)], deadline_at=soon())

            assert collect(inbox, 1) == [an_answer(inbox)]
        assert "left out what is no answer: its headers cannot be read" in caplog.text

    def test_who_comes_back_under_its_name_hears_what_was_said_meanwhile(self, world, bus):
        mailbox = Mailbox(name="w1@here.shop.pidbox", expires=60.0, exclusive=False, durable=True)
        first = world.operator()
        first.do(first.station.subscribe([Topic(CONTROL)], deadline_at=soon(), mailbox=mailbox))
        first.do(first.station.close())

        bus.broadcast([Notice(exchange=CONTROL, body=b"meanwhile")], deadline_at=soon())

        again = world.operator()
        heard = Ear(again, again.do(again.station.subscribe([Topic(CONTROL)], deadline_at=soon(), mailbox=mailbox)))
        [notice] = heard.hear()
        assert notice.body == b"meanwhile"


for name in OTHERWISE_HERE:
    assert hasattr(TestRabbitBus, name), name
    setattr(TestRabbitBus, name, None)
