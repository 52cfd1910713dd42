from __future__ import annotations

import itertools
import threading
import time

import pytest

from celeriac import Celery
from celeriac.brokers.memory import MemoryBroker
from celeriac.brokers.revocations import Feed, Revocation
from celeriac.exceptions import BrokerUnavailable
from celeriac.message import Message
from celeriac.signals import task_revoked
from celeriac.wire.protocol import Call, write_message
from celeriac.worker.announcing import Announcer
from celeriac.worker.revoked import Revoked
from celeriac.worker.revoked_signal import RevokedSignal

stores = itertools.count(1)


@pytest.fixture
def broker():
    return MemoryBroker(f"revoked-{next(stores)}")


def revoke(broker: MemoryBroker, *ids: str, lasts: float = 600.0, **said) -> None:
    now = time.time()
    revocations = [Revocation(task_id=one, at=now, expires_at=now + lasts, **said) for one in ids]
    broker.revoke(revocations, deadline_at=time.monotonic() + 5)


def ids(revocations) -> list[str]:
    return [one.task_id for one in revocations]


async def test_a_fresh_node_knows_nothing_and_need_not_ask(broker):
    revoked = Revoked(broker)

    assert (revoked.version, revoked.any, revoked.is_partial) == (0, False, False)
    assert revoked.of("id-1") is None
    assert await revoked.refresh() == []


async def test_what_is_new_is_learnt_once(broker):
    revoked = Revoked(broker)
    revoke(broker, "a", "b")

    first = await revoked.refresh()
    revoke(broker, "c")
    second = await revoked.refresh()

    assert (ids(first), ids(second), await revoked.refresh()) == (["a", "b"], ["c"], [])
    assert revoked.version == broker.revocations().version
    assert all(revoked.of(one) for one in "abc")


async def test_much_is_learnt_in_several_answers(broker, monkeypatch):
    told = broker.revocations
    monkeypatch.setattr(broker, "revocations", lambda since: told(since, limit=2))
    revoke(broker, *(f"id-{number}" for number in range(7)))
    revoked = Revoked(broker)

    assert len(await revoked.refresh()) == 7
    assert revoked.version == told().version


async def test_an_expired_revocation_is_forgotten(broker):
    revoked = Revoked(broker)
    revoke(broker, "a", lasts=0.05)
    await revoked.refresh()
    time.sleep(0.06)

    assert revoked.of("a") is None


async def test_what_was_revoked_for_this_node_alone_outlives_a_store_that_has_forgotten(broker):
    revoked = Revoked(broker)
    revoke(broker, "a")
    await revoked.refresh()
    now = time.time()
    revoked.add_here(Revocation(task_id="b", at=now, expires_at=now + 600))

    revoked._take(Feed(version=revoked.version - 1, revocations=[], more=False))

    assert (revoked.of("a"), revoked.any) == (None, True)
    assert revoked.of("b") is not None


async def test_of_more_than_is_remembered_the_store_is_asked(broker):
    revoked = Revoked(broker, keep=3)
    revoke(broker, *"abcde")
    await revoked.refresh()

    assert revoked.is_partial
    assert [one for one in "abcde" if revoked.of(one)] == ["c", "d", "e"]
    assert set(await revoked.among(["a", "e", "x"])) == {"a", "e"}


async def test_a_store_that_was_replaced_is_learnt_anew(broker):
    revoked = Revoked(broker)
    revoke(broker, "a")
    revoke(broker, "b")
    await revoked.refresh()
    other = MemoryBroker(f"revoked-{next(stores)}")
    revoke(other, "c")
    revoked._broker = other

    news = await revoked.refresh()

    assert ids(news) == ["c"]
    assert (revoked.of("a"), revoked.version) == (None, other.revocations().version)


async def test_a_store_that_has_forgotten_all_is_learnt_anew(broker, monkeypatch):
    revoked = Revoked(broker)
    revoke(broker, "a")
    await revoked.refresh()
    monkeypatch.setattr(broker, "revocations", lambda since: Feed(0, []))

    assert await revoked.refresh() == []
    assert (revoked.version, revoked.any) == (0, False)


async def test_what_was_learnt_before_an_outage_counts(broker, monkeypatch):
    told = broker.revocations
    revoke(broker, *"abcd")
    answers = iter([told(0, limit=2), BrokerUnavailable("gone")])

    def answer(since):
        found = next(answers)
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr(broker, "revocations", answer)
    revoked = Revoked(broker)

    with pytest.raises(BrokerUnavailable):
        await revoked.refresh()

    assert revoked.of("a") is not None
    monkeypatch.setattr(broker, "revocations", told)
    assert ids(await revoked.refresh()) == ["c", "d"]


# -- the signal -----------------------------------------------------------------------------------------------------


@pytest.fixture
def app():
    app = Celery("shop", broker=f"memory://revoked-{next(stores)}", set_as_current=False)

    @app.task(name="shop.pay")
    def pay(amount): ...

    yield app
    app.close()


@pytest.fixture
def announcer():
    made = Announcer()
    yield made
    made.stop(10)


@pytest.fixture
def told():
    heard = []

    def hear(sender, request, terminated, signum, expired, **more):
        heard.append((sender, request, terminated, signum, expired, threading.current_thread(), sorted(more)))

    task_revoked.connect(hear, weak=False)
    yield heard
    task_revoked.disconnect(hear)


def a_message(**changes) -> Message:
    call = Call(task="shop.pay", id="id-1", args=(5,), kwargs={}, queue="celery")
    message = write_message(call, origin="gen1@host")
    return Message(**{**{name: getattr(message, name) for name in message.__struct_fields__}, **changes})


def test_receivers_get_the_task_and_its_request(app, told, announcer):
    signal = RevokedSignal(app, "w1@host", announcer)

    signal.send(a_message(), "shop.pay", terminated=True, signum=15, expired=False)
    announcer.stop(10)

    [(sender, request, terminated, signum, expired, thread, more)] = told
    assert sender is app.tasks["shop.pay"]
    assert (request.id, request.task, request.args, request.hostname) == ("id-1", "shop.pay", [5], "w1@host")
    assert (terminated, signum, expired, more) == (True, 15, False, ["signal"])
    assert thread is not threading.main_thread()


def test_of_a_body_that_is_no_json_the_headers_are_told(app, told, announcer):
    signal = RevokedSignal(app, "w1@host", announcer)

    signal.send(a_message(content_type="application/x-python-serialize", body=b"cos\nsystem"), "shop.pay", expired=True)
    announcer.stop(10)

    [(_, request, _, signum, expired, *_)] = told
    assert (request.id, list(request.args), signum, expired) == ("id-1", [], None, True)


def test_a_receiver_that_hangs_holds_nobody_up(app, announcer):
    release = threading.Event()

    def hang(**said):
        release.wait(60)

    task_revoked.connect(hang, weak=False)
    try:
        signal = RevokedSignal(app, "w1@host", announcer)
        began = time.monotonic()
        for _ in range(3):
            signal.send(a_message(), "shop.pay", expired=False)
        announcer.stop(0.05)
        assert time.monotonic() - began < 5
    finally:
        release.set()
        task_revoked.disconnect(hang)


def test_nothing_is_done_without_receivers(app, announcer):
    before = threading.active_count()
    signal = RevokedSignal(app, "w1@host", announcer)

    signal.send(a_message(), "shop.pay", expired=False)

    assert threading.active_count() == before
    announcer.stop(1)
