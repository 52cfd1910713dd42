"""The future stays in the store: a node does not grow with what is to run later, and runs it when it is due."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import psutil
import pytest

from celeriac import Celery
from tests.integration.project import Project, wait_until
from tests.size import scaled

pytestmark = [pytest.mark.fault, pytest.mark.serial]

FEW = 10
MANY = scaled(100_000)
DUE = 20
GROWTH_ALLOWED = 4 * 1024 * 1024
"""Bytes. 10,000 of these messages alone weigh 6 MB, decoded or not."""


def private_bytes(project: Project, ahead: int) -> int:
    """Return what a supervisor needs for itself after it has worked beside so many messages for later."""
    publish_for_later(project.app, ahead)
    node = project.start(name=f"beside-{ahead}")
    for call in [project.call("add", number, 1) for number in range(500)]:
        call.get(timeout=60)
    due_at = time.time() + 0.5
    for call in [project.call("started_at", countdown=0.5) for _ in range(DUE)]:
        assert call.get(timeout=60) >= due_at - 0.001
    used = psutil.Process(node.pid).memory_full_info().uss
    assert project.held_by(node) == 0
    assert node.stop() == 0
    return used


def publish_for_later(app: Celery, count: int) -> None:
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    for _ in range(0, count, 1_000):
        app.sender.send_many("tasks.add", [((1, 2), {})] * min(count, 1_000), {"eta": tomorrow})


@pytest.mark.timeout(600)
def test_a_node_does_not_grow_with_what_waits_for_its_time(project: Project, tell):
    little = private_bytes(project, FEW)

    much = private_bytes(project, MANY)

    tell(f"{FEW:,} messages for later: {little / 2**20:.1f} MB private; {MANY:,}: {much / 2**20:.1f} MB")
    assert much - little < GROWTH_ALLOWED
    assert project.store.delayed() == FEW + MANY


@pytest.mark.timeout(300)
def test_what_becomes_due_all_at_once_runs_all(project: Project):
    node = project.start()
    soon = datetime.now(UTC) + timedelta(seconds=2)
    count = scaled(10_000)

    project.app.sender.send_many("tasks.noted", [((str(number),), {}) for number in range(count)], {"eta": soon})

    wait_until(project.is_empty, within=200)
    assert project.runs().total() == count
    assert len(project.runs()) == count
    assert node.stop() == 0
    project.assert_clean()
