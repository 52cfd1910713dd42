"""`--burst`: a node that ends with its work."""

from __future__ import annotations

import pytest

from tests.integration.project import Project

FOLLOWING = """
@app.task(bind=True)
def countdown_of(self, number):
    note("began", f"n{number}")
    if number:
        self.delay(number - 1)
    return number


@app.task(bind=True, max_retries=1)
def once_more(self, delay):
    if not self.request.retries:
        raise self.retry(countdown=delay)
    return self.request.retries
"""


def test_a_burst_ends_after_all_that_was_waiting_and_all_that_followed_from_it(project: Project):
    project.use_also(FOLLOWING)
    for number in (3, 12, 0, 7):
        project.call("countdown_of", number)
    retried = project.call("once_more", 0)
    later = project.call("add", 1, 2, countdown=3600)

    node = project.start("--burst", ready=False)
    code = node.wait_exit()

    assert code == 0
    assert sum(project.runs().values()) == 3 + 12 + 0 + 7 + 4
    assert retried.get(timeout=60) == 1
    assert later.state == "PENDING"
    assert "burst: the queues are empty but for 1 message to run later; stopping" in node.log
    assert [kept.task_id for kept in project.kept()] == [later.id]


def test_a_burst_waits_for_what_runs(project: Project):
    project.call("gated", "long", "gate")

    node = project.start("--burst", ready=False)
    project.wait_begun("long")
    project.call("noted", "published while it ran")
    project.open_gate("gate")

    assert node.wait_exit() == 0
    assert project.runs() == {"long": 1, "published": 1}
    project.assert_clean()


def test_a_burst_in_the_foreground_ends_too(project: Project):
    results = [project.call("add", number, 1) for number in range(20)]

    node = project.start("--burst", "-P", "solo", ready=False)

    assert node.wait_exit() == 0
    assert [result.get(timeout=60) for result in results] == list(range(1, 21))
    project.assert_clean()


def test_a_burst_on_empty_queues_ends_at_once(project: Project):
    node = project.start("--burst", ready=False)

    assert node.wait_exit() == 0
    assert "burst: the queues are empty; stopping" in node.log


def test_two_bursts_leave_nothing_between_them(project: Project):
    project.use_also(FOLLOWING)
    for number in range(40):
        project.call("countdown_of", number % 7)

    nodes = [project.start("--burst", name=name, ready=False) for name in ("w1", "w2")]

    assert [node.wait_exit() for node in nodes] == [0, 0]
    assert sum(project.runs().values()) == sum(number % 7 + 1 for number in range(40))
    project.assert_clean()


@pytest.mark.engines("sqlite")
def test_a_burst_waits_for_the_hooks_of_a_run_that_was_killed(project: Project):
    project.use_also("""
from celeriac.signals import worker_process_init


class Told(app.Task):
    def on_failure(self, exc, task_id, args, kwargs, einfo):
        note("on_failure", type(exc).__name__)


@app.task(base=Told, time_limit=0.2)
def endless():
    while True:
        time.sleep(1)


@worker_process_init.connect
def be_slow(**provided):
    if (HERE / "notes").exists():
        time.sleep(0.5)  # longer than a claim waits


@app.task
def noted_first():
    note("began", "first")
""")
    project.call("noted_first")
    project.call("endless")

    node = project.start("--burst", ready=False, concurrency=1)

    assert node.wait_exit() == 0
    assert ["on_failure", "TimeLimitExceeded"] in project.notes
