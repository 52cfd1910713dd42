from __future__ import annotations

import itertools

import pytest

from celeriac.backends.memory import MemoryBackend
from celeriac.brokers.memory import MemoryBroker
from celeriac.states import FAILURE, SUCCESS
from celeriac.testing.backends import ResultBackendConformance, ResultWorld
from celeriac.testing.clock import ManualClock
from celeriac.testing.worlds import a_result

numbers = itertools.count(1)


class MemoryResults(ResultWorld):
    def __init__(self):
        self.name = f"results-{next(numbers)}"
        self.clock = ManualClock()

    def backend(self, *, expires=3600.0, failure_expires=None):
        return MemoryBackend(expires=expires, failure_expires=failure_expires, name=self.name, clock=self.clock)

    def advance(self, seconds):
        self.clock.advance(seconds)


@pytest.fixture
def world():
    return MemoryResults()


class TestMemoryBackend(ResultBackendConformance):
    @pytest.fixture
    def world(self, world):
        return world


def test_a_broker_and_a_backend_of_one_name_share_a_store(world):
    broker = MemoryBroker(world.name)

    assert MemoryBackend(broker).kept_in is world.backend().kept_in


def test_a_program_that_only_stores_does_not_grow_for_ever(world):
    backend = world.backend(expires=60.0)

    for number in range(50):
        backend.store([a_result(f"id-{number}")])
        world.advance(10.0)

    assert len(backend.kept_in.results) == 6


def test_a_batch_that_cannot_be_stored_leaves_nothing_behind(world):
    backend = world.backend()
    backend.store([a_result("a", FAILURE)])

    with pytest.raises(AttributeError):
        backend.store([a_result("a", SUCCESS), None])

    assert backend.get("a").state == FAILURE
