"""Concurrency limits over all nodes, with real workers."""

from __future__ import annotations

import time

import pytest

from celeriac.app.result import AsyncResult
from tests.integration.project import Project, wait_until

pytestmark = pytest.mark.waits

LIMITED = """
@app.task(concurrency_limit=2)
def pair(name, seconds=0.05):
    note("in", name)
    time.sleep(seconds)
    note("out", name)
    return name


@app.task(concurrency_limit=1, concurrency_key="{shop}")
def stock(shop, name, gate=None):
    note("in", name)
    if gate:
        wait_at(gate)
    note("out", name)
    return name


@app.task(concurrency_limit=1, bind=True, max_retries=5)
def tries(self, name):
    note("in", name)
    note("out", name)
    if self.request.retries < 2:
        raise self.retry(countdown=0.05)
    return name


@app.task(concurrency_limit=1)
def ends(how):
    note("in", how)
    note("out", how)
    if how == "raise":
        raise ValueError(how)
    if how == "die":
        os.kill(os.getpid(), 9)
    return how
"""


def stock(project: Project, *args: object, **options: object) -> AsyncResult:
    """Call as a program that knows the task: its key goes with the message."""
    return project.call("stock", *args, concurrency_key="{0}", **options)


def most_at_once(project: Project) -> int:
    """Return how many runs were inside at the same time, at most."""
    inside = most = 0
    for words in project.notes:
        inside += {"in": 1, "out": -1}.get(words[0], 0)
        most = max(most, inside)
    return most


def began(project: Project) -> list[str]:
    return [words[1] for words in project.notes if words[0] == "in"]


def test_two_nodes_keep_within_one_limit(project: Project):
    project.use_also(LIMITED)
    calls = [project.call("pair", str(number)) for number in range(30)]
    project.start(concurrency=3)
    project.start(name="w2", concurrency=3)

    assert [call.get(timeout=60) for call in calls] == [str(number) for number in range(30)]
    assert most_at_once(project) == 2
    assert sorted(began(project)) == sorted(str(number) for number in range(30))


def test_each_key_has_a_limit_of_its_own_and_nobody_else_is_held_up(project: Project):
    project.use_also(LIMITED)
    project.start(concurrency=3)
    first = stock(project, "north", "n1", "gate")
    second = stock(project, "north", "n2")
    wait_until(lambda: began(project) == ["n1"])

    assert stock(project, "south", "s1").get(timeout=60) == "s1"
    assert project.call("add", 1, 2).get(timeout=60) == 3
    assert began(project) == ["n1", "s1"]
    project.open_gate("gate")

    assert first.get(timeout=60) == "n1"
    assert second.get(timeout=60) == "n2"


def test_a_killed_node_leaves_its_place(project: Project):
    project.use_also(LIMITED)
    node = project.start()
    first = stock(project, "north", "n1", "gate")
    wait_until(lambda: began(project) == ["n1"])
    second = stock(project, "north", "n2")
    wait_until(lambda: project.store.delayed() == 1, what=f"one put aside\n{project.logs()}")

    node.kill()
    project.start(name="w2")
    project.open_gate("gate")

    assert {first.get(timeout=60), second.get(timeout=60)} == {"n1", "n2"}


def test_retries_leave_and_enter_again(project: Project):
    project.use_also(LIMITED)
    project.start(concurrency=3)
    calls = [project.call("tries", str(number)) for number in range(4)]

    assert [call.get(timeout=60) for call in calls] == ["0", "1", "2", "3"]
    assert most_at_once(project) == 1
    assert len(began(project)) == 12


def test_the_place_is_left_however_a_run_ends(project: Project):
    project.use_also(LIMITED)
    project.start("task_max_crashes=1")
    calls = [project.call("ends", how) for how in ("raise", "die", "return", "die", "raise", "return")]

    wait_until(lambda: all(call.ready() for call in calls), what=f"the end of all\n{project.logs()}")

    assert [call.state for call in calls] == ["FAILURE", "FAILURE", "SUCCESS", "FAILURE", "FAILURE", "SUCCESS"]
    wait_until(project.is_empty)


def test_what_expires_while_it_waits_lets_the_next_one_in(project: Project):
    project.use_also(LIMITED)
    project.start()
    first = stock(project, "north", "n1", "gate")
    wait_until(lambda: began(project) == ["n1"])
    expires_at = time.time() + 1.0
    late = stock(project, "north", "n2", expires=1.0)
    third = stock(project, "north", "n3")
    wait_until(lambda: project.store.delayed() == 2, what=f"two put aside\n{project.logs()}")
    wait_until(lambda: time.time() > expires_at)
    project.open_gate("gate")

    assert first.get(timeout=60) == "n1"
    assert third.get(timeout=60) == "n3"
    assert late.state == "REVOKED"
