"""Nodes are killed under load, again and again: nothing is lost, little runs twice."""

from __future__ import annotations

import random

import pytest

from tests.fault.storm import Storm
from tests.integration.project import Project
from tests.size import SIZE, scaled

pytestmark = [pytest.mark.fault, pytest.mark.serial, pytest.mark.engines("sqlite")]

TASKS = scaled(20_000)
SEED = 20_000
HELD_BY_A_NODE = 2 + 2 * 5
"""What a node of two children holds while runs take 10 ms, so what one kill can repeat at most: 50 ms of work."""


@pytest.mark.timeout(600)
def test_a_storm_of_kills_loses_nothing(project: Project, tell):
    storm = Storm(project, random.Random(SEED))
    ids = {project.call("noted", number, 0.010).id for number in range(TASKS)}
    for name in ("w1", "w2"):
        project.start(name=name)

    storm.rage_until(project.is_empty)
    for node in storm.living():
        assert node.stop() == 0, node.log_end

    runs = project.runs()
    repeated = runs.total() - len(runs)
    told = f"{TASKS} tasks, {storm.kills} kills, {storm.hits} of them of a busy node, {repeated} runs repeated"
    tell(told)
    succeeded = {task_id for task_id, record in project.store.results().items() if record["status"] == "SUCCESS"}
    assert succeeded == ids
    assert project.dead_reasons() == []
    assert storm.hits >= (20 if SIZE == "full" else 1), told
    assert repeated <= storm.hits * HELD_BY_A_NODE, told
    project.assert_clean()
