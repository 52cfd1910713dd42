"""Nodes and servers are killed under load, again and again: nothing is lost, and work goes on by itself."""

from __future__ import annotations

import random
import time

import pytest
import redis

from tests.fault.redis.streams import (
    Stream,
    assert_all_work,
    progress,
    publish_many,
    repeated,
    start_nodes,
    succeeded,
    wait_done,
    wait_for_progress,
    wait_for_silence,
)
from tests.fault.storm import Storm
from tests.integration.project import Node, Project, wait_until
from tests.servers.redis import DURABLE
from tests.size import SIZE, late_after, scaled

pytestmark = [pytest.mark.fault, pytest.mark.serial, pytest.mark.timeout(600)]

TASKS = scaled(50_000)
NODES = 4
SEED = 50_000
HELD_BY_A_NODE = 2 + 2 * 5
"""What a node of two children holds while runs take 10 ms: 50 ms of work."""

RESTARTS = 3
RESUMES_WITHIN = late_after(2.0)
"""Seconds after the server answers again; two are what is promised."""

EVERYSEC = ("--appendonly", "yes", "--appendfsync", "everysec", "--save", "")
CLIENT_KILLS_FOR = 10.0 if SIZE == "full" else 3.0
CLIENT_KILL_EVERY = 0.1


def test_a_storm_of_kills_loses_nothing(redis_server, project_on, tell):
    project = project_on(redis_server(*DURABLE))
    ids = publish_many(project, TASKS)
    start_nodes(project, NODES)
    storm = Storm(project, random.Random(SEED))

    storm.rage_until(project.is_empty)
    wait_until(lambda: len(project.store.owners()) == NODES, what="the recovery of those that were killed last")

    stop(storm.living())
    told = f"{TASKS} tasks, {storm.kills} kills, {storm.hits} of busy nodes, {repeated(project)} runs repeated"
    tell(told)
    assert succeeded(project) == ids
    assert project.dead_reasons() == []
    assert storm.hits >= (20 if SIZE == "full" else 1), told
    assert repeated(project) <= storm.hits * HELD_BY_A_NODE, told
    project.assert_clean()


@pytest.mark.parametrize("fsync", [DURABLE, EVERYSEC], ids=["always", "everysec"])
def test_work_goes_on_after_the_server_was_killed_and_started_again(redis_server, project_on, tell, fsync):
    """What had been answered is lost with `everysec` alone: at most what was written in the seconds before the kill."""
    server = redis_server(*fsync)
    project = project_on(server)
    ids = publish_many(project, TASKS)
    nodes = start_nodes(project, NODES)
    resumed = []

    with Stream(project) as stream:
        for restart in range(1, RESTARTS + 1):
            # Of what is there at first a quarter is left for after the last restart.
            wait_for_runs(project, restart * TASKS // (RESTARTS + 1))
            server.kill()
            wait_for_silence(project)
            server.start()
            wait_for_answer(server.url())
            resumed.append(wait_for_progress(project))
    ids |= stream.accepted

    wait_done(project, within=180)
    assert_all_work(project, nodes)
    stop(nodes)
    lost = ids - succeeded(project)
    told = (
        f"{len(ids)} tasks, {RESTARTS} restarts, {len(lost)} lost, {repeated(project)} runs repeated, resumed after "
        f"{', '.join(f'{seconds:.2f}' for seconds in resumed)} s; {stream.refused} calls refused meanwhile, "
        f"{len(stream.unsure)} unsure, the slowest took {stream.slowest:.1f} s"
    )
    tell(told)
    assert fsync is EVERYSEC or not lost, told
    assert project.dead_reasons() == []
    assert max(resumed) <= RESUMES_WITHIN, told
    project.assert_clean()


@pytest.mark.parametrize("kind", ["pubsub", "normal"])
def test_nodes_outlive_the_killing_of_their_connections(redis_server, project_on, tell, kind):
    server = redis_server()
    project = project_on(server)
    nodes = start_nodes(project, NODES)

    with Stream(project) as stream, redis.Redis.from_url(server.url()) as client:
        kills, enough = 0, CLIENT_KILLS_FOR / CLIENT_KILL_EVERY
        until = time.monotonic() + CLIENT_KILLS_FOR
        while time.monotonic() < until or kills < enough:
            kills += client.client_kill_filter(_type=kind, skipme=True)
            time.sleep(CLIENT_KILL_EVERY)
        resumed = wait_for_progress(project)

    assert_all_work(project, nodes)
    wait_done(project)
    stop(nodes)
    told = (
        f"{kills} connections killed, {len(stream.accepted)} tasks, {repeated(project)} runs repeated, "
        f"{stream.refused} calls refused, {len(stream.unsure)} unsure, resumed after {resumed:.2f} s"
    )
    tell(told)
    assert stream.accepted <= succeeded(project), told
    assert project.dead_reasons() == []
    project.assert_clean()


def test_idle_nodes_outlive_the_killing_of_their_connections(redis_server, project_on):
    """A node that sleeps until it is told has to notice that nobody can tell it any more."""
    server = redis_server()
    project = project_on(server)
    nodes = start_nodes(project, NODES)

    with redis.Redis.from_url(server.url()) as client:
        for kind in ("pubsub", "normal", "pubsub"):
            before = progress(project)
            client.client_kill_filter(_type=kind, skipme=True)
            assert_all_work(project, nodes, within=late_after(5.0))
            assert progress(project) == before, "what asks for the pid leaves no note"

    stop(nodes)
    project.assert_clean()


def wait_for_runs(project: Project, count: int) -> None:
    wait_until(lambda: project.runs().total() >= count, within=120, what=f"{count} runs")


def stop(nodes: list[Node]) -> None:
    for node in nodes:
        assert node.stop() == 0, node.log_end


def wait_for_answer(url: str) -> None:
    """Wait until the server takes commands: it has read its file."""
    with redis.Redis.from_url(url) as client:
        wait_until(lambda: _answers(client), within=60, what="an answer of the server")


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
