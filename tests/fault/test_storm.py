"""Nodes are killed under load, again and again: nothing is lost, little runs twice."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass

import pytest

from tests.integration.project import Node, Project
from tests.size import SIZE, scaled

pytestmark = [pytest.mark.fault, pytest.mark.serial]

TASKS = scaled(20_000)
KILL_EVERY = 2.0
SEED = 20_000
HELD_BY_A_NODE = 2 + 2 * 5
"""What a node of two children holds while runs take 10 ms, so what one kill can repeat at most: 50 ms of work."""


@dataclass
class Storm:
    """Kill one of a project's nodes at a time, and start it again under its name."""

    project: Project
    random: random.Random
    kills: int = 0
    hits: int = 0

    def strike(self) -> None:
        victim = self.random.choice(self.living())
        self.hits += self.project.held_by(victim) > 0
        if self.kills % 2:
            victim.kill()
        else:
            victim.kill_supervisor()
            victim.wait_gone(within=5.0)
        self.kills += 1
        self.project.start(name=victim.name)

    def living(self) -> list[Node]:
        return [node for node in self.project.nodes if node.process.poll() is None]


@pytest.mark.timeout(600)
def test_a_storm_of_kills_loses_nothing(project: Project, tell):
    storm = Storm(project, random.Random(SEED))
    ids = {project.call("noted", number, 0.010).id for number in range(TASKS)}
    for name in ("w1", "w2"):
        project.start(name=name)

    strike_at = time.monotonic() + KILL_EVERY
    while not project.is_empty():
        if time.monotonic() >= strike_at:
            strike_at += KILL_EVERY
            storm.strike()
        time.sleep(0.01)
    for node in storm.living():
        assert node.stop() == 0, node.log_end

    runs = project.runs()
    repeated = runs.total() - len(runs)
    told = f"{TASKS} tasks, {storm.kills} kills, {storm.hits} of them of a busy node, {repeated} runs repeated"
    tell(told)
    succeeded = {task_id for task_id, record in project.store.results().items() if record["status"] == "SUCCESS"}
    assert succeeded == ids
    assert project.dead_reasons() == []
    assert storm.hits >= (20 if SIZE == "full" else 2), told
    assert repeated <= storm.hits * HELD_BY_A_NODE, told
    project.assert_clean()
