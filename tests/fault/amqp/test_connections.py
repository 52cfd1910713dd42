"""RabbitMQ closes all connections, again and again: nothing is lost, and no node hangs."""

from __future__ import annotations

import time

import pytest

from tests.fault.redis.streams import Stream, assert_all_work, repeated, start_nodes, succeeded, wait_for_progress
from tests.integration.project import wait_until
from tests.servers.redis import DURABLE
from tests.size import SIZE, late_after

pytestmark = [pytest.mark.fault, pytest.mark.serial, pytest.mark.timeout(300)]

CUTS = 20 if SIZE == "full" else 6
EVERY_MS = 1000
RESUMES_WITHIN = late_after(5.0)
QUEUES = {"classic": {}, "quorum": {"task_default_queue_type": "quorum"}}


@pytest.mark.parametrize("queue", QUEUES)
def test_connections_that_are_closed_every_second_lose_nothing(rabbitmq_server, redis_server, project_on, tell, queue):
    server = rabbitmq_server()
    project = project_on(server, results_on=redis_server(*DURABLE), **QUEUES[queue])
    nodes = start_nodes(project, 2)

    with Stream(project) as stream:
        wait_for_progress(project)
        close_all(server)
        time.sleep((CUTS + 1) * EVERY_MS / 1000)
        resumed = wait_for_progress(project)
    ids = stream.accepted

    wait_until(lambda: ids <= succeeded(project), within=60, what=f"the last results\n{project.logs()}")
    assert_all_work(project, nodes)
    told = (
        f"{len(ids)} tasks, {queue}, {CUTS} cuts, {repeated(project)} runs repeated, resumed after {resumed:.2f} s; "
        f"{stream.refused} calls refused, {len(stream.unsure)} unsure, the slowest took {stream.slowest:.1f} s"
    )
    tell(told)
    for node in nodes:
        assert node.stop() == 0, node.log_end
    assert resumed <= RESUMES_WITHIN, told
    project.assert_clean()


def close_all(server) -> None:
    """Have the server close all its connections, so often and so soon after each other."""
    server.ctl(
        "eval",
        f"""spawn(fun() -> [begin
                [rabbit_networking:close_connection(Pid, "a test") || Pid <- rabbit_networking:connections()],
                timer:sleep({EVERY_MS})
            end || _ <- lists:seq(1, {CUTS})] end), ok.""",
    )
