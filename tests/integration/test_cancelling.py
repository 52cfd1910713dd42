"""Runs that are under way are cancelled and terminated, on each pool."""

from __future__ import annotations

import pytest

from celeriac.exceptions import TaskCancelled, TaskRevokedError
from tests.integration.project import Project, wait_until

POOLS = ("prefork", "threads", "asyncio", "solo")

TASKS = """
from celeriac import Task
from celeriac.exceptions import TaskCancelled
from celeriac.signals import task_revoked


class Told(Task):
    def on_cancel(self, exc, task_id, args, kwargs, einfo):
        note("on_cancel", exc.reason, exc.by)

    def on_success(self, *args):
        note("on_success")

    def after_return(self, status, *args):
        note("after_return", status)


@task_revoked.connect
def tell(sender=None, request=None, terminated=None, signum=None, expired=None, **_):
    note("task_revoked", sender.name, request.id, terminated, signum, expired)


@app.task(bind=True, base=Told)
def answers(self, how):
    note("began", how)
    try:
        while True:
            time.sleep(0.01)
    except TaskCancelled as exc:
        note("told", exc.reason, exc.by, self.request.is_cancelled)
        if how == "returns":
            return "finished all the same"
        if how == "retries":
            raise self.retry(countdown=0)
        if how == "fails":
            raise ValueError("while cleaning up")
        raise


@app.task
async def waits():
    note("began", "waits")
    try:
        await asyncio.gather(asyncio.sleep(60), asyncio.sleep(60))
    except TaskCancelled:
        await asyncio.sleep(0.01)
        note("told", "waits")
        raise


@app.task(bind=True)
def polls(self):
    note("began", "polls")
    while not self.request.is_cancelled:
        try:
            time.sleep(0.01)
        except TaskCancelled:
            pass


@app.task
def handles(name):
    def handle(number, frame):
        note("handled", number)
        os._exit(3)

    signal.signal(signal.SIGTERM, handle)
    note("began", name)
    while True:
        try:
            time.sleep(0.01)
        except Exception:
            pass
"""


@pytest.fixture
def cancelled(project: Project) -> Project:
    project.use_also(TASKS)
    return project


@pytest.mark.engines("sqlite")
@pytest.mark.parametrize("pool", POOLS)
def test_a_cancel_is_raised_in_the_body(cancelled: Project, pool: str):
    node = cancelled.start("-P", pool, concurrency=1)

    for task, args in (("answers", ("raises",)), ("waits", ()), ("polls", ())):
        result = cancelled.call(task, *args)
        cancelled.wait_begun(*(args or (task,)))
        result.cancel(reason="why", by="amy", grace=20)
        with pytest.raises(TaskCancelled, match="cancelled by amy: why"):
            result.get(timeout=60)
        assert result.state == "REVOKED"

    assert ["told", "why", "amy", "True"] in cancelled.notes
    assert ["told", "waits"] in cancelled.notes
    assert ["on_cancel", "why", "amy"] in cancelled.notes
    assert cancelled.call("echo", 1).get(timeout=60) == 1
    assert node.stop() == 0
    cancelled.assert_clean()


@pytest.mark.parametrize("how", ["returns", "retries", "fails"])
def test_a_run_that_was_told_is_cancelled_whatever_its_body_makes_of_it(cancelled: Project, how: str):
    node = cancelled.start(concurrency=1)
    after = cancelled.app.signature("tasks.noted", ("after",), immutable=True)
    result = cancelled.call("answers", how, link=after)
    cancelled.wait_begun(how)

    result.cancel(grace=20)

    with pytest.raises(TaskCancelled):
        result.get(timeout=60)
    assert cancelled.call("echo", 1).get(timeout=60) == 1
    assert node.stop() == 0
    kinds = [words[0] for words in cancelled.notes]
    assert cancelled.runs() == {how: 1}, "it was tried again, or its callback has run"
    assert kinds.count("on_cancel") == kinds.count("after_return") == kinds.count("task_revoked") == 1
    assert "on_success" not in kinds
    assert ["after_return", "REVOKED"] in cancelled.notes
    assert ["task_revoked", "tasks.answers", result.id, "True", "None", "False"] in cancelled.notes
    cancelled.assert_clean()


@pytest.mark.parametrize(("name", "number"), [("SIGTERM", 15), ("SIGQUIT", 3), ("SIGKILL", 9), ("SIGUSR1", 10)])
def test_terminating_ends_a_run_as_celery_does(cancelled: Project, name: str, number: int):
    node = cancelled.start(concurrency=1)
    result = cancelled.call("gated", "one", "a-gate")
    cancelled.wait_begun("one")

    result.revoke(terminate=True, signal=name)

    with pytest.raises(TaskRevokedError, match="terminated"):
        result.get(timeout=60)
    assert result.state == "REVOKED"
    told = ["task_revoked", "tasks.gated", result.id, "True", str(number), "False"]
    wait_until(lambda: told in cancelled.notes)
    assert cancelled.call("echo", 1).get(timeout=60) == 1
    assert node.stop() == 0
    cancelled.assert_clean()


@pytest.mark.engines("sqlite")
def test_a_handler_of_the_body_gets_the_signal(cancelled: Project):
    cancelled.start(concurrency=1)
    result = cancelled.call("handles", "one")
    cancelled.wait_begun("one")

    result.revoke(terminate=True)

    with pytest.raises(TaskRevokedError, match="terminated"):
        result.get(timeout=60)
    assert ["handled", "15"] in cancelled.notes
