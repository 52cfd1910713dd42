"""Kill the nodes of a project, one after another, while they work."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from tests.integration.project import Node, Project

KILL_EVERY = 2.0
LOOK_EVERY = 0.02


@dataclass
class Storm:
    """Kill one of a project's nodes at a time, and start it again under its name, with the same arguments."""

    project: Project
    random: random.Random
    args: tuple[str, ...] = ()
    kills: int = 0
    hits: int = 0

    def rage_until(self, calm: Callable[[], bool]) -> None:
        """Strike at once, for work may be done sooner than nodes come up, and then every two seconds."""
        strike_at = time.monotonic()
        while not calm():
            if time.monotonic() >= strike_at:
                strike_at += KILL_EVERY
                self.strike()
            time.sleep(LOOK_EVERY)

    def strike(self) -> None:
        victim = self.random.choice(self.living())
        self.hits += self.project.held_by(victim) > 0
        if self.kills % 2:
            victim.kill()
        else:
            victim.kill_supervisor()
            victim.wait_gone()
        self.kills += 1
        self.project.start(*self.args, name=victim.name)

    def living(self) -> list[Node]:
        return [node for node in self.project.nodes if node.process.poll() is None]
