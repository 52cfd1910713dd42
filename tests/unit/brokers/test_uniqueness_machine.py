"""Whatever happens to unique messages, one run of a key counts at a time, and a key that nobody has is free."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from celeriac.brokers.base import Delivery, Settlement
from celeriac.message import Message, OnConflict, Unique
from celeriac.testing.brokers import publish
from celeriac.testing.worlds import BrokerWorld, a_message
from tests.unit.brokers.memory_world import MemoryWorld
from tests.unit.brokers.sqlite_world import SqliteWorld

KEYS = ("a", "b")
LASTS = 100.0

keys = st.sampled_from(KEYS)


@dataclass(frozen=True)
class Run:
    """What a run is in the model."""

    task_id: str
    key: str
    replaced: bool = False
    delivery: Delivery | None = None


class UniqueMachine(RuleBasedStateMachine):
    """Subclass it and say in `make_world` which broker."""

    def make_world(self) -> BrokerWorld:
        raise NotImplementedError

    @initialize()
    def begin(self) -> None:
        self.world = self.make_world()
        self.broker = self.world.broker()
        self.node = self.world.node(self.broker)
        self.numbers = itertools.count()
        self.runs: dict[str, Run] = {}
        self.holders: dict[str, str] = {}

    def message(self, key: str, task_id: str, on_conflict: OnConflict) -> Message:
        return a_message(task_id, unique=Unique(key=key, lasts=LASTS, on_conflict=on_conflict))

    def begin_run(self, key: str) -> str:
        task_id = f"id-{next(self.numbers)}"
        self.runs[task_id] = Run(task_id, key)
        self.holders[key] = task_id
        return task_id

    @rule(key=keys, on_conflict=st.sampled_from([OnConflict.SKIP, OnConflict.RAISE]))
    def call(self, key: str, on_conflict: OnConflict) -> None:
        task_id = f"id-{next(self.numbers)}"

        conflicts = publish(self.broker, self.message(key, task_id, on_conflict))

        assert [conflict.task_id for conflict in conflicts] == [holder for holder in [self.holders.get(key)] if holder]
        if not conflicts:
            self.runs[task_id] = Run(task_id, key)
            self.holders[key] = task_id

    @rule(key=keys)
    def replace_run(self, key: str) -> None:
        before = self.holders.get(key)
        task_id = self.begin_run(key)
        if before is not None and before in self.runs:
            self.runs[before] = replace(self.runs[before], replaced=True)

        assert not publish(self.broker, self.message(key, task_id, OnConflict.REPLACE))

    @rule(limit=st.integers(1, 3))
    def claim(self, limit: int) -> None:
        for delivery in self.node.claim(limit=limit):
            run = self.runs[delivery.message.task_id]
            assert (delivery.replaced_by is not None) == run.replaced
            self.runs[run.task_id] = replace(run, delivery=delivery)

    def held(self) -> list[Run]:
        return [run for run in self.runs.values() if run.delivery is not None]

    @precondition(lambda self: self.held())
    @rule(data=st.data(), how=st.sampled_from(["end", "end", "die", "retry", "release"]))
    def go_on(self, data, how: str) -> None:
        run = data.draw(st.sampled_from(self.held()))
        assert run.delivery is not None
        if how == "release":
            self.node.release(run.delivery)
            self.runs[run.task_id] = replace(run, delivery=None)
        elif how == "retry":
            self.node.settle(
                Settlement(delivery=run.delivery, publish=(self.message(run.key, run.task_id, OnConflict.KEEP),))
            )
            self.runs[run.task_id] = replace(run, delivery=None)
            if not run.replaced:
                self.holders.setdefault(run.key, run.task_id)
        else:
            reason = "poison" if how == "die" else None
            self.node.settle(Settlement(delivery=run.delivery, dead_reason=reason, frees=run.key))
            del self.runs[run.task_id]
            if self.holders.get(run.key) == run.task_id:
                del self.holders[run.key]

    @rule()
    def purge(self) -> None:
        self.broker.purge("q")
        waiting = {task_id for task_id, run in self.runs.items() if run.delivery is None}
        self.runs = {task_id: run for task_id, run in self.runs.items() if task_id not in waiting}
        self.holders = {key: task_id for key, task_id in self.holders.items() if task_id not in waiting}

    @rule()
    def outlast_the_keys(self) -> None:
        self.world.advance(LASTS + 1)
        self.holders.clear()

    @invariant()
    def of_each_key_one_run_counts_unless_time_has_ended_it(self) -> None:
        if not hasattr(self, "broker"):
            return
        total = sum(depth.ready + depth.delayed + depth.claimed for depth in self.broker.depths())
        assert total == len(self.runs)

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.world.end()


@pytest.mark.parametrize("engine", ["memory", "sqlite"])
def test_one_run_of_a_key_counts_at_a_time(engine, tmp_path_factory):
    def make_world(_):
        return MemoryWorld() if engine == "memory" else SqliteWorld(tmp_path_factory.mktemp("unique"))

    machine = type("Machine", (UniqueMachine,), {"make_world": make_world})
    examples = 100 if engine == "memory" else 30
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
