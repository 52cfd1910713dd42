from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from typing import Any

import pytest

from celeriac.brokers.revocations import Revocation
from celeriac.exceptions import TaskCancelled, TaskRevokedError
from celeriac.worker.cancelling import Cancelling, verdict_of
from celeriac.worker.held import Held
from celeriac.worker.orders import Interrupt, Leave, Order, Signal, read_orders
from celeriac.worker.runs import Outcome
from tests.unit.worker.crew import Children, held, until

GRACE = 0.05


def revocation(**said: Any) -> Revocation:
    return Revocation(task_id="t1", at=0.0, expires_at=1e12, **said)


CANCEL = revocation(cancel=True, reason="why", by="amy")


@pytest.fixture
async def children() -> AsyncIterator[Children]:
    made = Children()
    made.slots.start((1,))
    await made.slots.lives.up.wait()
    yield made
    made.slots.close()
    made.close()


def begun(children: Children) -> Held:
    one = held(1)
    children.slots.add([one])
    children.slots.dispatch()
    children.read(0)
    return one


def orders(children: Children) -> list[Order]:
    return [each for each in read_orders(children.lines[0]) if not isinstance(each, Leave)]


async def test_a_cancelled_run_is_told_who_and_why_and_killed_after_the_grace(children: Children):
    one = begun(children)
    Cancelling(children.under_way, grace=GRACE).end_run(one, CANCEL)

    assert orders(children) == [Interrupt(1, "cancel", None, "why", "amy")]
    await until(lambda: one.verdict)

    assert children.killed == [(0, signal.SIGUSR1, False), (0, signal.SIGKILL, True)]
    assert repr(one.verdict) == repr(verdict_of(CANCEL))


async def test_a_body_is_told_once(children: Children):
    one = begun(children)
    cancelling = Cancelling(children.under_way, grace=60)

    cancelling.end_run(one, CANCEL)
    cancelling.end_run(one, CANCEL)

    assert len(orders(children)) == 1


async def test_a_cancelled_run_that_has_ended_is_not_killed(children: Children):
    one = begun(children)
    cancelling = Cancelling(children.under_way, grace=GRACE)
    cancelling.end_run(one, CANCEL)
    children.answer(0, run_of(one))
    await until(lambda: children.ended)

    cancelling._kill(one, verdict_of(CANCEL), GRACE)

    assert one.verdict is None
    assert children.killed == [(0, signal.SIGUSR1, False)]


def run_of(one: Held) -> Any:
    return type("Run", (), {"number": one.number})


@pytest.mark.parametrize(
    ("name", "order", "killed"),
    [
        ("SIGTERM", [Signal(1, signal.SIGTERM)], (0, signal.SIGUSR1, False)),
        ("SIGQUIT", [Signal(1, signal.SIGQUIT)], (0, signal.SIGUSR1, False)),
        ("SIGUSR1", [Interrupt(1, "soft")], (0, signal.SIGUSR1, False)),
        ("SIGUSR2", [], (0, signal.SIGUSR2, False)),
        ("SIGKILL", [], (0, signal.SIGKILL, True)),
    ],
)
async def test_signals_reach_the_child_in_their_own_ways(children: Children, name, order, killed):
    one = begun(children)

    Cancelling(children.under_way, grace=60).end_run(one, revocation(terminate=True, signal=name))

    assert orders(children) == order
    assert children.killed == [killed]
    assert one.verdict is not None
    assert one.verdict.signum == signal.Signals[name]
    assert one.verdict.error.args == ("terminated",)


async def test_sigkill_is_not_kept_waiting_by_a_gentler_signal(children: Children):
    one = begun(children)
    cancelling = Cancelling(children.under_way, grace=60)

    cancelling.end_run(one, revocation(terminate=True))
    cancelling.end_run(one, revocation(terminate=True, signal="SIGKILL"))

    assert children.killed[-1] == (0, signal.SIGKILL, True)


async def test_where_signals_would_hit_neighbours_terminating_is_cancelling(children: Children):
    one = begun(children)

    Cancelling(children.under_way, grace=60, can_signal=lambda: False).end_run(one, revocation(terminate=True))

    assert orders(children) == [Interrupt(1, "cancel")]
    assert one.verdict is None


async def test_where_nothing_can_be_killed_that_is_said(children: Children, caplog):
    one = begun(children)

    Cancelling(children.under_way, grace=GRACE, can_kill=False).end_run(one, CANCEL)

    await until(lambda: "cannot kill it" in caplog.text)
    assert one.verdict is None


@pytest.mark.parametrize(("state", "stands"), [("SUCCESS", True), ("FAILURE", False), ("RETRY", False)])
async def test_a_terminated_run_that_has_an_outcome_keeps_a_success_only(children: Children, state, stands):
    one = begun(children)
    cancelling = Cancelling(children.under_way, grace=60)
    cancelling.end_run(one, revocation(terminate=True))
    children.answer(0, run_of(one))
    await until(lambda: children.ended)

    verdict = cancelling.after_outcome(one, Outcome(1, state, None, 0, 0.0))

    assert (verdict is None) == stands
    assert children.killed[-1] == (0, signal.SIGKILL, True), "it gets no more work, so another one takes its place"


def test_what_a_run_comes_to_that_is_ended_by_force():
    assert type(verdict_of(CANCEL).error) is TaskCancelled
    assert verdict_of(CANCEL).error.args == ("why", "amy")
    assert type(verdict_of(revocation(terminate=True)).error) is TaskRevokedError
