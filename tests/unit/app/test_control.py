"""`app.control`, and what results have of it: what is stored, recorded and said, on the memory broker."""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
import time

import pytest

from celeriac import Celery
from celeriac.app.control import Control
from celeriac.brokers.base import Incarnation, ResultMeta
from celeriac.brokers.topics import Topic
from celeriac.exceptions import BrokerUnavailable, ImproperlyConfigured, TaskCancelled, TaskRevokedError
from celeriac.testing.worlds import Node
from celeriac.wire.control import read_command, write_answer
from celeriac.wire.results import write_record

numbers = itertools.count(1)


@pytest.fixture
def app():
    app = Celery("shop", broker=f"memory://control-{next(numbers)}", set_as_current=False)

    @app.task(name="shop.pay")
    def pay():
        return "paid"

    yield app
    app.close()


@pytest.fixture
def node(app):
    node = Node(app.broker.consumer(Incarnation.begin("w1@host")))
    node.open()
    yield node
    node.close()
    node.stop()


class Ear:
    """Hear the control commands of an app, and answer them as nodes of some names."""

    def __init__(self, app, *names):
        self.app = app
        self.names = names
        self.heard = []
        self.ready = threading.Event()
        self.over = threading.Event()
        self.thread = threading.Thread(target=lambda: asyncio.run(self.listen()))
        self.thread.start()
        assert self.ready.wait(60)

    async def listen(self):
        async with self.app.bus.station() as station:
            subscription = await station.subscribe([Topic("celery.pidbox")], deadline_at=time.monotonic() + 60)
            self.ready.set()
            while not self.over.is_set():
                for notice in await subscription.hear(timeout=0.01):
                    command = read_command(notice)
                    self.heard.append(command)
                    answers = [write_answer(command, name, {"ok": name}) for name in self.names if command.is_for(name)]
                    if command.ticket is not None:
                        await station.reply(answers, deadline_at=time.monotonic() + 60)

    def wait(self):
        until = time.monotonic() + 60
        while not self.heard:
            assert time.monotonic() < until, "nothing was said"
            time.sleep(0.005)
        return self.heard[0]

    def stop(self):
        self.over.set()
        self.thread.join()


@pytest.fixture
def ear(app):
    ears = []

    def listen(*names):
        ears.append(Ear(app, *names))
        return ears[-1]

    yield listen
    for one in ears:
        one.stop()


def revoked(app):
    return {one.task_id: one for one in app.broker.revocations().revocations}


def store_state(app, task_id, state, *, retries=0):
    record = write_record(task_id=task_id, state=state, result=None, date_done=None)
    app.backend.store([ResultMeta(task_id=task_id, state=state, record=record, retries=retries)])


# -- what is stored and recorded ------------------------------------------------------------------------------------


def test_a_revoked_run_that_waits_raises_at_once(app):
    result = app.tasks["shop.pay"].delay()

    result.revoke()

    assert set(revoked(app)) == {result.id}
    assert result.state == "REVOKED"
    with pytest.raises(TaskRevokedError, match="revoked"):
        result.get(timeout=60)
    record = json.loads(app.backend.get(result.id).record)
    told = {"exc_type": "TaskRevokedError", "exc_message": ["revoked"], "exc_module": "celery.exceptions"}
    assert (record["status"], record["result"], record["task_id"]) == ("REVOKED", told, result.id)
    assert record["date_done"] is not None


def test_a_cancelled_run_that_waits_says_why_and_by_whom(app):
    result = app.tasks["shop.pay"].delay()

    result.cancel("out of stock", grace=3, by="ann")

    with pytest.raises(TaskCancelled) as told:
        result.get(timeout=60)
    assert told.value.args == ("out of stock", "ann")
    kept = revoked(app)[result.id]
    assert (kept.cancel, kept.grace, kept.terminate) == (True, 3.0, False)


def test_who_cancels_is_user_and_host_unless_said(app):
    app.control.cancel("id-1")

    assert "@" in revoked(app)["id-1"].by


def test_a_revocation_lasts_for_180_days(app):
    app.control.revoke("id-1")

    kept = revoked(app)["id-1"]
    assert kept.at == pytest.approx(time.time(), abs=30)
    assert kept.expires_at == kept.at + 180 * 86_400


def test_what_a_node_has_claimed_is_left_to_it(app, node):
    held, waiting = (app.tasks["shop.pay"].delay() for _ in range(2))
    [delivery] = node.claim("celery", limit=1)
    assert delivery.message.task_id == held.id

    app.control.revoke([held.id, waiting.id])

    assert (held.state, waiting.state) == ("PENDING", "REVOKED")
    assert set(revoked(app)) == {held.id, waiting.id}


@pytest.mark.parametrize("state", ["SUCCESS", "FAILURE", "STARTED", "PROGRESS"])
def test_what_has_begun_or_ended_keeps_its_record(app, state):
    store_state(app, "id-1", state)

    app.control.revoke("id-1")

    assert app.backend.get("id-1").state == state


@pytest.mark.parametrize("state", ["PENDING", "RECEIVED", "RETRY", "REJECTED"])
def test_what_nobody_has_begun_is_recorded(app, state):
    store_state(app, "id-1", state, retries=2)

    app.control.revoke("id-1")

    assert app.backend.get("id-1").state == "REVOKED"


def test_the_next_attempt_of_a_retried_run_is_what_is_revoked(app):
    store_state(app, "id-1", "RETRY", retries=2)

    app.control.revoke("id-1")

    assert app.backend.get("id-1").retries == 3


def test_without_a_result_backend_it_is_stored_nevertheless():
    with Celery("shop", broker=f"memory://control-{next(numbers)}", backend="disabled", set_as_current=False) as app:
        app.control.revoke("id-1")

        assert set(revoked(app)) == {"id-1"}


def test_ids_come_as_texts_results_and_lists_of_both(app):
    result = app.AsyncResult("id-2")

    app.control.revoke("id-1")
    app.control.revoke(result)
    app.control.revoke(["id-3", app.AsyncResult("id-4"), "id-3"])
    app.control.revoke(f"id-{number}" for number in (5, 6))

    assert list(revoked(app)) == [f"id-{number}" for number in range(1, 7)]


@pytest.mark.parametrize("wrong", [None, 7, "", [""], ["id-1", None], [["id-1"]]])
def test_what_is_no_id_is_refused(app, wrong):
    with pytest.raises((ValueError, TypeError)):
        app.control.revoke(wrong)

    assert revoked(app) == {}


def test_thousands_are_revoked_at_once(app):
    app.control.revoke([f"id-{number}" for number in range(2_500)])

    assert len(revoked(app)) == 2_500
    assert app.AsyncResult("id-2499").state == "REVOKED"


def test_results_revoke_in_coroutines(app):
    first, second = app.tasks["shop.pay"].delay(), app.tasks["shop.pay"].delay()

    async def end():
        await first.arevoke(terminate=True, signal="KILL")
        await second.acancel("late")

    asyncio.run(end())

    assert revoked(app)[first.id].signal == "SIGKILL"
    assert revoked(app)[second.id].reason == "late"


@pytest.mark.parametrize(
    ("given", "name"),
    [(None, "SIGTERM"), ("KILL", "SIGKILL"), ("SIGUSR1", "SIGUSR1"), ("int", "SIGINT"), (9, "SIGKILL")],
)
def test_signals_are_named_in_all_ways(app, given, name):
    app.AsyncResult("id-1").revoke(terminate=True, signal=given)

    kept = revoked(app)["id-1"]
    assert (kept.terminate, kept.signal) == (True, name)


@pytest.mark.parametrize("wrong", ["SIGNOTHING", 999, "", 1.5, True])
def test_there_must_be_such_a_signal(app, wrong):
    with pytest.raises(ValueError, match="no signal"):
        app.control.terminate("id-1", signal=wrong)


def test_control_without_an_app_is_that_of_the_current_one(app):
    app.set_current()

    Control().terminate("id-1")

    assert revoked(app)["id-1"].terminate


# -- what is said to nodes ------------------------------------------------------------------------------------------


def test_nodes_are_told_as_celery_tells_its_workers(app, ear):
    listener = ear()

    app.control.revoke("id-1", terminate=True, signal="KILL")

    command = listener.wait()
    assert (command.method, command.destination, command.ticket) == ("revoke", (), None)
    known = {name: command.arguments[name] for name in ("task_id", "terminate", "signal")}
    assert known == {"task_id": "id-1", "terminate": True, "signal": "SIGKILL"}


def test_to_those_that_cannot_cancel_it_is_said_to_revoke(app, ear):
    listener = ear()

    app.control.cancel(["id-1", "id-2"], "late", 2.0, by="ann")

    said = listener.wait()
    assert said.method == "revoke"
    assert said.arguments == {
        "task_id": ["id-1", "id-2"],
        "terminate": False,
        "signal": "SIGTERM",
        "cancel": True,
        "reason": "late",
        "by": "ann",
        "grace": 2.0,
        "stored": True,
    }


def test_answers_are_collected(app, ear):
    ear("w1@host", "w2@host")
    heard: list[object] = []

    answers = app.control.revoke("id-1", reply=True, limit=2, callback=heard.append)

    assert answers == heard == [{"w1@host": {"ok": "w1@host"}}, {"w2@host": {"ok": "w2@host"}}]


def test_named_nodes_are_told_alone_and_nothing_is_stored(app, ear):
    listener = ear("w1@host", "w2@host")
    result = app.tasks["shop.pay"].delay()

    answers = app.control.revoke(result.id, destination=["w2@host"], reply=True, timeout=10)

    assert answers == [{"w2@host": {"ok": "w2@host"}}]
    assert "stored" not in listener.wait().arguments
    assert revoked(app) == {}
    assert result.state == "PENDING"


def test_a_pattern_names_nodes_too(app, ear):
    ear("w1@host", "other@host")

    answers = app.control.revoke("id-1", pattern="w*", matcher="glob", reply=True, limit=1, timeout=10)

    assert answers == [{"w1@host": {"ok": "w1@host"}}]
    assert revoked(app) == {}


def test_nobody_answers_in_time(app):
    began = time.monotonic()

    assert app.control.revoke("id-1", reply=True, timeout=0.05) == []
    assert time.monotonic() - began < 5
    assert set(revoked(app)) == {"id-1"}


@pytest.mark.parametrize("error", [ImproperlyConfigured("no bus"), BrokerUnavailable("gone")])
def test_what_is_stored_is_revoked_although_nobody_can_be_told(app, monkeypatch, caplog, error):
    def no_bus():
        raise error

    monkeypatch.setattr(type(app.broker), "bus", lambda self: no_bus())

    app.control.revoke("id-1")

    assert set(revoked(app)) == {"id-1"}
    assert "notice within seconds" in caplog.text
    with pytest.raises(type(error)):
        app.control.revoke("id-1", reply=True)


def test_what_control_does_not_have_is_named(app):
    with pytest.raises(AttributeError, match=r"no 'mailbox': commands are said by `app.control.broadcast`"):
        app.control.mailbox  # noqa: B018 - the look is what is tested
    with pytest.raises(AttributeError, match="did you mean 'revoke'"):
        app.control.revok("id-1")
