from __future__ import annotations

import pytest

from celeriac.brokers.joins import JoinEffects, JoinStart
from celeriac.testing.joins import JoinsConformance, JoinsInOneStore
from tests.unit.backends.test_memory import MemoryResults
from tests.unit.backends.test_sqlite_conformance import SqliteResults
from tests.unit.brokers.memory_world import MemoryWorld
from tests.unit.brokers.sqlite_world import SqliteWorld


class TestMemoryJoins(JoinsConformance):
    @pytest.fixture
    def world(self):
        return MemoryResults()


class TestSqliteJoins(JoinsConformance):
    @pytest.fixture
    def world(self, tmp_path):
        return SqliteResults(tmp_path)


class TestMemoryJoinsInOneStore(JoinsInOneStore):
    @pytest.fixture
    def world(self):
        world = MemoryWorld()
        yield world
        world.end()


class TestSqliteJoinsInOneStore(JoinsInOneStore):
    @pytest.fixture
    def world(self, tmp_path):
        world = SqliteWorld(tmp_path)
        yield world
        world.end()


def test_a_batch_that_cannot_be_kept_leaves_nothing_behind():
    backend = MemoryResults().backend()
    backend.join([JoinEffects(starts=(JoinStart("g", 2),))])

    with pytest.raises(AttributeError):
        backend.join([JoinEffects(starts=(JoinStart("other", 2),), joined=("g",)), None])

    assert backend.kept_join("other") is None
    assert not backend.kept_join("g").is_joined
