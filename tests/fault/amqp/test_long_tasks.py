"""Runs that are longer than the server waits for an acknowledgement run once; they survive what ends their messages."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.integration.project import Project, wait_until
from tests.servers.redis import DURABLE
from tests.size import SIZE

pytestmark = [pytest.mark.fault, pytest.mark.serial, pytest.mark.timeout(300)]

FULL = SIZE == "full"
CONSUMER_TIMEOUT = 20 if FULL else 6
LONG = 3 * CONSUMER_TIMEOUT
"""Seconds that a run takes."""

LOOKS_EVERY_MS = 500
"""How often the server looks for what is overdue; by itself once a minute."""

RUNS_AGAIN_WITHIN = 45.0
QUEUES: dict[str, dict[str, Any]] = {"classic": {}, "quorum": {"task_default_queue_type": "quorum"}}


@pytest.fixture
def impatient(rabbitmq_server):
    """Give a server that takes back what is not acknowledged within a few seconds."""
    server = rabbitmq_server(f"consumer_timeout = {CONSUMER_TIMEOUT * 1000}")
    server.ctl("eval", f"application:set_env(rabbit, channel_tick_interval, {LOOKS_EVERY_MS}).")
    return server


@pytest.mark.parametrize("queue", QUEUES)
def test_a_run_longer_than_the_server_waits_runs_once(impatient, redis_server, project_on, queue):
    project = started(impatient, redis_server, project_on, broker_consumer_timeout=CONSUMER_TIMEOUT, **QUEUES[queue])
    results = [project.call("gated", f"long-{number}", "gate") for number in range(3)]
    for number in range(3):
        project.wait_begun(f"long-{number}")

    stay(project, LONG)
    project.open_gate("gate")

    wait_until(lambda: all(result.ready() for result in results), what="the results")
    stop(project)
    assert sorted(project.runs().items()) == [(f"long-{number}", 1) for number in range(3)]
    assert "has taken back" not in project.logs()
    project.assert_clean()
    assert queues_of_copies(impatient) == []


@pytest.mark.parametrize("queue", QUEUES if FULL else ["quorum"])
def test_a_long_run_whose_node_is_killed_runs_again(impatient, redis_server, project_on, tell, queue):
    project = started(impatient, redis_server, project_on, broker_consumer_timeout=CONSUMER_TIMEOUT, **QUEUES[queue])
    result = project.call("gated", "long", "gate")
    project.wait_begun("long")
    stay(project, 2 * CONSUMER_TIMEOUT if FULL else CONSUMER_TIMEOUT)
    [pid] = [int(note[2]) for note in project.notes if note[0] == "began"]
    victim = next(node for node in project.nodes if pid in [member.pid for member in node.members()])

    victim.kill()
    killed_at = time.monotonic()

    project.wait_begun("long", times=2, within=RUNS_AGAIN_WITHIN)
    tell(f"{queue}: ran again {time.monotonic() - killed_at:.1f} s after its node was killed")
    project.open_gate("gate")
    wait_until(result.ready, what="the result")
    stop(project)
    assert project.runs() == {"long": 2}
    project.assert_clean()


@pytest.mark.parametrize("queue", QUEUES)
def test_a_server_that_has_lost_patience_is_survived(impatient, redis_server, project_on, queue):
    """The node believes that the server waits for 30 minutes, and learns that it does not."""
    project = started(impatient, redis_server, project_on, nodes=1, **QUEUES[queue])
    result = project.call("gated", "long", "gate")
    [node] = project.nodes
    project.wait_begun("long")

    node.wait_for_log("has taken back", within=LONG + 60)
    stay(project, CONSUMER_TIMEOUT)
    short = project.call("noted", "short", 0.0)
    wait_until(short.ready, what="a short run beside it")
    project.open_gate("gate")

    wait_until(result.ready, what="the result")
    stop(project)
    assert project.runs() == {"long": 1, "short": 1}
    assert node.log.count("has taken back") == 1, "it has learnt"
    project.assert_clean()


def started(server, redis_server, project_on, *, nodes: int = 2, **settings: object) -> Project:
    project = project_on(server, results_on=redis_server(*DURABLE), **settings)
    for number in range(1, nodes + 1):
        project.start(name=f"w{number}")
    assert isinstance(project, Project)
    return project


def stay(project: Project, seconds: float) -> None:
    """Let time pass for the server; no node ends meanwhile."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        assert all(node.process.poll() is None for node in project.nodes), project.logs()
        time.sleep(0.1)


def stop(project: Project) -> None:
    for node in project.nodes:
        if node.process.poll() is None:
            assert node.stop() == 0, node.log_end


def queues_of_copies(server) -> list[str]:
    return [name for name in server.ctl("-q", "list_queues", "name").split() if name.startswith("celeriac.hold.")]
