"""The master is killed and a replica takes its place: nodes and callers follow the sentinels there."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.fault.redis.streams import (
    Stream,
    assert_all_work,
    publish_many,
    repeated,
    start_nodes,
    succeeded,
    wait_done,
    wait_for_progress,
)
from tests.integration.project import Project, opened
from tests.integration.stores import RedisStore
from tests.servers.sentinel import MASTER_NAME, Sentinels
from tests.size import late_after, scaled

pytestmark = [pytest.mark.fault, pytest.mark.serial, pytest.mark.timeout(300)]

TASKS = scaled(20_000)
RESUMES_WITHIN = late_after(5.0)
"""Seconds after there is a new master; five are what is promised."""

SETTINGS = f"""
app.conf.update(
    broker_transport_options={{"master_name": "{MASTER_NAME}"}},
    result_backend_transport_options={{"master_name": "{MASTER_NAME}"}},
)
"""


@pytest.fixture
def project(sentinels: Sentinels, tmp_path: Path) -> Iterator[Project]:
    """Give a project that knows only the sentinels, and a store that looks at the replica."""
    folder = tmp_path / "project"
    folder.mkdir()
    store = RedisStore(sentinels.replica.url(), reach=[sentinels.url(), sentinels.url()])
    with contextlib.closing(store), opened(folder, store) as made:
        made.use_also(SETTINGS)
        options = {"master_name": MASTER_NAME}
        made.app.conf.update(broker_transport_options=options, result_backend_transport_options=options)
        yield made


def test_work_goes_on_at_the_new_master(sentinels, project, tell):
    ids = publish_many(project, TASKS)
    with redis.Redis(port=sentinels.master.port) as client:
        client.execute_command("WAIT", 1, 5_000)  # from here on the replica has them
    nodes = start_nodes(project, 2)

    with Stream(project) as stream:
        wait_for_progress(project)
        sentinels.master.kill()
        sentinels.wait_for_failover()
        resumed = wait_for_progress(project)
        accepted = len(stream.accepted)
        assert_all_work(project, nodes, within=RESUMES_WITHIN)
        assert len(stream.accepted) > accepted, "calls are accepted again"

    wait_done(project, within=120)
    lost = (ids | stream.accepted) - succeeded(project)
    told = (
        f"{len(ids) + len(stream.accepted)} tasks, resumed {resumed:.2f} s after the failover, {repeated(project)} "
        f"runs repeated, {len(lost)} lost that the replica had not got, {stream.refused} calls refused"
    )
    tell(told)
    for node in nodes:
        assert node.stop() == 0, node.log_end
    assert not lost & ids, told
    assert resumed <= RESUMES_WITHIN, told
    assert project.dead_reasons() == []
    project.assert_clean()
