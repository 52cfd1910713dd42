"""Results in Redis: the same outcomes come to the keys, bytes and channels of Celery, and what it stored is read."""

from __future__ import annotations

import pytest
import redis

from celeriac.backends.base import RESULT_EXPIRES
from celeriac.backends.redis import RedisBackend
from celeriac.backends.redis.records import ResultKeys
from celeriac.brokers.redis.options import read_options
from celeriac.brokers.redis.place import read_place
from celeriac.testing.worlds import a_result
from celeriac.wire.results import read_record
from tests.golden import vector

RECORDS = [name for name in vector.names("result-") if name != "result-compressed"]


@pytest.fixture
def client(redis_db):
    with redis.Redis.from_url(redis_db) as client:
        yield client


@pytest.fixture
def backend(redis_db):
    place = read_options(read_place(redis_db, "result_backend"), {}, setting="result_backend_transport_options")
    backend = RedisBackend(place.place, place.options)
    yield backend
    backend.close()


def outcome(name, text=None):
    found = vector.load(name)
    record = (text or found["redis_raw"]).encode()
    told = read_record(record)
    return a_result(found["redis_key"].removeprefix("celery-task-meta-"), told.status, record=record)


@pytest.mark.parametrize("name", RECORDS)
def test_an_outcome_is_kept_under_celerys_key_for_as_long_as_celery_keeps_it(name, backend, client) -> None:
    found = vector.load(name)

    backend.store([outcome(name)])

    assert client.keys() == [found["redis_key"].encode()]
    assert client.get(found["redis_key"]) == found["redis_raw"].encode()
    assert RESULT_EXPIRES - 2 < client.ttl(found["redis_key"]) <= RESULT_EXPIRES


@pytest.mark.parametrize("name", [name for name in RECORDS if "published_on_channel" in vector.load(name)])
def test_all_that_a_run_came_to_is_published_on_celerys_channel(name, backend, client) -> None:
    published = vector.load(name)["published_on_channel"]
    with client.pubsub() as listening:
        listening.subscribe(published["channel"])
        listening.get_message(timeout=5)

        backend.store([outcome(name, text) for text in published["payloads"]])

        heard = [listening.get_message(timeout=5) for _ in published["payloads"]]
    assert [one["data"].decode() for one in heard if one is not None] == published["payloads"]


@pytest.mark.parametrize("name", RECORDS)
def test_what_celery_stored_is_read(name, backend, client) -> None:
    found, expected = vector.load(name), outcome(name)
    client.set(found["redis_key"], found["redis_raw"])

    kept = backend.get(expected.task_id)

    assert kept is not None
    assert (kept.state, kept.record) == (expected.state, expected.record)


def test_what_celery_compressed_is_read(backend, client) -> None:
    found = vector.load("result-compressed")
    client.set(found["redis_key"], bytes.fromhex(found["value_hex"]))

    kept = backend.wait([found["decoded"]["task_id"]], timeout=5)

    assert kept[found["decoded"]["task_id"]].state == "SUCCESS"


def test_what_celery_node_stored_is_read(backend, client) -> None:
    values = vector.load("node-results")["values"]
    client.mset(values)

    kept = backend.get_many([key.removeprefix("celery-task-meta-") for key in values])

    assert {one.state for one in kept.values()} == {"SUCCESS", "FAILURE"}
    assert sorted(one.record.decode() for one in kept.values()) == sorted(values.values())


@pytest.mark.parametrize(
    ("prefix", "before"),
    [("", ""), ("pfx", "pfx_"), ("pfx_", "pfx_"), ("pfx:", "pfx:"), ("pfx-", "pfx-"), ("pfx.", "pfx.")],
)
def test_a_prefix_ends_in_something_that_parts_it_from_the_rest(prefix, before) -> None:
    keys = ResultKeys.of(prefix)

    assert keys.meta("x") == f"{before}celery-task-meta-x"
    assert keys.both(["x"]) == [keys.meta("x"), keys.attempt("x")]
