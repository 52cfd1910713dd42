"""Joins in the script that settles: what fails on the way may be done again, and loses and doubles nothing."""

from __future__ import annotations

import time
from typing import Any

import pytest

from celeriac.brokers.base import Settlement
from celeriac.brokers.joins import JOIN_EXPIRES, JOINED_EXPIRES, JOINS_QUEUE
from celeriac.brokers.redis.scripts import script
from celeriac.testing.joins import counting, internal, join, joining, starting
from celeriac.testing.worlds import ANSWER_WITHIN, a_message
from tests.unit.brokers.redis_world import RedisWorld

JOIN = "celery-taskset-meta-g"


@pytest.fixture(params=[None, 2], ids=["one database", "two databases"])
def world(request, redis_db):
    world = RedisWorld(redis_db, results_in=request.param)
    yield world
    world.end()


@pytest.fixture
def backend(world):
    backend = world.results()
    yield backend
    backend.close()


@pytest.fixture
def results(world) -> Any:
    """Look into the database of the results."""
    with world.client() as client:
        client.select(world.results().place.database)
        yield client


@pytest.fixture
def node(world):
    return world.node()


def claimed(world, node, *task_ids):
    world.broker().publish([a_message(task_id) for task_id in task_ids], deadline_at=time.monotonic() + ANSWER_WITHIN)
    return node.claim()


def test_a_join_stays_complete_while_its_message_cannot_be_published(world, node, backend, client, results):
    [held] = claimed(world, node, "a")
    join(backend, starting(1))
    client.set("joins", "no list")

    with pytest.raises(Exception, match="WRONGTYPE"):
        node.settle(Settlement(delivery=held, joins=counting("a")), results=backend)

    assert results.get(f"{JOIN}.c") is None
    client.delete("joins")
    node.settle(Settlement(delivery=held, joins=counting("a")), results=backend)
    assert [each.message for each in node.claim("joins")] == [internal("a")]


def test_a_join_that_cannot_be_counted_leaves_its_claim_and_the_others_go_on(world, node, backend, results):
    a, b = claimed(world, node, "a", "b")
    join(backend, starting(1), starting(1, group_id="other"))
    results.delete(f"{JOIN}.d")
    results.set(f"{JOIN}.d", "no set")

    with pytest.raises(Exception, match="WRONGTYPE"):
        node.settle(
            Settlement(delivery=a, publish=(a_message("next"),), joins=counting("a")),
            Settlement(delivery=b, joins=counting("b", group_id="other")),
            results=backend,
        )

    assert [each.message for each in node.claim("joins")] == [internal("b")]
    assert node.claim() == []  # nothing that follows the first is there
    results.delete(f"{JOIN}.d")
    node.settle(Settlement(delivery=a, publish=(a_message("next"),), joins=counting("a")), results=backend)
    assert [each.message.task_id for each in node.claim()] == ["next"]
    assert [each.message for each in node.claim("joins")] == [internal("a")]


def test_what_the_start_told_is_published_for_a_member_that_cannot_tell(world, node, backend):
    [held] = claimed(world, node, "a")
    join(backend, starting(1))

    node.settle(Settlement(delivery=held, joins=counting("a", told=False)), results=backend)

    [announced] = node.claim(JOINS_QUEUE)
    assert announced.message.task_id == "started"


def test_a_join_that_is_announced_is_complete_for_nobody_else(world, node, backend, results):
    [held] = claimed(world, node, "a")
    join(backend, starting(1))

    node.settle(Settlement(delivery=held, joins=counting("a")), results=backend)

    assert results.exists(f"{JOIN}.s") == 0
    assert results.get(f"{JOIN}.c") == b"celeriac"
    assert JOIN_EXPIRES - 60 < results.ttl(f"{JOIN}.c") <= JOIN_EXPIRES
    assert join(backend, counting("a")) == []
    assert join(backend, starting(1)) == []


def test_of_a_join_that_is_done_only_that_is_kept(world, node, backend, results):
    one, two = claimed(world, node, "a", "b")
    join(backend, starting(1, header=b"lists"))
    node.settle(Settlement(delivery=one, joins=counting("a")), results=backend)

    node.settle(Settlement(delivery=two, joins=joining("g")), results=backend)

    kept = set(results.scan_iter("celery-taskset*"))
    assert kept == {JOIN.encode(), f"{JOIN}.c".encode()}
    assert results.get(f"{JOIN}.c") == b"done"
    assert JOINED_EXPIRES - 60 < results.ttl(f"{JOIN}.c") <= JOINED_EXPIRES
    assert results.ttl(JOIN) <= 86_400  # a saved group lives as long as a result


def test_an_announcement_that_may_not_have_been_published_is_taken_over_after_a_while(backend, results):
    join(backend, starting(1), counting("a"))
    assert results.get(f"{JOIN}.c") == b"celeriac, for now"
    assert 50 < results.ttl(f"{JOIN}.c") <= 60

    results.delete(f"{JOIN}.c")

    assert results.get(f"{JOIN}.s") == b"1"  # so a worker of Celery's that counts the member again finds it complete
    assert backend.kept_join("g").is_complete
    assert results.get(f"{JOIN}.c") == b"celeriac, for now"  # whoever looks at it to make the body keeps others away


def test_the_scripts_know_for_how_long_joins_are_kept():
    text = script("join").text

    assert f"JOIN_LASTS, JOINED_LASTS = {JOIN_EXPIRES * 1000:.0f}, {JOINED_EXPIRES * 1000:.0f}" in text
