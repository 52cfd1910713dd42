"""Nothing that a dead process had started goes on working."""

from __future__ import annotations

import os
import signal

import psutil
import pytest

from tests.integration.project import Node, Project, wait_until
from tests.integration.stores import UNCOUNTED
from tests.size import late_after

pytestmark = [pytest.mark.fault, pytest.mark.waits]

GONE_WITHIN = late_after(3.0)
BACK_WITHIN = late_after(1.0)


def forkserver_of(node: Node) -> psutil.Process:
    (forkserver,) = psutil.Process(node.pid).children()
    return forkserver


def pid_of(project: Project, name: str) -> int:
    project.wait_begun(name)
    return next(int(words[2]) for words in project.notes if words[:2] == ["began", name])


def runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize("who", ["supervisor", "forkserver"])
def test_a_node_without_one_of_its_two_halves_ends_whole_with_bodies_and_what_they_started(project: Project, who):
    node = project.start()
    project.call("gated_with_a_fork", "body", "gate")
    pids = [pid_of(project, "body"), pid_of(project, "fork-of-body")]
    victim = node.pid if who == "supervisor" else forkserver_of(node).pid
    node.members()

    os.kill(victim, signal.SIGKILL)

    node.wait_gone(within=GONE_WITHIN)
    wait_until(lambda: not any(map(runs, pids)), within=GONE_WITHIN, what=f"the end of {pids}")
    project.open_gate("gate")
    project.open_gate("gate-of-fork")
    project.start(name="w2")
    project.wait_begun("body", times=2)
    wait_until(project.is_empty)
    assert [words[:2] for words in project.notes if words[0] == "ended"].count(["ended", "body"]) == 1


def test_a_node_without_its_forkserver_gives_its_work_back_uncounted_and_ends_as_failed(project: Project):
    node = project.start()
    project.call("gated", "body", "gate")
    project.wait_begun("body")

    forkserver_of(node).kill()

    assert node.wait_exit(within=GONE_WITHIN) == 1
    assert [kept.accounts for kept in project.kept()] == [UNCOUNTED]
    assert "forkserver" in node.log


def test_a_dead_child_takes_along_what_its_body_had_forked(project: Project):
    project.start()
    project.call("gated_with_a_fork", "body", "gate")
    child, fork = pid_of(project, "body"), pid_of(project, "fork-of-body")

    os.kill(child, signal.SIGKILL)

    wait_until(lambda: not runs(fork), within=GONE_WITHIN, what="the end of the fork")


def test_a_death_is_noticed_although_a_fork_holds_the_childs_socket_open(project: Project):
    project.start()
    project.call("gated_with_a_fork", "body", "gate")
    child = pid_of(project, "body")
    project.wait_begun("fork-of-body")

    os.kill(child, signal.SIGKILL)

    wait_until(lambda: [kept.crashes for kept in project.kept()] == [1], within=BACK_WITHIN)


def test_a_run_ends_although_its_fork_lives_on(project: Project):
    project.start(concurrency=1)
    result = project.call("gated_with_a_fork", "body", "gate")
    project.wait_begun("fork-of-body")
    project.open_gate("gate")

    assert result.get(timeout=60) == pid_of(project, "body")
    assert project.call("add", 1, 2).get(timeout=60) == 3
    project.open_gate("gate-of-fork")


def test_a_program_that_a_task_started_outlives_the_run_but_not_a_killed_node(project: Project):
    node = project.start()
    pid = project.call("leave_a_program", "program", "gate").get(timeout=60)
    project.wait_begun("program")
    assert runs(pid)

    node.kill_supervisor()

    wait_until(lambda: not runs(pid), within=GONE_WITHIN, what="the end of the program")


def test_a_stopped_node_leaves_no_process(project: Project):
    node = project.start()
    project.call("leave_a_program", "program", "gate").get(timeout=60)
    project.wait_begun("program")

    node.signal(signal.SIGTERM)

    assert node.wait_exit() == 0
    node.wait_gone(within=GONE_WITHIN)
