"""Soft and hard limits as a user sees them, on each pool."""

from __future__ import annotations

from functools import partial

import pytest

from celeriac.exceptions import SoftTimeLimitExceeded, TimeLimitExceeded, WorkerLostError
from tests.integration.project import Project, wait_until

POOLS = ("prefork", "threads", "asyncio", "solo")

TASKS = """
from celeriac import Task
from celeriac.exceptions import SoftTimeLimitExceeded
from celeriac.signals import task_failure


@app.task(soft_time_limit=0.2)
def tidy():
    try:
        for _ in range(6000):
            time.sleep(0.01)
    except SoftTimeLimitExceeded:
        return "tidied up"


@app.task(soft_time_limit=0.2)
async def tidy_awaiting():
    try:
        await asyncio.sleep(60)
    except SoftTimeLimitExceeded:
        await asyncio.sleep(0)
        return "tidied up"


@app.task
def work(seconds=60.0):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(0.01)
    return "worked"


@app.task(autoretry_for=(SoftTimeLimitExceeded,), soft_time_limit=0.2, max_retries=1, default_retry_delay=0)
def again():
    note("began", "again")
    work.run()


class Told(Task):
    def on_failure(self, exc, task_id, args, kwargs, einfo):
        note("on_failure", task_id, type(exc).__name__, *args)

    def after_return(self, status, retval, task_id, args, kwargs, einfo):
        note("after_return", task_id, status)


@task_failure.connect
def tell(sender=None, task_id=None, exception=None, **_):
    note("task_failure", task_id, type(exception).__name__)


@app.task
def errback(request, exc, traceback):
    note("errback", request.id, type(exc).__name__)


@app.task(base=Told)
def hang(name):
    while True:
        try:
            time.sleep(0.01)
        except Exception:
            pass


@app.task(base=Told, reject_on_worker_lost=False)
def lost(name):
    os.kill(os.getpid(), signal.SIGKILL)


@app.task(acks_on_timeout=False)
def kept():
    work.run()


@app.task(acks_late=False)
def early():
    work.run()
"""


@pytest.fixture
def limited(project: Project) -> Project:
    project.use_also(TASKS)
    return project


@pytest.mark.engines("sqlite")
@pytest.mark.parametrize("pool", POOLS)
def test_a_soft_limit_is_raised_in_the_body_which_may_return_something_else(limited: Project, pool: str):
    node = limited.start("-P", pool, "--soft-time-limit", "0.3", concurrency=1)

    assert limited.call("tidy").get(timeout=60) == "tidied up"
    assert limited.call("tidy_awaiting").get(timeout=60) == "tidied up"
    with pytest.raises(SoftTimeLimitExceeded) as caught:
        limited.call("work").get(timeout=60)  # by the flag
    assert caught.value.args == ()
    assert limited.call("work", 0.5, soft_time_limit=5).get(timeout=60) == "worked"
    assert "Soft time limit (0.2s) exceeded for tasks.tidy[" in node.log
    assert (f"in the pool '{pool}'" in node.log) == (pool in ("threads", "asyncio"))
    assert node.stop() == 0
    limited.assert_clean()


@pytest.mark.engines("sqlite")
def test_a_soft_limit_may_be_retried_and_each_attempt_has_its_own(limited: Project):
    limited.start(concurrency=1)

    with pytest.raises(SoftTimeLimitExceeded):
        limited.call("again").get(timeout=60)

    assert limited.began("again") == 2


@pytest.mark.engines("sqlite")
def test_limits_of_the_node_hold_where_nothing_else_is_said(limited: Project):
    node = limited.start("task_time_limit=0.3", concurrency=1)

    with pytest.raises(TimeLimitExceeded) as caught:
        limited.call("work").get(timeout=60)
    assert caught.value.args == (0.3,)
    assert limited.call("work", 0.6, time_limit=5).get(timeout=60) == "worked"
    assert "Hard time limit (0.3s) exceeded for tasks.work[" in node.log


@pytest.mark.engines("sqlite")
def test_solo_raises_the_hard_limit_in_the_body(limited: Project):
    node = limited.start("-P", "solo", "task_time_limit=0.3", concurrency=1)

    with pytest.raises(TimeLimitExceeded):
        limited.call("work").get(timeout=60)
    assert limited.call("echo", 1).get(timeout=60) == 1
    assert "the pool 'solo' cannot kill a run" in node.log


def test_hooks_errbacks_and_signals_are_called_once_about_killed_and_lost_runs(limited: Project):
    limited.start(concurrency=1)
    errback = limited.app.signature("tasks.errback")

    hung = limited.call("hang", "a", time_limit=0.3, link_error=errback)
    with pytest.raises(TimeLimitExceeded):
        hung.get(timeout=60)
    lost = limited.call("lost", "b", link_error=errback)
    with pytest.raises(WorkerLostError):
        lost.get(timeout=60)

    for result, error, name in ((hung, "TimeLimitExceeded", "a"), (lost, "WorkerLostError", "b")):
        wait_until(partial(is_noted, limited, ["after_return", result.id, "FAILURE"]))
        told = [words for words in limited.notes if result.id in words]
        assert told == [
            ["errback", result.id, error],
            ["on_failure", result.id, error, name],
            ["task_failure", result.id, error],
            ["after_return", result.id, "FAILURE"],
        ]


def is_noted(project: Project, words: list[str]) -> bool:
    return words in project.notes


def test_a_message_may_be_kept_as_a_dead_letter_and_one_acked_early_fails(limited: Project):
    node = limited.start(concurrency=1)

    for name in ("kept", "early"):
        with pytest.raises(TimeLimitExceeded):
            limited.call(name, time_limit=0.3).get(timeout=60)

    assert node.stop() == 0
    assert limited.dead_reasons() == ["TimeLimitExceeded: TimeLimitExceeded(0.3,)"]
