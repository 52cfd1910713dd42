"""Chords in Redis: what Celery does to the keys of a join, we do, and each finishes what the other began."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
import pytest
import redis

from celeriac.backends.redis import RedisBackend
from celeriac.brokers.joins import JoinAddition, JoinEffects, JoinStart, Member
from celeriac.brokers.redis.options import read_options
from celeriac.brokers.redis.place import read_place
from celeriac.testing.worlds import a_message
from celeriac.wire.members import told_by_item
from tests.golden import vector

MARK = "celery-taskset-meta-"
WRITES = {"SET", "SETEX", "INCRBY", "ZADD", "SADD"}


class Captured(NamedTuple):
    """One join, with the commands that wrote to its keys until it was complete."""

    group_id: str
    commands: list[list[str]]

    def key(self, letter: str) -> str:
        return f"{MARK}{self.group_id}.{letter}"

    def of(self, letter: str) -> list[list[str]]:
        return [words for words in self.commands if words[1] == self.key(letter)]

    @property
    def size(self) -> int:
        command, _, *words = self.of("s")[-1]
        return int(words[1] if command == "SETEX" else words[0])

    @property
    def added(self) -> int:
        return len(self.of("t"))

    @property
    def header(self) -> bytes | None:
        saved = [words for words in self.commands if words[1] == MARK + self.group_id]
        return saved[0][3 if saved[0][0] == "SETEX" else 2].encode() if saved else None

    @property
    def members(self) -> list[Member]:
        found = []
        for _, _, score, item in self.of("j"):
            task_id, state = told_by_item(item.encode())
            index = None if score == "+inf" else int(score)
            found.append(Member(self.group_id, task_id, index, state, item.encode(), a_message(task_id)))
        return found

    def before_the_last(self) -> list[list[str]]:
        """Return the commands before the last member is counted."""
        last = self.of("j")[-1]
        return self.commands[: self.commands.index(last)]

    def last(self) -> list[list[str]]:
        """Return those from then on."""
        return self.commands[self.commands.index(self.of("j")[-1]) :]


def joins(name: str) -> list[Captured]:
    """Return the joins of a vector all members of which ended in it, each by its own workers."""
    commands = [one["command"] for one in vector.load(name)["redis_commands"]]
    ids = dict.fromkeys(words[1][len(MARK) : -2] for words in commands if words[1:] and words[1].endswith(".j"))
    found = []
    for group_id in ids:
        mine = [words for words in commands if words[0] in WRITES and words[1].startswith(MARK + group_id)]
        mine = [words for words in mine if not words[1].endswith(".c")]
        found.append(Captured(group_id, mine))
    return found


NAMED = {f"{name}-{one.group_id[:4]}": one for name in vector.names("chord-redis-") for one in joins(name)}
TOO_SMALL = {name: one for name, one in NAMED.items() if len(one.members) > one.size + one.added}
"""Celery before 5.7 sets the size anew when a chain in the header sends the group that it ends in."""


def each_of(found: dict[str, Captured]) -> Any:
    return pytest.mark.parametrize("captured", list(found.values()), ids=list(found))


JOINS = each_of(NAMED)
JOINS_TOO_SMALL = each_of(TOO_SMALL)
JOINS_IN_STEP = each_of({name: one for name, one in NAMED.items() if name not in TOO_SMALL})
JOINS_OF_5_7 = each_of({name: one for name, one in NAMED.items() if one.of("d")})


@pytest.fixture
def client(redis_db):
    with redis.Redis.from_url(redis_db) as client:
        yield client


@pytest.fixture
def backend(redis_db):
    reading = read_options(read_place(redis_db, "result_backend"), {}, setting="result_backend_transport_options")
    backend = RedisBackend(reading.place, reading.options)
    yield backend
    backend.close()


def begin(backend: RedisBackend, captured: Captured) -> None:
    """Start a join, and add to it what was added."""
    additions = tuple(JoinAddition(captured.group_id, f"more-{number}", 0) for number in range(captured.added))
    start = JoinStart(captured.group_id, captured.size, None, captured.header)
    backend.join([JoinEffects(starts=(start,), additions=additions)])


def kept(client: redis.Redis, captured: Captured) -> dict[str, Any]:
    """Return what the keys of a join hold that Celery looks at."""
    return {
        "items": client.zrange(captured.key("j"), 0, -1, withscores=True),
        "size": client.get(captured.key("s")),
        "added": client.get(captured.key("t")),
        "header": client.get(MARK + captured.group_id),
        "publisher": client.get(captured.key("c")),
    }


def replay(client: redis.Redis, commands: list[list[str]]) -> None:
    for words in commands:
        client.execute_command(*words)


def test_the_vectors_have_joins_of_every_kind():
    assert len(NAMED) >= 10
    assert any(each.header for each in NAMED.values())
    assert any(each.added for each in NAMED.values())
    assert len(TOO_SMALL) == 2
    assert sum(bool(each.of("d")) for each in NAMED.values()) >= 4


@JOINS_IN_STEP
def test_members_are_kept_as_celery_keeps_them(captured, backend, client) -> None:
    replay(client, captured.before_the_last())
    by_celery, counted = kept(client, captured), client.smembers(captured.key("d"))
    client.flushdb()

    begin(backend, captured)
    backend.join([JoinEffects(counts=tuple(captured.members[:-1]))])

    assert kept(client, captured) == by_celery
    if captured.of("d"):
        known = client.smembers(captured.key("d"))
        assert {word for word in known if not word.startswith(b"+")} == counted


@JOINS_IN_STEP
def test_what_celery_began_is_finished(captured, backend, client) -> None:
    replay(client, captured.before_the_last())

    complete = backend.join([JoinEffects(counts=(captured.members[-1],))])

    assert [message.task_id for message in complete] == [captured.members[-1].task_id]
    found = backend.kept_join(captured.group_id)
    assert (found.size, found.added, found.counted) == (captured.size, captured.added, captured.size + captured.added)
    assert found.header == captured.header
    items = [one.item for chunk in backend.members(captured.group_id) for one in chunk]
    replay(client, captured.last())
    assert items == client.zrange(captured.key("j"), 0, -1)


@JOINS_IN_STEP
def test_celery_finishes_what_we_began(captured, backend, client) -> None:
    begin(backend, captured)
    backend.join([JoinEffects(counts=tuple(captured.members[:-1]))])

    replay(client, captured.last())

    now = kept(client, captured)
    assert client.zcount(captured.key("j"), "-inf", "+inf") == int(now["size"]) + int(now["added"] or 0)
    assert now["publisher"] is None  # so that Celery may


@JOINS_TOO_SMALL
def test_members_are_counted_behind_a_size_that_is_too_small(captured, backend, client) -> None:
    replay(client, captured.before_the_last())

    assert len(backend.join([JoinEffects(counts=(captured.members[-1],))])) == 1

    items = [one.item for chunk in backend.members(captured.group_id) for one in chunk]
    assert len(items) == len(captured.members) == captured.size + 1


@JOINS_OF_5_7
def test_a_member_that_celery_has_counted_counts_once(captured, backend, client) -> None:
    replay(client, captured.before_the_last())
    first = captured.members[0]

    complete = backend.join([JoinEffects(counts=(msgspec.structs.replace(first, item=b"another text"),))])

    assert complete == []
    assert client.zcard(captured.key("j")) == len(captured.members) - 1


@JOINS
def test_celery_publishes_no_body_that_we_publish(captured, backend, client) -> None:
    begin(backend, captured)
    backend.join([JoinEffects(counts=tuple(captured.members))])

    assert client.set(captured.key("c"), "token of Celery", nx=True, ex=6) is None


@JOINS
def test_we_publish_no_body_that_celery_publishes(captured, backend, client) -> None:
    replay(client, captured.commands)
    client.set(captured.key("c"), "token of Celery", ex=6)

    assert backend.join([JoinEffects(counts=(captured.members[-1],))]) == []
    assert backend.kept_join(captured.group_id) is None  # so that a node looks again

    client.set(captured.key("c"), "done", ex=300)
    assert backend.join([JoinEffects(counts=(captured.members[-1],))]) == []
    assert backend.kept_join(captured.group_id).is_joined


@JOINS
def test_the_shorter_life_that_celery_gives_a_join_is_made_longer(captured, backend, client) -> None:
    replay(client, captured.before_the_last()[:-1])
    keys = [key for key in client.scan_iter() if not key.endswith(b".c")]
    for key in keys:
        client.expire(key, 60)

    backend.join([JoinEffects(counts=(captured.members[0],))])

    assert all(client.ttl(key) > 29 * 86_400 for key in keys)
