from __future__ import annotations

import fcntl
import os
import signal
import threading
import time

import pytest

from celeriac.app.context import Context
from celeriac.app.guard import guarded
from celeriac.brokers.sqlite import SqliteBroker
from celeriac.exceptions import SoftTimeLimitExceeded, TaskCancelled, TimeLimitExceeded
from celeriac.message import Message
from celeriac.shelter import DEPTHS, LATER, sheltered
from celeriac.worker import packets
from celeriac.worker.interrupts import Interrupts
from celeriac.worker.orders import Interrupt, bounded, send_order


@pytest.fixture
def line():
    """The supervisor's end of the line of this process."""
    ours, theirs = packets.pair()
    before = signal.getsignal(signal.SIGUSR1)
    interrupts = Interrupts(theirs)
    interrupts.listen()
    yield ours, interrupts
    signal.signal(signal.SIGUSR1, before)
    interrupts.close()
    ours.close()


def order(line, *orders):
    for each in orders:
        assert send_order(line, each)
    os.kill(os.getpid(), signal.SIGUSR1)


@pytest.mark.parametrize(
    ("kind", "raised"),
    [("soft", SoftTimeLimitExceeded), ("hard", TimeLimitExceeded), ("cancel", TaskCancelled)],
)
def test_an_order_is_raised_in_the_body_that_it_is_for(line, kind, raised):
    supervisor, interrupts = line
    context = Context()
    interrupts.begin(7, context)

    def body():
        order(supervisor, Interrupt(7, kind, 1.5, "why", "amy"))
        time.sleep(60)

    with pytest.raises(raised) as caught:
        guarded(context, body, (), {})
    assert caught.value.args == {"soft": (), "hard": (1.5,), "cancel": ("why", "amy")}[kind]
    assert context.is_cancelled == (kind == "cancel")


def test_an_order_for_another_run_changes_nothing(line):
    supervisor, interrupts = line
    context = Context()
    interrupts.begin(8, context)

    def body():
        order(supervisor, Interrupt(7, "soft"))
        return "done"

    assert guarded(context, body, (), {}) == "done"
    assert not context.is_cancelled


def test_an_order_that_comes_before_its_run_waits_for_it(line):
    supervisor, interrupts = line
    order(supervisor, Interrupt(7, "cancel", None, "why", "amy"))
    context = Context()
    interrupts.begin(7, context)

    with pytest.raises(TaskCancelled):
        guarded(context, lambda: pytest.fail("it has begun"), (), {})
    assert context.is_cancelled


def test_an_order_that_comes_after_its_body_is_not_raised_around_it(line):
    supervisor, interrupts = line
    context = Context()
    interrupts.begin(7, context)
    assert guarded(context, lambda: "done", (), {}) == "done"

    order(supervisor, Interrupt(7, "cancel"))

    interrupts.end(7)
    assert context.cancelled is None


def test_orders_that_come_with_one_signal_are_all_read(line):
    supervisor, interrupts = line
    context = Context()
    interrupts.begin(7, context)

    def body():
        order(supervisor, Interrupt(3, "soft"), Interrupt(5, "cancel"), Interrupt(7, "soft"))

    with pytest.raises(SoftTimeLimitExceeded):
        guarded(context, body, (), {})


def test_what_people_say_is_cut_to_what_an_order_carries():
    assert bounded("x" * 10_000) == "x" * 2_000
    assert bounded(None) is None


def test_a_body_in_another_thread_is_known_to_be_cancelled_before_it_can_end_of_it(line, monkeypatch):
    supervisor, interrupts = line
    context = Context()
    context.thread, context.in_body = threading.get_ident() + 1, True
    known: list[BaseException | None] = []
    monkeypatch.setattr(
        "celeriac.worker.interrupts._set_async_exc", lambda thread, carrier: known.append(context.cancelled)
    )
    interrupts.begin(7, context)

    assert send_order(supervisor, Interrupt(7, "cancel", None, "why", "amy"))
    interrupts.obey()

    assert [type(one) for one in known] == [TaskCancelled]


# -- shelters -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["soft", "cancel"])
def test_in_a_shelter_an_order_waits_until_its_end(line, kind):
    supervisor, interrupts = line
    context, reached = Context(), []
    interrupts.begin(7, context)

    def body():
        with sheltered:
            with sheltered:
                order(supervisor, Interrupt(7, kind))
                reached.append("in both")
            reached.append("in one")
        reached.append("outside")

    with pytest.raises(SoftTimeLimitExceeded if kind == "soft" else TaskCancelled):
        guarded(context, body, (), {})

    assert reached == ["in both", "in one"]
    assert (context.cancelled is not None) == (kind == "cancel")
    assert (DEPTHS, LATER) == ({}, {})


def test_in_a_shelter_of_another_thread_an_order_waits_likewise(line):
    supervisor, interrupts = line
    context, reached, raised = Context(), [], []
    there, ordered = threading.Event(), threading.Event()
    interrupts.begin(7, context)

    def body():
        with sheltered:
            there.set()
            assert ordered.wait(60)
            reached.append("in it")
        reached.append("outside")

    def run():
        try:
            guarded(context, body, (), {})
        except SoftTimeLimitExceeded as exc:
            raised.append(exc)

    thread = threading.Thread(target=run)
    thread.start()
    assert there.wait(60)
    order(supervisor, Interrupt(7, "soft"))
    ordered.set()
    thread.join(60)

    assert (reached, len(raised)) == (["in it"], 1)
    assert (DEPTHS, LATER) == ({}, {})


def test_a_body_that_is_interrupted_in_a_call_leaves_the_file_to_others(line, tmp_path, monkeypatch):
    supervisor, interrupts = line
    context = Context()
    interrupts.begin(7, context)
    broker = SqliteBroker(tmp_path / "work.db")
    flock = fcntl.flock
    ordered: list[bool] = []

    def flock_and_order(descriptor: int, operation: int) -> None:
        flock(descriptor, operation)
        if operation != fcntl.LOCK_UN and not ordered:
            ordered.append(True)
            order(supervisor, Interrupt(7, "soft"))

    def body():
        broker.publish([Message(task_id="id", queue="q", headers=b"{}", body=b"")], deadline_at=time.monotonic() + 60)

    broker.open(deadline_at=time.monotonic() + 60)
    monkeypatch.setattr(fcntl, "flock", flock_and_order)
    with pytest.raises(SoftTimeLimitExceeded):
        guarded(context, body, (), {})

    store = broker.store()
    assert (store._turn.locked(), store._use.locked()) == (False, False)
    with (tmp_path / "work.db-lock").open() as other:
        flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    broker.close()
