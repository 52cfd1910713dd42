"""Rate limits, of all nodes together and of each, with real workers."""

from __future__ import annotations

import pytest

from tests.integration.project import Project, wait_until

pytestmark = pytest.mark.waits

LATE = 1.0
"""How many seconds after its time a body may begin, on a machine that is busy with other tests."""

LIMITED = """
@app.task(rate_limit="10/s", rate_limit_scope="global")
def limited(number):
    note("start", number, f"{time.time():.4f}")


@app.task(rate_limit=1000, rate_limit_scope="global", acks_late=False)
def quick(number):
    note("start", number, f"{time.time():.4f}")


@app.task(rate_limit="1/h", rate_limit_scope="global")
def hourly(number):
    note("start", number, f"{time.time():.4f}")
"""


def starts(project: Project, *, of: str | None = None) -> list[float]:
    """Return when runs began, in order: all, or those of one node, for tasks that note it."""
    return sorted(float(words[2]) for words in project.notes if words[0] == "start" and of in (None, words[-1]))


def wait_started(project: Project, count: int) -> list[float]:
    wait_until(lambda: len(starts(project)) >= count, what=f"{count} starts\n{project.logs()}")
    return starts(project)


def assert_obeyed(times: list[float], *, per_second: float) -> None:
    """Check that no window has more starts than the rate, the tolerance and the way to a body allow."""
    for first, begin in enumerate(times):
        for last in range(first, len(times)):
            assert last - first + 1 <= 2 + (times[last] - begin + LATE) * per_second, times


def test_two_nodes_obey_one_rate(project: Project):
    project.use_also(LIMITED)
    for number in range(31):
        project.call("limited", number)
    project.start()
    project.start(name="w2")

    times = wait_started(project, 31)

    assert_obeyed(times, per_second=10)
    assert 3.0 - LATE <= times[-1] - times[0] <= 10 * 3.0
    assert len(times) == 31


def test_others_are_not_held_up_by_what_waits_for_its_start(project: Project):
    project.use_also(LIMITED)
    for number in range(500):
        project.call("hourly", number)
    project.start()

    assert [project.call("add", number, 1).get(timeout=60) for number in range(20)] == list(range(1, 21))
    assert len(starts(project)) == 1


def test_what_waits_is_claimed_once_and_then_rests(project: Project):
    project.use_also(LIMITED)
    for number in range(300):
        project.call("hourly", number)
    project.start()
    wait_until(lambda: project.store.delayed() == 299, what=f"299 that wait for their starts\n{project.logs()}")

    before = project.kept()
    project.call("add", 1, 2).get(timeout=60)

    assert project.kept() == before
    assert {one.eta is not None for one in before} == {True}


def test_a_killed_node_loses_no_start(project: Project):
    project.use_also(LIMITED)
    for number in range(20):
        project.call("limited", number)
    node = project.start()
    wait_started(project, 5)
    node.kill()
    project.start(name="w2")

    wait_until(lambda: {words[1] for words in project.notes if words[0] == "start"} == {str(n) for n in range(20)})
    assert_obeyed(starts(project), per_second=10)


def test_runs_that_are_acked_before_wait_for_their_start_first(project: Project):
    project.use_also(LIMITED)
    for number in range(200):
        project.call("quick", number)
    project.start()

    wait_started(project, 200)

    assert project.is_empty()


@pytest.mark.parametrize("off", ["worker_disable_rate_limits=true"])
def test_limits_may_be_switched_off(project: Project, off: str):
    project.use_also(LIMITED)
    for number in range(50):
        project.call("hourly", number)
    project.start(off)

    assert len(wait_started(project, 50)) == 50


LIMITED_HERE = """
@app.task(bind=True, rate_limit="10/s")
def limited(self, number):
    note("start", number, f"{time.time():.4f}", self.request.hostname.partition("@")[0])


@app.task(rate_limit=100, acks_late=False)
def quick(number):
    note("start", number, f"{time.time():.4f}")


@app.task(rate_limit="1/h")
def hourly(number):
    note("start", number, f"{time.time():.4f}")
"""


def test_each_node_has_a_rate_of_its_own(project: Project):
    """Each has a queue of its own, or one may claim what the other could have started meanwhile."""
    project.use_also(LIMITED_HERE)
    for name in ("w1", "w2"):
        project.start("-Q", name, name=name)
    for number in range(62):
        project.call("limited", number, queue=f"w{number % 2 + 1}")

    times = wait_started(project, 62)

    for name in ("w1", "w2"):
        assert_obeyed(starts(project, of=name), per_second=10)
        assert len(starts(project, of=name)) == 31
    with pytest.raises(AssertionError):
        assert_obeyed(times, per_second=10)


def test_nodes_that_share_a_queue_keep_to_their_rates_and_lose_none(project: Project):
    project.use_also(LIMITED_HERE)
    names = [project.start(name=name).name for name in ("w1", "w2")]
    for number in range(40):
        project.call("limited", number)

    wait_until(project.is_empty)

    assert {words[1] for words in project.notes} == {str(number) for number in range(40)}
    assert len(project.notes) == 40
    for name in names:
        assert_obeyed(starts(project, of=name), per_second=10)


def test_what_one_node_may_not_start_yet_holds_up_nothing_and_no_stop(project: Project):
    project.use_also(LIMITED_HERE)
    node = project.start("-l", "INFO", concurrency=1)
    for number in range(300):
        project.call("hourly", number)

    assert [project.call("add", number, 1).get(timeout=60) for number in range(5)] == [1, 2, 3, 4, 5]

    wait_until(lambda: project.held_by(node) == 0)
    assert len(starts(project)) == 1
    assert node.log.count("Task tasks.hourly") == 300 + 1, "received once, and one succeeded"
    assert node.stop() == 0
    assert len(project.kept()) == 299


def test_early_acks_wait_for_their_start_too_and_rates_can_be_disabled(project: Project):
    project.use_also(LIMITED_HERE)
    for number in range(200):
        project.call("quick", number)
    node = project.start()
    times = wait_started(project, 200)
    assert_obeyed(times, per_second=100)
    assert node.stop() == 0

    for number in range(5):
        project.call("hourly", number)
    project.start("worker_disable_rate_limits=true", name="w2")

    wait_started(project, 205)
