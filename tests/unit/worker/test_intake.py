from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC
from typing import Any
from uuid import uuid4

import msgspec

from celeriac import Celery
from celeriac.app.signals import task_received
from celeriac.brokers.base import Claim, Consumer, Incarnation, ResultSink, Settlement
from celeriac.brokers.revocations import Revocation
from celeriac.exceptions import BrokerUnavailable
from celeriac.worker import intake
from celeriac.worker.admission import Admission
from celeriac.worker.announcing import Announcer
from celeriac.worker.consuming import Consuming
from celeriac.worker.counting import Counting
from celeriac.worker.decide import Policy
from celeriac.worker.dispatch import Adaptive, Durations
from celeriac.worker.dropping import Dropper
from celeriac.worker.errbacks import Errbacks
from celeriac.worker.held import Held, Holdings
from celeriac.worker.intake import Intake
from celeriac.worker.limits import Limits
from celeriac.worker.message_signals import MessageSignals
from celeriac.worker.node_events import NodeEvents
from celeriac.worker.node_rates import NodeRates
from celeriac.worker.revoked import Revoked
from celeriac.worker.revoked_signal import RevokedSignal
from celeriac.worker.revoking import Revoking
from celeriac.worker.settler import Settler
from celeriac.worker.time_limits import TimeLimits
from tests.unit.worker.crew import Children, started, until


class NothingToSee:
    """Be a node that holds nothing."""

    def held(self) -> list[Held]:
        return []

    def running_now(self) -> list[Held]:
        return []

    def totals(self) -> dict[str, int]:
        return {}


class Node:
    """Be what is around the intake of a node: an app in memory, and children that a test plays."""

    def __init__(self, app: Celery, children: Children) -> None:
        self.slots = children.slots
        self.consumer = app.broker.consumer(Incarnation.begin("w1@here"))
        self.holdings = Holdings()
        form = app.conf.record_form
        self.settler = settler = Settler(
            self.consumer, app.broker, None, self.holdings, on_settled=lambda: None, done_at=str, form=form
        )
        signal = RevokedSignal(app, "w1@here", Announcer())
        counting = Counting(app, form=form)
        dropper = Dropper(app, settler, signal, counting, done_at=str, form=form)
        revoking = Revoking(
            Revoked(app.broker), self.holdings, self.slots, dropper, end_run=lambda held, revocation: None
        )
        limits = Limits(app.tasks, rates_obeyed=True)
        signals = MessageSignals(app, "w1@here", None, Announcer())
        admission = Admission(
            self.consumer,
            app.tasks,
            slots=self.slots,
            settler=settler,
            holdings=self.holdings,
            backend=None,
            shared_limits=limits,
            node_rates=NodeRates(app.tasks, rates_obeyed=True),
            revoking=revoking,
            signals=signals,
            now=time.time,
        )
        self.intake = Intake(
            self.consumer,
            Consuming(("celery",)),
            app.tasks,
            admission=admission,
            slots=self.slots,
            settler=settler,
            holdings=self.holdings,
            strategy=Adaptive(),
            durations=Durations(),
            policy=Policy(max_crashes=3, max_node_losses=10, unknown_release_for=60.0),
            limits=app.conf.limits,
            zone=UTC,
            limit=None,
            done_at=str,
            accept=app.conf.accept,
            form=form,
            lease_lost=lambda: None,
            errbacks=Errbacks(app),
            counting=counting,
            shared_limits=limits,
            time_limits=TimeLimits(app.tasks, hard=None, soft=None),
            dropper=dropper,
            revoked=revoking.revoked,
            signals=signals,
            events=NodeEvents(app, "w1@here", NothingToSee(), freq=None, of_tasks=False),
        )


async def test_what_was_claimed_under_a_lease_that_is_lost_meanwhile_does_not_begin(children: Children, monkeypatch):
    with Celery("shop", broker=f"memory://{uuid4()}", set_as_current=False) as app:
        task = app.task(name="t")(lambda: None)
        node = Node(app, children)
        await started(children, 1)
        await node.consumer.open()
        asked, answer = threading.Event(), threading.Event()
        told = app.broker.revocations

        def slow(since: int) -> object:
            asked.set()
            answer.wait(60)
            return told(since)

        monkeypatch.setattr(app.broker, "revocations", slow)
        # So that the store must be asked before anything begins.
        another = Revocation(task_id="another", at=0.0, expires_at=1e12)
        app.broker.revoke([another], deadline_at=time.monotonic() + 5)
        task.delay()
        turn = asyncio.create_task(node.intake._turn())
        await until(asked.is_set)

        await node.consumer.open()  # as a new owner: what was claimed belongs to others now
        answer.set()
        await turn

        assert (children.slots.running, len(node.slots.waiting), len(node.holdings)) == (0, 0, 0)


async def test_a_message_begins_after_receivers_have_been_told_of_it(children: Children, monkeypatch):
    monkeypatch.setattr("celeriac.worker.message_signals.TOLD_WITHIN", 60.0)
    with Celery("shop", broker=f"memory://{uuid4()}", set_as_current=False) as app:
        task = app.task(name="t")(lambda: None)
        node = Node(app, children)
        await started(children, 1)
        await node.consumer.open()
        asked, answer = threading.Event(), threading.Event()

        @task_received.connect
        def receive(**_: object) -> None:
            asked.set()
            answer.wait(60)

        try:
            node.intake.start()
            assert node.intake.room() == (("celery",), 1)
            task.delay()
            await until(asked.is_set)
            begun_before, room = children.slots.running, node.intake.room()
            answer.set()
            await until(lambda: children.slots.running == 1)
            await node.intake.stop()
        finally:
            task_received.disconnect(receive)

        assert begun_before == 0
        assert room == ((), 0), "no settlement claims anything for the same slot"


async def claimed_by(node: Node) -> Claim:
    """Claim the one message that there is, as a settlement does that claims what it has published."""
    return await node.consumer.claim(("celery",), limit=1, wait=0)


async def test_what_a_settlement_has_claimed_begins_at_once(children: Children):
    with Celery("shop", broker=f"memory://{uuid4()}", set_as_current=False) as app:
        task = app.task(name="t")(lambda: None)
        node = Node(app, children)
        await started(children, 1)
        await node.consumer.open()
        task.delay()
        claim = await claimed_by(node)
        assert node.intake.room() == ((), 0)
        node.intake.start()
        assert node.intake.room() == (("celery",), 1)

        node.intake.take(claim)

        assert (children.slots.running, len(node.holdings)) == (1, 1)
        assert node.intake.room()[1] == 0
        await node.intake.stop()


async def test_what_a_settlement_claims_while_the_node_stops_goes_back(children: Children):
    with Celery("shop", broker=f"memory://{uuid4()}", set_as_current=False) as app:
        task = app.task(name="t")(lambda: None)
        node = Node(app, children)
        await started(children, 1)
        await node.consumer.open()
        result = task.delay()
        claim = await claimed_by(node)
        node.intake.start()
        await node.intake.stop()
        assert node.intake.room() == ((), 0)
        node.settler.start()

        node.intake.take(claim)

        assert children.slots.running == 0
        await until(lambda: len(node.holdings) == 0)
        assert [delivery.message.task_id for delivery in (await claimed_by(node)).deliveries] == [result.id]
        await node.settler.stop(5)


async def test_what_was_revoked_before_it_was_published_does_not_begin(children: Children):
    with Celery("shop", broker=f"memory://{uuid4()}", set_as_current=False) as app:
        task = app.task(name="t")(lambda: None)
        node = Node(app, children)
        await started(children, 1)
        await node.consumer.open()
        revoked = Revocation(task_id="unwanted", at=0.0, expires_at=1e12)
        app.broker.revoke([revoked], deadline_at=time.monotonic() + 5)
        task.apply_async(task_id="unwanted")
        claim = await claimed_by(node)
        node.intake.start()
        node.settler.start()

        node.intake.take(claim)

        await until(lambda: len(node.holdings) == 0)
        assert children.slots.running == 0
        assert (await claimed_by(node)).deliveries == []
        await node.intake.stop()
        await node.settler.stop(5)


async def test_what_has_to_be_asked_about_is_not_taken_from_a_settlement(children: Children):
    with Celery("shop", broker=f"memory://{uuid4()}", set_as_current=False) as app:
        plain = app.task(name="plain")(lambda: None)
        early = app.task(name="early", acks_late=False)(lambda: None)
        limited = app.task(name="limited", rate_limit="1/h")(lambda: None)
        app.finalize()
        node = Node(app, children)
        messages = [app.builder.build(task, (), {}) for task in (plain, early, limited, "unknown")]
        messages.append(msgspec.structs.replace(messages[0], headers=b"[]"))

        assert [node.intake.accepts(message) for message in messages] == [True, False, False, False, False]


class LosingAnswers:
    """Lose the answers to the first settlements; what is repeated is accepted, as Redis does it."""

    def __init__(self, consumer: Consumer, times: int) -> None:
        self.asked = 0
        self._consumer = consumer
        self._times = times

    def __getattr__(self, name: str) -> Any:
        return getattr(self._consumer, name)

    async def settle(self, settlements: Sequence[Settlement], results: ResultSink | None) -> list[Settlement]:
        self.asked += 1
        refused = await self._consumer.settle(settlements, results)
        if self.asked <= self._times:
            raise BrokerUnavailable("the answer was lost", maybe_published=True)
        return refused if self.asked == 1 else []


@asynccontextmanager
async def acking_before_a_run(children: Children, *, answers_lost: int) -> AsyncIterator[tuple[Node, LosingAnswers]]:
    """Give a node that has begun to ack a message before it runs, and what loses so many answers to that."""
    with Celery("shop", broker=f"memory://{uuid4()}", set_as_current=False) as app:
        task = app.task(name="t", acks_late=False)(lambda: None)
        node = Node(app, children)
        losing: Any = LosingAnswers(node.consumer, times=answers_lost)
        node.intake._admission._consumer = losing
        await started(children, 1)
        await node.consumer.open()
        task.delay()
        node.intake.start()
        yield node, losing


async def test_what_was_acked_before_its_run_begins_although_the_answer_was_lost(children: Children):
    async with acking_before_a_run(children, answers_lost=2) as (node, losing):
        await until(lambda: children.slots.running == 1)

        assert losing.asked == 3
        await node.intake.stop()


async def test_a_node_stops_although_nobody_answers_to_an_ack_before_a_run(children: Children):
    async with acking_before_a_run(children, answers_lost=1_000_000) as (node, losing):
        await until(lambda: losing.asked > 1)

        async with asyncio.timeout(60):
            await node.intake.stop()

        assert (children.slots.running, len(node.holdings)) == (0, 0)


async def test_an_intake_that_waits_for_the_store_before_runs_begin_is_not_taken_for_one_that_hangs(
    children: Children, monkeypatch
):
    monkeypatch.setattr(intake, "CLAIM_WAIT", 0.01)
    async with acking_before_a_run(children, answers_lost=1_000_000) as (node, losing):
        await until(lambda: losing.asked > 0)

        before = node.intake.completed_at
        await until(lambda: node.intake.completed_at > before)

        assert children.slots.running == 0
        await node.intake.stop()
