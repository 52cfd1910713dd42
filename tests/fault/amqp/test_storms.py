"""Nodes and RabbitMQ itself are killed under load, again and again: nothing is lost, and work goes on by itself."""

from __future__ import annotations

import random

import pytest

from tests.fault.redis.streams import Stream, publish_many, repeated, succeeded, wait_for_progress
from tests.fault.storm import Storm
from tests.integration.project import Project, wait_until
from tests.integration.stores import RabbitStore
from tests.servers.redis import DURABLE
from tests.size import SIZE, late_after, scaled

pytestmark = [pytest.mark.fault, pytest.mark.serial, pytest.mark.timeout(600)]

TASKS = scaled(20_000)
SEED = 20_000
WORK = 0.005
HELD_BY_A_NODE = 2 + 2 * 10
"""What a node of two children holds while runs take 5 ms: 50 ms of work."""

RESTARTS = 2
RESUMES_WITHIN = late_after(5.0)
"""Seconds after the server takes connections again; five are what is promised."""

QUEUES = {"classic": {}, "quorum": {"task_default_queue_type": "quorum"}}


@pytest.mark.parametrize("queue", QUEUES)
def test_a_storm_of_kills_loses_nothing(rabbitmq_server, redis_server, project_on, tell, queue):
    project = project_on(rabbitmq_server(), results_on=redis_server(*DURABLE), **QUEUES[queue])
    ids = publish_many(project, TASKS, work=WORK)
    for name in ("w1", "w2"):
        project.start(name=name)
    storm = Storm(project, random.Random(SEED))

    storm.rage_until(lambda: results(project) >= TASKS)

    stop(project)
    told = f"{TASKS} tasks, {queue}, {storm.kills} kills, {repeated(project)} runs repeated"
    tell(told)
    assert succeeded(project) == ids, told
    assert storm.kills >= (8 if SIZE == "full" else 1), told
    assert repeated(project) <= storm.kills * HELD_BY_A_NODE, told
    project.assert_clean()


@pytest.mark.parametrize("queue", QUEUES)
def test_work_goes_on_after_the_server_was_killed_and_started_again(
    rabbitmq_server, redis_server, project_on, tell, queue
):
    server = rabbitmq_server()
    project = project_on(server, results_on=redis_server(*DURABLE), **QUEUES[queue])
    ids = publish_many(project, TASKS, work=WORK)
    nodes = [project.start(name=name) for name in ("w1", "w2")]
    resumed = []

    with Stream(project) as stream:
        for restart in range(1, RESTARTS + 1):
            wait_for_results(project, restart * TASKS // (RESTARTS + 1))
            server.kill()
            server.start()
            resumed.append(wait_for_progress(project))
    ids |= stream.accepted

    wait_until(lambda: ids <= succeeded(project), within=120, what="the last results")
    stop(project)
    told = (
        f"{len(ids)} tasks, {queue}, {RESTARTS} restarts, {repeated(project)} runs repeated, resumed after "
        f"{', '.join(f'{seconds:.2f}' for seconds in resumed)} s; {stream.refused} calls refused meanwhile, "
        f"{len(stream.unsure)} unsure, the slowest took {stream.slowest:.1f} s"
    )
    tell(told)
    assert max(resumed) <= RESUMES_WITHIN, told
    assert all(node.process.returncode == 0 for node in nodes)
    project.assert_clean()


def wait_for_results(project: Project, count: int) -> None:
    wait_until(lambda: results(project) >= count, within=120, what=f"{count} results")


def results(project: Project) -> int:
    assert isinstance(project.store, RabbitStore)
    return project.store.done()


def stop(project: Project) -> None:
    for node in project.nodes:
        if node.process.poll() is None:
            assert node.stop() == 0, node.log_end
