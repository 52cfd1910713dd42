"""A node that stands still past its lease, or is cut off for that long, is dead to the others, and to the store."""

from __future__ import annotations

import os
import signal
import time

import pytest

from celeriac import signature
from tests.fault.redis.streams import start_nodes
from tests.integration.project import Node, Project, wait_until
from tests.servers.redis import DURABLE

pytestmark = [pytest.mark.fault, pytest.mark.waits]

ELSEWHERE_WITHIN = 3 * 15.0


@pytest.mark.parametrize("how", ["stopped", "cut off"])
@pytest.mark.timeout(300)
def test_what_a_node_says_after_its_lease_is_refused(redis_server, project_on, proxy_to, tell, how):
    """Its result, the callback that follows and the crash that it counts: all are the other node's to say."""
    server = redis_server(*DURABLE)
    proxy = proxy_to(server.port)
    project = project_on(server)
    project.use_also(
        "@app.task\n"
        "def tells_where(name, gate):\n"
        "    note('began', name, os.getpid())\n"
        "    wait_at(f'{gate}-{os.environ[\"GATES\"]}')\n"
        "    return os.environ['GATES']\n"
    )
    late = project.start(name="late", GATES="late", BROKER=proxy.url(0), BACKEND=proxy.url(1))
    then = signature("tasks.noted", args=("then",), immutable=True, task_id="then")
    result = project.call("tells_where", "work", "work", task_id="work", link=then)
    project.wait_begun("work")
    project.call("tells_where", "crash", "crash", task_id="crash")
    project.wait_begun("crash")
    other = project.start(name="other", GATES="other")
    crashing = pid_of(project, "crash")

    stopped_at = time.monotonic()
    proxy.black_hole() if how == "cut off" else late.freeze()
    project.wait_begun("work", times=2, within=ELSEWHERE_WITHIN)
    project.wait_begun("crash", times=2, within=ELSEWHERE_WITHIN)
    took = time.monotonic() - stopped_at
    os.kill(crashing, signal.SIGKILL)  # a crash of a run that is the other node's by now
    project.open_gate("work-late")
    proxy.heal() if how == "cut off" else late.thaw()
    late.wait_for_log("beginning again as a new owner")
    late.wait_for_log("was refused")

    assert project.call("pid").get(timeout=60), "both go on"
    assert result.state == "PENDING", "the late outcome is not recorded"
    assert project.began("then") == 0, "nor does anything follow from it"
    held = {kept.task_id: kept for kept in project.kept()}
    assert set(held) == {"work", "crash"}
    assert {kept.held for kept in held.values()} == {True}
    assert {kept.crashes for kept in held.values()} == {0}, "the late crash does not count"
    assert project.held_by(other) == 2
    project.open_gate("work-other")
    project.open_gate("crash-other")
    assert result.get(timeout=60) == "other"
    project.wait_begun("then")
    wait_until(project.is_empty)
    tell(f"its work ran elsewhere after {took:.1f} s")
    assert project.began("then") == 1
    assert project.runs() == {"work": 2, "crash": 2, "then": 1}
    assert took > 5.0, "a node that only stood still for a moment was declared dead"
    stop(late, other)
    project.assert_clean()


def test_a_node_that_is_cut_off_for_less_than_its_lease_keeps_its_work(redis_server, project_on, proxy_to):
    server = redis_server()
    proxy = proxy_to(server.port)
    project = project_on(server)
    node = project.start(BROKER=proxy.url(0), BACKEND=proxy.url(1))
    results = [project.call("gated", f"run-{number}", "gate") for number in range(2)]
    for number in range(2):
        project.wait_begun(f"run-{number}")
    other = project.start(name="other")

    proxy.black_hole()
    enough = project.store.beats() + 2  # of the other: 4 s
    wait_until(lambda: project.store.beats() >= enough)
    proxy.heal()
    project.open_gate("gate")

    for result in results:
        result.get(timeout=60)
    assert set(project.runs().values()) == {1}
    stop(node, other)
    project.assert_clean()


@pytest.mark.timeout(300)
def test_a_server_that_stands_still_makes_no_node_dead(redis_server, project_on):
    """Counters stand still for everybody then; who gets no answers cannot say that others are dead."""
    server = redis_server()
    project = project_on(server)
    nodes = start_nodes(project, 3)
    results = [project.call("gated", f"run-{number}", "gate") for number in range(6)]
    for number in range(6):
        project.wait_begun(f"run-{number}")

    os.kill(server.process.pid, signal.SIGSTOP)
    until = time.monotonic() + 12.0
    wait_until(lambda: time.monotonic() > until)
    os.kill(server.process.pid, signal.SIGCONT)
    enough = project.store.beats() + 2 * len(nodes)
    wait_until(lambda: project.store.beats() >= enough)
    project.open_gate("gate")

    for result in results:
        result.get(timeout=60)
    assert set(project.runs().values()) == {1}
    for node in nodes:
        assert "declared dead" not in node.log, node.log_end
    stop(*nodes)
    project.assert_clean()


def pid_of(project: Project, name: str) -> int:
    return next(int(words[2]) for words in project.notes if words[:2] == ["began", name])


def stop(*nodes: Node) -> None:
    for node in nodes:
        assert node.stop() == 0, node.log_end
