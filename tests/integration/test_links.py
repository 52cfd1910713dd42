"""What follows a run: callbacks after success, errbacks after failure, each once."""

from __future__ import annotations

import pytest

from celeriac import signature
from celeriac.exceptions import EncodeError
from tests.integration.project import Project, wait_until

ERRBACKS = """
@app.task
def undo(task_id):
    note("undo", task_id)


@app.task
def report(request, exc, traceback):
    note("report", request.id, request.task, repr(exc), "in fail" in traceback)


@app.task
async def slow_report(request, exc, traceback):
    await asyncio.sleep(0)
    note("slow_report", request.id)


@app.task
def broken_report(request, exc, traceback):
    raise RuntimeError("in the errback")


@app.task
def a_set():
    return {object()}
"""


def task(name: str, *args, **options):
    return signature(f"tasks.{name}", args, options=options)


def test_a_callback_gets_the_result_and_may_have_one_of_its_own(project: Project):
    node = project.start()
    then = task("add", 10, task_id="second", link=task("add", 100, task_id="third"))

    project.call("add", 2, 3, task_id="first", link=then)

    assert project.app.AsyncResult("third").get(timeout=60) == 115
    second = project.store.results()["second"]
    assert (second["result"], second["parent_id"]) == (15, "first")
    assert node.stop() == 0
    project.assert_clean()


def test_several_callbacks_run_once_each(project: Project):
    project.start()

    result = project.call("echo", 1, link=[task("add", number, task_id=f"then-{number}") for number in range(5)])

    assert [project.app.AsyncResult(f"then-{number}").get(timeout=60) for number in range(5)] == [1, 2, 3, 4, 5]
    children = project.store.results()[result.id]["children"]
    assert {task_id for ((task_id, _), _) in children} == {f"then-{number}" for number in range(5)}


def test_a_run_that_is_tried_again_is_followed_when_it_succeeds(project: Project):
    project.start()

    project.call("flaky", 2, link=task("add", 10, task_id="then"), link_error=task("noted", "undone"))

    assert project.app.AsyncResult("then").get(timeout=60) == 12
    assert project.began("undone") == 0


def test_a_run_whose_process_dies_is_followed_once_by_the_one_that_takes_its_place(project: Project):
    project.use_also(
        "@app.task(bind=True)\n"
        "def dies_once(self):\n"
        "    return self.request.delivery_info['redelivered'] or os.kill(os.getpid(), 9)\n"
    )
    project.start()

    project.call("dies_once", link=signature("tasks.noted", ("then",), immutable=True, task_id="then"))

    project.app.AsyncResult("then").get(timeout=60)
    assert project.began("then") == 1


def test_errbacks_of_both_styles_are_told_of_a_failure(project: Project):
    project.use_also(ERRBACKS)
    project.start()

    errbacks = [task(name) for name in ("undo", "broken_report", "report", "slow_report")]
    result = project.call("fail", "boom", link=task("noted", "never"), link_error=errbacks)

    with pytest.raises(ValueError, match="boom"):
        result.get(timeout=60)
    notes = wait_until(lambda: len(project.notes) == 3 and project.notes, what="three notes")
    assert sorted(words[:2] for words in notes) == [[name, result.id] for name in ("report", "slow_report", "undo")]
    assert ["report", result.id, "tasks.fail", "ValueError('boom')", "True"] in notes
    assert "Errback 'tasks.broken_report'" in project.logs()


def test_a_result_that_a_callback_cannot_get_fails_the_run(project: Project):
    project.use_also(ERRBACKS)
    project.start()

    result = project.call("a_set", ignore_result=False, link=task("echo"), link_error=task("undo"))

    with pytest.raises(EncodeError, match=r"task 'tasks\.echo'.* cannot be sent"):
        result.get(timeout=60)
    wait_until(lambda: project.notes == [["undo", result.id]], what="the errback")
