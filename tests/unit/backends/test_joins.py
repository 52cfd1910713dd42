from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import pytest

from celeriac.brokers.joins import JoinEffects, JoinStart
from celeriac.states import FAILURE, SUCCESS
from celeriac.testing.joins import JoinsConformance, JoinsInOneStore, counting, values
from tests.unit.backends.test_memory import MemoryResults
from tests.unit.backends.test_redis_conformance import RedisResults
from tests.unit.backends.test_sqlite_conformance import SqliteResults
from tests.unit.brokers.memory_world import MemoryWorld
from tests.unit.brokers.redis_world import RedisWorld
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


class OnRedis(JoinsConformance):
    """Be the suite on a database of the session's server."""

    said: ClassVar[Mapping[str, Any]] = {}
    query = ""

    @pytest.fixture
    def world(self, redis_db):
        world = RedisResults(redis_db + self.query, **self.said)
        yield world
        world.end()


class TestRedisJoins(OnRedis):
    query = "?protocol=2"


class TestRedisJoinsWithProtocol3(OnRedis):
    query = "?protocol=3"
    said: ClassVar[Mapping[str, Any]] = {"global_keyprefix": "shop"}


class TestRedisJoinsInLists(OnRedis):
    said: ClassVar[Mapping[str, Any]] = {"result_chord_ordered": False}

    def test_items_come_in_the_order_of_their_index(self, backend):
        backend.join([JoinEffects(starts=(JoinStart("g", 3),))])
        for index in (2, 0, 1):
            backend.join([counting(f"m{index}", index=index)])

        assert values(backend) == ["m2", "m0", "m1"]

    def test_members_say_how_they_ended(self, backend):
        backend.join([JoinEffects(starts=(JoinStart("g", 2),)), counting("a"), counting("b", state=FAILURE)])

        found = [(one.task_id, one.index, one.state) for chunk in backend.members("g") for one in chunk]

        assert found == [("a", None, SUCCESS), ("b", None, FAILURE)]


class TestRedisJoinsInOneStore(JoinsInOneStore):
    @pytest.fixture
    def world(self, redis_db):
        world = RedisWorld(redis_db)
        yield world
        world.end()


class TestRedisJoinsInTwoDatabases(JoinsInOneStore):
    @pytest.fixture
    def world(self, redis_db):
        world = RedisWorld(redis_db, results_in=2, protocol=3)
        yield world
        world.end()
