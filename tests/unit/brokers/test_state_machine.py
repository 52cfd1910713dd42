from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from celeriac.testing.brokers import publish
from celeriac.testing.worlds import a_message
from tests.size import SIZE
from tests.unit.brokers.crashing_worlds import (
    CrashingMemoryWorld,
    CrashingRedisWorld,
    CrashingSqliteWorld,
    ProcessDied,
)
from tests.unit.brokers.state_machine import BrokerMachine


class MemoryMachine(BrokerMachine):
    def make_world(self):
        return CrashingMemoryWorld()


class SqliteMachine(BrokerMachine):
    def make_world(self):
        return CrashingSqliteWorld()


class RedisMachine(BrokerMachine):
    priorities = (0, 3, 6)
    keeps_places = False
    url = ""

    def make_world(self):
        return CrashingRedisWorld(self.url)

    def purge(self, data, crash):
        super().purge(data, None)  # it takes several scripts; a person who did not see it end purges again

    def start_children(self, worker, some):
        super().start_children(worker, some)
        worker.node.extend()  # or a timer, a moment later: until then Redis has not been told


def examples(small: int) -> settings:
    """Play so many games in the small size, which has others beside them, and 1,000 in the full one."""
    count = 1_000 if SIZE == "full" else small
    return settings(max_examples=count, stateful_step_count=40, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.fault
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("machine", "small"), [(MemoryMachine, 100), (SqliteMachine, 50)])
def test_every_message_is_in_exactly_one_place_whatever_happens(machine, small):
    steps = examples(small)

    run_state_machine_as_test(machine, settings=steps)


@pytest.mark.fault
@pytest.mark.timeout(900)
def test_on_redis_too(redis_db, monkeypatch):
    monkeypatch.setattr(RedisMachine, "url", redis_db)
    steps = examples(30)  # each step costs ten times what it does in memory

    run_state_machine_as_test(RedisMachine, settings=steps)


@pytest.mark.fault
@pytest.mark.parametrize("kind", [CrashingMemoryWorld, CrashingSqliteWorld, CrashingRedisWorld])
@pytest.mark.parametrize("steps", range(16))
def test_a_recovery_that_dies_on_the_way_leaves_all_that_the_next_one_needs(kind, steps, request):
    world = kind(request.getfixturevalue("redis_db")) if kind is CrashingRedisWorld else kind()
    dead, dying = world.node(), world.node()
    publish(world.broker(), a_message())
    dead.consumer.note_started(*dead.claim())
    dead.extend()
    world.kill(dead)

    try:
        with world.crash_after(steps):
            world.outlast_lease(dying)
    except ProcessDied:
        world.kill(dying)
    last = world.node()
    world.outlast_lease(last)

    assert [delivery.node_losses for delivery in last.claim()] == [1]
    world.end()
