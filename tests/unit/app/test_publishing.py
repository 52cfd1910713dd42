from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest

from celeriac import Celery, group
from celeriac.app import publishing
from celeriac.app.publishing import RetryPolicy, read_policy
from celeriac.brokers.base import Conflict
from celeriac.exceptions import BrokerUnavailable
from celeriac.message import Message


class FailingBroker:
    """Fail with each of some errors, once each, and then take messages."""

    def __init__(self, *errors):
        self.errors = list(errors)
        self.published = []

    def publish(self, messages, *, deadline_at):
        if self.errors:
            raise self.errors.pop(0)
        self.published.append(messages)


QUICK = RetryPolicy(interval_start=0.001, interval_step=0.001)
MESSAGES = [Message(task_id="m", queue="q", headers=b"{}", body=b"[]")]
AWAY = [BrokerUnavailable(f"away {number}") for number in range(4)]


def publish(broker: Any, policy: RetryPolicy | None) -> None:
    publishing.publish(broker, MESSAGES, deadline_at=time.monotonic() + 10, policy=policy)


def test_after_an_error_it_is_tried_again():
    broker = FailingBroker(*AWAY[:3])

    publish(broker, QUICK)

    assert broker.published == [MESSAGES]


def test_after_so_many_attempts_the_last_error_is_raised():
    broker = FailingBroker(*AWAY)

    with pytest.raises(BrokerUnavailable, match="away 3"):
        publish(broker, QUICK)


@pytest.mark.parametrize("policy", [None, RetryPolicy(max_retries=0)], ids=["no policy", "no retries"])
def test_without_retries_the_first_error_is_raised(policy):
    broker = FailingBroker(*AWAY)

    with pytest.raises(BrokerUnavailable, match="away 0"):
        publish(broker, policy)


def test_what_the_broker_may_have_is_not_published_twice():
    broker = FailingBroker(BrokerUnavailable("who knows", maybe_published=True))

    with pytest.raises(BrokerUnavailable, match="who knows"):
        publish(broker, QUICK)


def test_other_errors_are_raised_at_once():
    broker = FailingBroker(AWAY[0], OSError("disk"))

    with pytest.raises(OSError, match="disk"):
        publish(broker, QUICK)


def test_which_errors_count_can_be_said():
    broker = FailingBroker(OSError("disk"))

    publish(broker, read_policy({"retry_errors": (OSError,)}, QUICK))

    assert broker.published == [MESSAGES]


def test_the_deadline_ends_it():
    broker = FailingBroker(*AWAY)
    policy = RetryPolicy(max_retries=None, interval_start=60, interval_max=60)

    with pytest.raises(BrokerUnavailable, match="away 0"):
        publish(broker, policy)


def test_waits_grow_to_the_longest():
    policy = RetryPolicy(max_retries=4, interval_start=1, interval_step=2, interval_max=4)

    assert list(policy.waits()) == [1, 3, 4, 4]


def test_a_policy_says_otherwise_only_what_it_names():
    assert read_policy({"max_retries": None, "retry_errors": None}, QUICK) == RetryPolicy(
        max_retries=None, interval_start=0.001, interval_step=0.001
    )
    assert read_policy(None, QUICK) is QUICK


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ({"max_retry": 1}, "a retry_policy has no 'max_retry'; there are max_retries, interval_start"),
        ({"max_retries": -1}, "max_retries of a retry_policy must be a whole number >= 0, or None, got -1"),
        ({"max_retries": 1.5}, "max_retries of a retry_policy must be a whole number"),
        ({"interval_step": "1"}, "interval_step of a retry_policy must be a number >= 0, got '1'"),
        ({"retry_errors": [OSError]}, "retry_errors of a retry_policy must be a tuple of exception classes"),
    ],
)
def test_a_wrong_policy_is_named(said, error):
    with pytest.raises(ValueError, match=r"of a retry_policy|has no") as caught:
        read_policy(said)

    assert error in str(caught.value)


class UnsteadyApp(Celery):
    """Send to a broker that fails."""

    failing = FailingBroker()

    @property
    def write_broker(self) -> Any:
        return self.failing


class TestCalls:
    @pytest.fixture
    def app(self):
        app = UnsteadyApp(set_as_current=False)
        app.failing = FailingBroker(*AWAY[:2])
        return app

    def test_they_are_published_again_by_default(self, app):
        app.send_task("shop.pay")

        assert len(app.failing.published) == 1

    def test_one_may_be_published_once_only(self, app):
        with pytest.raises(BrokerUnavailable, match="away 0"):
            app.send_task("shop.pay", retry=False)

    def test_one_may_have_a_policy_of_its_own(self, app):
        with pytest.raises(BrokerUnavailable, match="away 1"):
            app.send_task("shop.pay", retry_policy={"max_retries": 1})

    def test_a_wrong_policy_is_refused_before_anything_is_published(self, app):
        with pytest.raises(ValueError, match="has no 'tries'"):
            app.send_task("shop.pay", retry_policy={"tries": 1})
        assert len(app.failing.errors) == 2

    def test_its_time_is_the_timeout_of_the_call(self, app):
        app.failing = FailingBroker(*AWAY[:3])

        with pytest.raises(BrokerUnavailable, match="away 2"):
            app.send_task("shop.pay", timeout=0.3, retry_policy={"interval_step": 0.2, "max_retries": 9})


def noting_deadlines(told: list[float]) -> Callable[..., Sequence[Conflict]]:
    def publish(messages: Sequence[Message], *, deadline_at: float) -> Sequence[Conflict]:
        told.append(deadline_at)
        return ()

    return publish


async def turns_past(seconds: float) -> None:
    """Let others run until so much time has passed."""
    await asyncio.sleep(0)
    until = time.monotonic() + seconds
    while time.monotonic() <= until:
        await asyncio.sleep(0)


@pytest.mark.parametrize("kind", ["call", "group"])
async def test_a_call_from_a_loop_whose_threads_are_all_busy_ends_in_its_time(monkeypatch, kind):
    with Celery("shop", broker=f"memory://{uuid4()}", set_as_current=False, task_publish_timeout=0.05) as app:
        add = app.task(name="add")(lambda x: x)
        told: list[float] = []
        monkeypatch.setattr(app.broker, "publish", noting_deadlines(told))
        loop, free = asyncio.get_running_loop(), threading.Event()
        threads = ThreadPoolExecutor(1)
        loop.set_default_executor(threads)
        threads.submit(free.wait, 60)  # as an earlier call for which the broker has no answer

        sending = asyncio.ensure_future(add.adelay(1) if kind == "call" else group(add.s(1), add.s(2)).aapply_async())
        await turns_past(0.05)
        free.set()

        with pytest.raises(BrokerUnavailable, match="threads of the event loop") as raised:
            await sending
        assert (raised.value.maybe_published, told) == (False, [])


async def test_the_time_of_a_call_from_a_loop_counts_from_the_call(monkeypatch):
    with Celery("shop", broker=f"memory://{uuid4()}", set_as_current=False) as app:
        add = app.task(name="add")(lambda x: x)
        told: list[float] = []
        monkeypatch.setattr(app.broker, "publish", noting_deadlines(told))
        loop, free = asyncio.get_running_loop(), threading.Event()
        threads = ThreadPoolExecutor(1)
        loop.set_default_executor(threads)
        threads.submit(free.wait, 60)

        sending = asyncio.ensure_future(add.aapply_async((1,), timeout=300))
        await asyncio.sleep(0)  # it calls
        called_by = time.monotonic()
        await turns_past(0.0)
        free.set()
        await sending

        assert told[0] <= called_by + 300
