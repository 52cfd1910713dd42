from __future__ import annotations

import signal
import time

import pytest
import redis

from celeriac.brokers.redis import listening
from celeriac.brokers.redis.broker import RedisBroker
from celeriac.brokers.redis.bus import RedisBus
from celeriac.brokers.redis.options import RedisOptions
from celeriac.brokers.redis.place import read_place
from celeriac.brokers.topics import Topic
from celeriac.exceptions import BrokerUnavailable, OperationalError
from celeriac.testing.buses import (
    CONTROL,
    EVENTS,
    REPLIES,
    BusConformance,
    BusWorld,
    Operator,
    a_command,
    an_answer,
    an_event,
    collect,
    soon,
)
from celeriac.wire.notices import write_notice


class RedisBuses(BusWorld):
    """One database of a server that tests have to themselves."""

    def __init__(self, url, **options):
        super().__init__()
        self.url = url
        self.options = RedisOptions(**options)
        self.client = redis.Redis.from_url(url)

    def make_bus(self):
        return RedisBus(read_place(self.url, "broker_url"), self.options)

    def leftovers(self):
        deadlines = f"{self.options.global_keyprefix}_kombu.binding_deadlines".encode()
        return len([key for key in self.client.keys("*") if key != deadlines])

    def cut(self):
        self.client.client_kill_filter(_type="pubsub")
        self.client.client_kill_filter(_type="normal", skipme=True)
        return True

    def end(self):
        super().end()
        self.client.close()


@pytest.fixture(params=[2, 3], ids=["resp2", "resp3"])
def world(redis_db, request):
    world = RedisBuses(redis_db, protocol=request.param)
    yield world
    world.end()


class TestRedisBus(BusConformance):
    @pytest.fixture
    def world(self, world):
        return world


class TestPrefixedRedisBus(BusConformance):
    @pytest.fixture
    def world(self, redis_db):
        world = RedisBuses(redis_db.rpartition("/")[0] + "/3", global_keyprefix="pfx[*]:", priority_steps=(0, 5))
        yield world
        world.end()


def test_an_inbox_is_bound_as_celerys_is(world):
    with world.bus().inbox(REPLIES, deadline_at=soon(), expires=10) as inbox:
        oid = inbox.routing_key
        member = f"{oid}\x06\x16\x06\x16{oid}.reply.celery.pidbox".encode()

        assert world.client.smembers("_kombu.binding.reply.celery.pidbox") == {member}
        due = world.client.zscore("_kombu.binding_deadlines", "reply.celery.pidbox")
        assert 3590 < due / 1000 - time.time() < 3610


def test_answers_that_nobody_fetches_expire_by_themselves(world):
    bus = world.bus()
    inbox = bus.inbox(REPLIES, deadline_at=soon())

    bus.reply([an_answer(inbox)], deadline_at=soon())

    assert 290_000 < world.client.pttl(f"{inbox.routing_key}.{REPLIES}") <= 300_000
    inbox.close()


def test_what_celery_answered_to_a_dead_asker_is_swept_by_the_next_one(world):
    dead = world.bus().inbox(REPLIES, deadline_at=soon(), expires=0.1)
    key = f"{dead.routing_key}.{REPLIES}"
    world.client.lpush(f"{key}\x06\x163", "x")
    world.client.lpush(key, "x")
    world.outlast(0.2)

    world.bus().inbox(REPLIES, deadline_at=soon()).close()

    assert world.leftovers() == 0


def test_answers_of_any_priority_are_collected(world):
    with world.bus().inbox(REPLIES, deadline_at=soon()) as inbox:
        raw = write_notice(an_answer(inbox), delivery_tag="t")
        for step in ("", "\x06\x163", "\x06\x166", "\x06\x169"):
            world.client.lpush(f"{inbox.routing_key}.{REPLIES}{step}", raw)

        assert collect(inbox, 4) == [an_answer(inbox)] * 4


def test_an_answer_that_is_none_is_left_out(world, caplog):
    bus = world.bus()
    with bus.inbox(REPLIES, deadline_at=soon()) as inbox:
        world.client.lpush(f"{inbox.routing_key}.{REPLIES}", "{}")
        bus.reply([an_answer(inbox)], deadline_at=soon())

        assert collect(inbox, 1) == [an_answer(inbox)]
    assert "left out an answer" in caplog.text


def test_the_broker_of_a_place_makes_its_bus_and_counts_no_inbox_as_a_queue(world):
    broker = RedisBroker(read_place(world.url, "broker_url"), world.options)
    bus = broker.bus()
    ear = world.operator(bus).subscribe(Topic(CONTROL))

    with bus.inbox(REPLIES, deadline_at=soon()) as inbox:
        world.bus().broadcast([a_command()], deadline_at=soon())
        world.bus().reply([an_answer(inbox)], deadline_at=soon())

        assert ear.hear() == [a_command()]
        assert broker.depths() == []
    assert bus.url == broker.url
    broker.close()


@pytest.mark.parametrize("raw", [b"", b"\xff\xfe", b"[]", b"{}", b'{"body": 1}', b"[" * 100_000, b"x" * 1_000_000])
def test_what_is_no_notice_is_left_out_and_counted(world, raw):
    ear = world.operator().subscribe(Topic(CONTROL))

    world.client.publish("/0.celery.pidbox", raw)
    world.client.publish("/0.celery.pidbox", raw)
    world.bus().broadcast([a_command()], deadline_at=soon())

    assert ear.hear() == [a_command()]
    assert ear.subscription.unreadable == 2


def test_the_same_envelope_twice_is_heard_once(world):
    ear = world.operator().subscribe(Topic(CONTROL))
    raw = write_notice(a_command("again"), delivery_tag="t")

    for _ in range(3):
        world.client.publish("/0.celery.pidbox", raw)
    world.bus().broadcast([a_command()], deadline_at=soon())

    assert ear.hear(2) == [a_command("again"), a_command()]


def test_databases_are_apart(world):
    ear = world.operator().subscribe(Topic(CONTROL))
    other = RedisBus(read_place(world.url.rpartition("/")[0] + "/1", "broker_url"), world.options)

    other.broadcast([a_command("other")], deadline_at=soon())
    world.bus().broadcast([a_command()], deadline_at=soon())

    assert ear.hear() == [a_command()]
    other.close()


@pytest.mark.parametrize("options", [{"fanout_patterns": False}, {"fanout_prefix": ""}, {"fanout_prefix": "/x{db}."}])
def test_all_options_of_channels_let_topics_be_told_apart(redis_db, options):
    world = RedisBuses(redis_db, **options)
    ear = world.operator().subscribe(Topic(EVENTS, "worker.#"))

    world.bus().broadcast([an_event("task-sent"), an_event("worker-online")], deadline_at=soon())

    assert ear.hear() == [an_event("worker-online")]
    world.end()


def test_a_user_who_may_not_listen_is_told(world):
    world.client.acl_setuser("mute", enabled=True, nopass=True, keys="*", commands=["+@all"], reset_channels=True)
    place = world.url.replace("redis://", "redis://mute:x@")
    operator = world.operator(RedisBus(read_place(place, "broker_url"), world.options))

    with pytest.raises(OperationalError, match="does not let this user"):
        operator.subscribe(Topic(CONTROL))
    world.client.acl_deluser("mute")


# -- faults -------------------------------------------------------------------------------------------------------


def test_a_server_that_is_not_there_is_told_by_the_deadline():
    bus = RedisBus(read_place("redis://127.0.0.1:1", "broker_url"), RedisOptions())
    operator = Operator(bus)
    began_at = time.monotonic()

    for call in (
        lambda: bus.broadcast([a_command()], deadline_at=time.monotonic() + 0.2),
        lambda: bus.inbox(REPLIES, deadline_at=time.monotonic() + 0.2),
        lambda: operator.do(operator.station.broadcast([a_command()], deadline_at=time.monotonic() + 0.2)),
        lambda: operator.do(operator.station.reply([an_event()], deadline_at=time.monotonic() + 0.2)),
        lambda: operator.do(operator.station.subscribe([Topic(CONTROL)], deadline_at=time.monotonic() + 0.2)),
    ):
        with pytest.raises(BrokerUnavailable, match=r"127\.0\.0\.1:1"):
            call()

    assert time.monotonic() - began_at < 5
    operator.stop()


@pytest.mark.fault
def test_a_stopped_server_holds_nobody_up_and_listeners_notice_it(redis_server, monkeypatch):
    monkeypatch.setattr(listening, "_PING_AFTER", 0.2)
    server = redis_server()
    world = RedisBuses(server.url())
    bus, operator = world.bus(), world.operator()
    ear = operator.subscribe(Topic(CONTROL))
    inbox = bus.inbox(REPLIES, deadline_at=soon())
    bus.broadcast([a_command()], deadline_at=soon())
    ear.hear()
    server.process.send_signal(signal.SIGSTOP)
    began_at = time.monotonic()

    for call in (
        lambda: bus.broadcast([a_command()], deadline_at=time.monotonic() + 0.3),
        lambda: operator.do(operator.station.broadcast([a_command()], deadline_at=time.monotonic() + 0.3)),
        lambda: inbox.collect(deadline_at=time.monotonic() + 0.3),
    ):
        with pytest.raises(BrokerUnavailable):
            call()

    assert time.monotonic() - began_at < 5
    give_up_at = soon()
    while not ear.subscription.gaps and time.monotonic() < give_up_at:
        time.sleep(0.01)
    server.process.send_signal(signal.SIGCONT)
    assert heard_again(bus, ear)
    assert ear.subscription.gaps == 1
    world.end()


@pytest.mark.fault
def test_listeners_and_speakers_outlive_a_server_that_is_killed(redis_server):
    server = redis_server()
    world = RedisBuses(server.url())
    bus, operator = world.bus(), world.operator()
    ear = operator.subscribe(Topic(CONTROL))
    operator.broadcast(a_command())
    bus.broadcast([a_command()], deadline_at=soon())
    assert ear.hear(2) == [a_command()] * 2

    server.kill()
    saying = operator.start(operator.station.broadcast([a_command("patient")], deadline_at=soon()))
    time.sleep(0.3)
    server.start()
    back_at = time.monotonic()

    saying.result(10)
    assert heard_again(bus, ear)
    assert time.monotonic() - back_at < 6
    assert ear.subscription.gaps == 1
    world.end()


@pytest.mark.fault
def test_connections_that_are_killed_again_and_again_wedge_nobody(world):
    bus, operator = world.bus(), world.operator()
    ear = operator.subscribe(Topic(CONTROL))

    for _ in range(20):
        world.cut()
        bus.broadcast([a_command()], deadline_at=soon())
        operator.broadcast(a_command())
        time.sleep(0.03)

    assert heard_again(bus, ear)
    assert 1 <= ear.subscription.gaps <= 20
    operator.do(operator.station.close())
    assert connections(world, "celeriac-bus") == 0


def connections(world, name):
    give_up_at = time.monotonic() + 60
    while found := [one for one in world.client.client_list() if one["name"] == name]:
        if time.monotonic() > give_up_at:
            break
        time.sleep(0.01)
    return len(found)


@pytest.mark.fault
def test_a_server_that_talks_nonsense_is_left_for_another(world, monkeypatch):
    """A proxy that mixes up its connections does that."""
    operator = world.operator()
    ear = operator.subscribe(Topic(CONTROL))
    heard = listening.Listening._receive
    spoiled = iter([True])

    async def receive(self):
        if next(spoiled, False):
            self._reader.feed(b"?nonsense\r\n", 0, 11)
            self._reader.gets()
        return await heard(self)

    monkeypatch.setattr(listening.Listening, "_receive", receive)
    world.bus().broadcast([a_command()], deadline_at=soon())

    assert heard_again(world.bus(), ear)
    assert ear.subscription.gaps == 1


def heard_again(bus, ear):
    give_up_at = soon()
    while time.monotonic() < give_up_at:
        bus.broadcast([a_command("again")], deadline_at=soon())
        if a_command("again") in ear.operator.do(ear.subscription.hear(timeout=0.1)):
            return True
    return False
