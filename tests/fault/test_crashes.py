"""A body that takes its process with it is run three times, and hurts nobody else."""

from __future__ import annotations

import signal

import pytest

from celeriac.exceptions import WorkerLostError
from tests.integration.project import Project, wait_until

pytestmark = [pytest.mark.fault, pytest.mark.waits]

AFTER_ALL_CRASHES = 90.0
"""Three runs, 1 and 4 s between them, and time for a slow machine."""


def test_a_body_that_kills_its_process_runs_three_times_and_is_a_dead_letter_that_answers(project: Project):
    node = project.start()

    result = project.call("die", "poison")

    with pytest.raises(WorkerLostError, match=r"signal 9 \(SIGKILL\) \(peak memory \d+ MiB\); it was run 3 times"):
        result.get(timeout=AFTER_ALL_CRASHES)
    assert project.began("poison") == 3
    (reason,) = project.dead_reasons()
    assert "signal 9 (SIGKILL)" in reason
    assert "peak memory" in reason
    assert node.stop() == 0
    project.assert_clean()


def test_a_body_that_leaves_its_process_is_a_crash_too(project: Project):
    project.start()

    result = project.call("leave", 7)

    with pytest.raises(WorkerLostError, match="exited with status 7"):
        result.get(timeout=AFTER_ALL_CRASHES)
    assert project.began("leave") == 3


def test_a_segmentation_fault_is_told_by_its_name(project: Project):
    project.start("task_max_crashes=1")

    result = project.call("die", "poison", signal.SIGSEGV)

    with pytest.raises(WorkerLostError, match=r"SIGSEGV"):
        result.get(timeout=AFTER_ALL_CRASHES)
    assert project.began("poison") == 1


def test_the_runs_of_a_poison_are_spaced(project: Project):
    project.use_also("@app.task\ndef die_now():\n    note('at', time.monotonic())\n    os.kill(os.getpid(), 9)\n")
    project.start()
    project.call("die_now")

    wait_until(lambda: len(project.notes) == 3, what=f"three runs\n{project.logs()}")

    first, second, third = (float(words[1]) for words in project.notes)
    assert second - first >= 1.0
    assert third - second >= 4.0


def test_the_innocent_run_once_beside_a_poison(project: Project):
    node = project.start()
    calls = [project.call("noted", f"innocent-{number}", 0.001) for number in range(200)]
    poison = project.call("die", "poison")
    calls += [project.call("noted", f"innocent-{number}", 0.001) for number in range(200, 400)]

    for call in calls:
        call.get(timeout=60)
    with pytest.raises(WorkerLostError):
        poison.get(timeout=AFTER_ALL_CRASHES)

    runs = project.runs()
    assert runs.pop("poison") == 3
    assert len(runs) == 400
    assert set(runs.values()) == {1}
    assert len(project.dead_reasons()) == 1
    assert node.stop() == 0


def test_a_crash_after_an_early_ack_is_a_failure_and_not_run_again(project: Project):
    node = project.start()

    result = project.call("die_after_ack")

    with pytest.raises(WorkerLostError, match="SIGKILL"):
        result.get(timeout=60)
    assert project.began("die_after_ack") == 1
    assert project.dead_reasons() == []
    assert node.stop() == 0
    project.assert_clean()


def test_a_replayed_poison_begins_at_no_crashes(project: Project):
    project.start("task_max_crashes=2")
    result = project.call("die", "poison")
    with pytest.raises(WorkerLostError):
        result.get(timeout=AFTER_ALL_CRASHES)
    (letter,) = project.app.broker.dead_letters()

    assert project.app.broker.replay([letter.number]) == [result.id]

    project.wait_begun("poison", times=4)
    with pytest.raises(WorkerLostError):
        result.get(timeout=AFTER_ALL_CRASHES)


def test_crashes_are_counted_over_the_nodes_that_ran_it(project: Project):
    """What kills a whole node counts apart, and does not make a third crash of a second one."""
    node = project.start("--stop-grace", "0.2")
    poison = project.call("die", "poison")
    project.wait_begun("poison")
    node.wait_for_log("SIGKILL")
    node.stop()

    project.start(name="w2")

    with pytest.raises(WorkerLostError, match="it was run 3 times"):
        poison.get(timeout=AFTER_ALL_CRASHES)
    assert project.began("poison") == 3


def test_a_body_that_takes_every_child_down_again_and_again_leaves_room_for_others(project: Project):
    node = project.start()
    poisons = [project.call("die", f"poison-{number}") for number in range(6)]
    calls = [project.call("add", number, 1) for number in range(50)]

    assert [call.get(timeout=60) for call in calls] == list(range(1, 51))
    for poison in poisons:
        with pytest.raises(WorkerLostError):
            poison.get(timeout=AFTER_ALL_CRASHES)
    assert set(project.runs().values()) == {3}
    assert node.stop() == 0
    project.assert_clean()
