"""What dies with a process comes back: soon, once, and only to one owner."""

from __future__ import annotations

import os
import signal
import time

import pytest

from celeriac.exceptions import WorkerLostError
from tests.integration.project import Project, wait_until
from tests.size import late_after

pytestmark = [pytest.mark.fault, pytest.mark.waits]

CHILD_BACK_WITHIN = late_after(1.0)
NODE_BACK_WITHIN = 3 * 15.0


def losses(project: Project) -> list[int]:
    """Return how many nodes have died with each message."""
    return sorted(kept.node_losses for kept in project.kept())


def child_running(project: Project, name: str, *, run: int = 1) -> int:
    """Return the pid of the child that has begun a gated run."""
    project.wait_begun(name, times=run)
    return [int(words[2]) for words in project.notes if words[:2] == ["began", name]][run - 1]


def test_a_killed_childs_work_is_back_at_once_and_counted(project: Project):
    project.start()
    result = project.call("gated", "a", "gate")
    pid = child_running(project, "a")

    os.kill(pid, signal.SIGKILL)

    back = [(1, 0)]  # it may have been claimed again by then
    wait_until(lambda: [(one.crashes, one.node_losses) for one in project.kept()] == back, within=CHILD_BACK_WITHIN)
    project.open_gate("gate")
    assert result.get(timeout=60) != pid


def test_a_killed_nodes_work_goes_to_another_node(project: Project):
    node, _ = project.start(name="w1"), project.start(name="w2")
    results = [project.call("gated", f"run-{number}", "gate") for number in range(4)]
    for number in range(4):
        project.wait_begun(f"run-{number}")
    held = project.held_by(node)
    project.store.wait_noted(node.pid, 2)

    node.kill()

    assert held == 2
    wait_until(lambda: losses(project) == [0, 0, 1, 1], within=NODE_BACK_WITHIN)
    project.open_gate("gate")
    for result in results:
        result.get(timeout=60)
    assert project.runs().total() == 6


def test_a_node_whose_supervisor_alone_was_killed_goes_whole_and_its_work_comes_back(project: Project):
    node, _ = project.start(name="w1", concurrency=1), project.start(name="w2", concurrency=1)
    results = [project.call("gated", f"run-{number}", "gate") for number in range(2)]
    for number in range(2):
        project.wait_begun(f"run-{number}")
    project.store.wait_noted(node.pid, 1)

    node.kill_supervisor()

    node.wait_gone(within=NODE_BACK_WITHIN)
    wait_until(lambda: losses(project) == [0, 1], within=NODE_BACK_WITHIN)
    project.open_gate("gate")
    for result in results:
        result.get(timeout=60)


def test_only_what_a_dead_node_had_begun_counts_against_a_message(project: Project):
    node = project.start("--prefetch-multiplier", "4", concurrency=1)
    for number in range(4):
        project.call("gated", f"run-{number}", "gate")
    project.wait_begun("run-0")
    project.store.wait_noted(node.pid, 1)

    node.kill()
    project.start(name="w2", concurrency=1)

    wait_until(lambda: losses(project) == [0, 0, 0, 1], within=NODE_BACK_WITHIN)
    assert {kept.crashes for kept in project.kept()} == {0}


def test_a_body_that_kills_its_node_is_a_dead_letter_in_the_end(project: Project, engine: str):
    """Redis hears of a run after 50 ms, of one that somebody had before beforehand: the first death goes unseen."""
    deaths = 2 if engine == "sqlite" else 3
    result = project.call("kill_the_node", "poison")
    for number in range(deaths):
        node = project.start("task_max_node_losses=2", name=f"w{number}", ready=False)
        node.wait_exit(within=NODE_BACK_WITHIN)

    survivor = project.start("task_max_node_losses=2", name="survivor")

    with pytest.raises(WorkerLostError, match="2 nodes died"):
        result.get(timeout=NODE_BACK_WITHIN)
    assert project.began("poison") == deaths
    assert survivor.stop() == 0
    project.assert_clean()


def test_a_stopped_node_is_declared_dead_and_its_outcome_refused_when_it_goes_on(project: Project):
    sleeper, other = project.start(name="sleeper", concurrency=1), project.start(name="other", concurrency=1)
    blocker = project.call("gated", "blocker", "gate-of-blocker")
    result = project.call("gated", "twice", "gate")
    project.wait_begun("twice")
    project.wait_begun("blocker")
    by_sleeper = {process.pid for process in sleeper.members()}
    both = {words[1]: int(words[2]) for words in project.notes if words[0] == "began"}
    mine, yours = ("twice", "blocker") if both["twice"] in by_sleeper else ("blocker", "twice")
    gates = {"twice": "gate", "blocker": "gate-of-blocker"}

    frozen_at = time.monotonic()
    sleeper.freeze()
    project.open_gate(gates[yours])
    project.wait_begun(mine, times=2, within=NODE_BACK_WITHIN)
    took = time.monotonic() - frozen_at
    sleeper.thaw()
    sleeper.wait_for_log("beginning again as a new owner")
    project.open_gate(gates[mine])

    sleeper.wait_for_log("was refused")
    recorded = {"twice": result, "blocker": blocker}[mine].get(timeout=60)
    assert recorded not in by_sleeper, "the outcome of the node that was declared dead"
    assert took > 5.0, "a node that only stood still for a moment was declared dead"
    assert other.stop() == 0
    assert project.call("pid").get(timeout=60) in by_sleeper, "the node that was declared dead goes on as a new owner"
    assert sleeper.stop() == 0
    project.assert_clean()


def test_a_node_that_stops_for_a_moment_keeps_its_work(project: Project):
    sleeper, _ = project.start(name="sleeper"), project.start(name="other")
    results = [project.call("gated", f"run-{number}", "gate") for number in range(4)]
    for number in range(4):
        project.wait_begun(f"run-{number}")

    sleeper.freeze()
    enough = project.store.beats() + 2  # of the other: 4 s
    wait_until(lambda: project.store.beats() >= enough)
    sleeper.thaw()
    project.open_gate("gate")

    for result in results:
        result.get(timeout=60)
    assert set(project.runs().values()) == {1}


def test_a_claim_that_its_owner_does_not_know_of_goes_back(project: Project):
    """The answer to a claim can be lost. The owner lives, so nobody else will ever take the message from it."""
    project.start()
    result = project.call("add", 1, 2, queue="parked")

    project.store.hand_over("parked")

    assert result.get(timeout=NODE_BACK_WITHIN) == 3


def test_an_owner_without_a_file_to_tell_by_is_dead_when_it_stands_still(project: Project):
    project.start()
    result = project.call("add", 1, 2, queue="parked")
    project.store.add_ghost()

    project.store.hand_over("parked")

    assert result.get(timeout=NODE_BACK_WITHIN) == 3
    assert len(project.store.owners()) == 1
