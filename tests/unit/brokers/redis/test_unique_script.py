"""Publishing with unique keys when an answer is lost and the script runs again."""

from __future__ import annotations

import pytest
import redis

from celeriac.brokers.base import Conflict
from celeriac.brokers.redis.envelopes import Envelopes
from celeriac.brokers.redis.keys import Keys
from celeriac.brokers.redis.scripts import script
from celeriac.brokers.redis.uniqueness import UniquePlan
from celeriac.message import OnConflict, Unique
from celeriac.testing.worlds import a_message

KEYS = Keys()


@pytest.fixture
def client(redis_db):
    with redis.Redis.from_url(redis_db) as client:
        yield client


def unique(task_id: str, on_conflict: OnConflict = OnConflict.SKIP, *, lasts: float = 60.0):
    return a_message(task_id, unique=Unique(key="k", lasts=lasts, on_conflict=on_conflict))


def publish(client, number: int, *messages, ahead: float = 0.0) -> list[Conflict]:
    plan = UniquePlan(KEYS, Envelopes(), messages)
    names = [KEYS.sent("p"), KEYS.answered("p"), *plan.names]
    args = [number, ahead, plan.encoded(), len(plan.queues), *plan.queues, *plan.envelopes]
    answer = client.eval(script("publish_unique").text, len(names), *names, *args)
    return plan.conflicts(answer, 0)


def test_a_repeat_publishes_nothing_and_answers_the_same(client):
    publish(client, 1, unique("first"))

    answers = [publish(client, 2, unique("second"), a_message("other")) for _ in range(3)]

    assert answers == [[Conflict(0, "k", "first")]] * 3
    assert client.llen("q") == 2


def test_a_repeat_of_what_was_published_is_no_conflict_with_itself(client):
    assert [publish(client, 1, unique("first")) for _ in range(2)] == [[], []]
    assert client.llen("q") == 1


def test_a_repeat_answers_the_same_though_the_run_has_ended_meanwhile(client):
    publish(client, 1, unique("first"))
    publish(client, 2, unique("second"))
    client.delete(KEYS.unique("k"))

    assert publish(client, 2, unique("second")) == [Conflict(0, "k", "first")]
    assert client.llen("q") == 1


def test_what_was_refused_as_a_whole_is_published_by_a_later_try(client):
    publish(client, 1, unique("first"))
    refused = publish(client, 2, a_message("other"), unique("second", OnConflict.RAISE))
    client.delete(KEYS.unique("k"))

    again = publish(client, 2, a_message("other"), unique("second", OnConflict.RAISE))

    assert refused == [Conflict(1, "k", "first")]
    assert again == []
    assert client.llen("q") == 3


@pytest.mark.parametrize("lasts", [0.001, 60.0, 1e6, 1e300])
def test_keys_expire_after_their_end(client, lasts):
    publish(client, 1, unique("first", lasts=lasts))

    assert client.pttl(KEYS.unique("k")) >= min(lasts * 1000, 8e14)
    assert client.pttl(KEYS.unique_in_use) >= client.pttl(KEYS.unique("k"))


def test_a_key_that_holds_something_else_stops_a_batch_before_anything_is_written(client):
    client.set("q", "a text")

    with pytest.raises(redis.ResponseError, match="the key q holds a string"):
        publish(client, 1, unique("first"))

    assert not client.exists(KEYS.unique("k"))
