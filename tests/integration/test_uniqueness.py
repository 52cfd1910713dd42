"""Unique tasks with real workers: one run at a time, whatever becomes of it."""

from __future__ import annotations

import time

import pytest

from celeriac.app.result import AsyncResult
from celeriac.exceptions import TaskRevokedError, UniqueConflict
from tests.integration.project import Project, wait_until

UNIQUE = {"unique_for": 600}

ENDINGS = """
@app.task(unique_for=600, max_retries=2)
def ends(name, how, gate):
    note("began", name)
    wait_at(gate)
    if how == "raise":
        raise ValueError(name)
    if how == "reject":
        from celeriac.exceptions import Reject
        raise Reject("no")
    return name


@app.task(unique_for=600, bind=True, max_retries=2)
def tries(self, name, gate):
    note("began", name)
    if self.request.retries < 2:
        raise self.retry(countdown=0.1)
    wait_at(gate)
    return name


@app.task(unique_for=600, acks_late=False)
def acked_early(name, gate):
    note("began", name)
    wait_at(gate)
    return name
"""


def call(project: Project, task: str, *args: object, **options: object) -> AsyncResult:
    """Call as the module of the project would, with its defaults for unique tasks."""
    return project.call(task, *args, **UNIQUE, **options)


def free_again(project: Project, task: str, *args: object) -> str:
    """Wait until a call is published, and return its id."""
    holder = call(project, task, *args).id

    def published() -> str | None:
        found = call(project, task, *args).id
        return found if found != holder else None

    return str(wait_until(published, what=f"the key of {task}{args}\n{project.logs()}"))


def test_calls_while_one_waits_and_runs_come_to_that_run(project: Project):
    first = call(project, "gated", "one", "gate")
    while_it_waits = call(project, "gated", "one", "gate")
    project.start()
    project.wait_begun("one")
    while_it_runs = call(project, "gated", "one", "gate")
    with pytest.raises(UniqueConflict) as caught:
        call(project, "gated", "one", "gate", on_conflict="raise")
    project.open_gate("gate")
    value = first.get(timeout=60)

    after = call(project, "gated", "one", "gate")

    assert while_it_waits.id == while_it_runs.id == caught.value.task_id == first.id
    assert while_it_runs.get(timeout=60) == value
    assert after.id != first.id
    assert after.get(timeout=60)
    assert project.began("one") == 2


@pytest.mark.parametrize("how", ["return", "raise", "reject"])
def test_the_key_is_free_however_the_run_ends(project: Project, how: str):
    project.use_also(ENDINGS)
    project.start()
    first = call(project, "ends", "one", how, "gate")
    project.open_gate("gate")
    wait_until(lambda: first.ready())

    assert call(project, "ends", "one", how, "gate").id != first.id


def test_the_key_is_kept_over_retries(project: Project):
    project.use_also(ENDINGS)
    project.start()
    first = call(project, "tries", "one", "gate")

    project.wait_begun("one", times=3)
    during = call(project, "tries", "one", "gate")
    project.open_gate("gate")

    assert during.id == first.id
    assert first.get(timeout=60) == "one"
    assert call(project, "tries", "one", "gate").id != first.id


def test_a_run_that_was_acked_before_keeps_its_key_to_its_end(project: Project):
    project.use_also(ENDINGS)
    project.start()
    first = call(project, "acked_early", "one", "gate")
    project.wait_begun("one")

    during = call(project, "acked_early", "one", "gate")
    project.open_gate("gate")

    assert during.id == first.id
    assert first.get(timeout=60) == "one"
    assert free_again(project, "acked_early", "one", "gate") != first.id


def test_a_node_that_is_killed_leaves_the_key_with_its_run(project: Project):
    node = project.start()
    first = call(project, "gated", "one", "gate")
    project.wait_begun("one")

    node.kill()
    while_nobody_runs_it = call(project, "gated", "one", "gate")
    project.start(name="w2")
    project.wait_begun("one", times=2)
    while_another_runs_it = call(project, "gated", "one", "gate")
    project.open_gate("gate")

    assert while_nobody_runs_it.id == while_another_runs_it.id == first.id
    assert first.get(timeout=60)
    assert call(project, "gated", "one", "gate").id != first.id


def test_a_child_that_dies_gives_the_key_back_with_its_dead_letter(project: Project):
    project.start("task_max_crashes=1")
    first = call(project, "die", "one")
    wait_until(lambda: first.ready())

    assert call(project, "die", "one").id != first.id


def test_a_run_that_was_replaced_does_not_begin(project: Project):
    first = call(project, "gated", "one", "gate")
    second = call(project, "gated", "one", "gate", on_conflict="replace")
    project.open_gate("gate")
    project.start()

    assert second.get(timeout=60)
    with pytest.raises(TaskRevokedError, match="replaced"):
        first.get(timeout=60)
    assert project.began("one") == 1
    assert call(project, "gated", "one", "gate").id not in (first.id, second.id)


def test_a_run_that_is_replaced_after_its_begin_goes_on(project: Project):
    project.start()
    first = call(project, "gated", "one", "gate")
    project.wait_begun("one")

    second = call(project, "gated", "one", "gate", on_conflict="replace")
    project.wait_begun("one", times=2)
    third = call(project, "gated", "one", "gate")
    project.open_gate("gate")

    assert first.get(timeout=60)
    assert second.get(timeout=60)
    assert third.id == second.id


def test_the_key_ends_by_itself(project: Project):
    project.call("add", 0, 0)  # the first call opens the store
    first = project.call("add", 1, 2, unique_for=3)

    assert project.call("add", 1, 2, unique_for=3).id == first.id
    time.sleep(3.1)
    assert project.call("add", 1, 2, unique_for=3).id != first.id
