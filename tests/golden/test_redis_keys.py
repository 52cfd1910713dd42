"""The keys and members that Celery and kombu were seen to use are those that we use."""

from __future__ import annotations

import json
from typing import Any

import pytest

from celeriac.brokers.redis.bindings import binding, bound_queues, tables_and_members
from celeriac.brokers.redis.keys import SEPARATOR, Keys
from celeriac.brokers.redis.restoring import read_unacked
from celeriac.wire.envelope import read_envelope
from tests.golden import vector

MESSAGES = [*vector.names("task-"), *vector.names("node-task-"), *vector.names("worker-sent-")]
TABLES = ["broker-redis-keys", "broker-redis-keys-prefixed", "broker-redis-keys-5.6"]


def conf_of(name: str) -> dict[str, Any]:
    whole = vector.load(name.partition("#")[0])
    return (whole.get("conf") or {}).get("broker_transport_options", {})


def keys_for(options: dict[str, Any]) -> Keys:
    given = {"separator": options.get("sep"), "steps": options.get("priority_steps")}
    return Keys(options.get("global_keyprefix", ""), **{name: value for name, value in given.items() if value})


@pytest.mark.parametrize("name", MESSAGES)
def test_a_message_belongs_into_the_list_in_which_celery_put_it(name: str) -> None:
    found, keys = vector.load(name), keys_for(conf_of(name))
    info = json.loads(found["redis_raw"])["properties"]["delivery_info"]
    queue = info["routing_key"] if info["exchange"] == "" else "tq"

    message = read_envelope(found["redis_raw"].encode(), queue=queue)

    assert keys.list_of(queue, message.priority).decode() == found["redis_key"]
    assert keys.queue_of(found["redis_key"].encode()) == queue


@pytest.mark.parametrize("name", TABLES)
def test_a_queue_is_bound_as_celery_binds_it(name: str) -> None:
    found = vector.load(name)
    keys = keys_for(found["conf"].get("broker_transport_options", {}) if "conf" in found else {})

    ours = {
        table.decode(): [member.decode()] for table, member in zip(*tables_and_members(keys, ["parked"]), strict=True)
    }

    theirs = {key: entry["value"] for key, entry in found["keys"].items() if key.endswith(".parked")}
    assert theirs.items() <= ours.items()
    assert len(theirs) == len(ours) or name.endswith("-5.6")  # which knew no permanent bindings


@pytest.mark.parametrize("name", TABLES)
def test_every_captured_binding_names_its_queue(name: str) -> None:
    keys = Keys("")
    for key, entry in vector.load(name)["keys"].items():
        if "_kombu.binding." in key or "_kombu.binding_permanent." in key:
            [member] = entry["value"]
            routing_key, _, queue = member.split(SEPARATOR)
            assert keys.queue_of_binding(member.encode()) == queue
            assert binding(queue, routing_key=routing_key, separator=SEPARATOR).decode() == member
            assert bound_queues([member.encode()], routing_key, separator=SEPARATOR) == [queue]


def test_a_topic_is_followed_by_its_pattern() -> None:
    members = [
        binding("tq", routing_key="a.#", pattern=r"^a\..*?$", separator=SEPARATOR),
        b"no member",
        b"a\x06\x16(\x06\x16q",
    ]

    assert bound_queues(members, "a.b", separator=SEPARATOR) == ["tq"]
    assert bound_queues(members, "a", separator=SEPARATOR) == ["q"]
    assert bound_queues(members, "b", separator=SEPARATOR) == []


def restored(name: str) -> list[tuple[str, str]]:
    """Return the lists and the texts that kombu pushed there when it restored."""
    commands = vector.load(name)["redis_commands"]
    return [(command[1], command[2]) for command in commands if command[0] == "RPUSH"]


@pytest.mark.parametrize(
    ("held", "put_back"),
    [
        ("broker-redis-unacked", "broker-redis-restored-at-shutdown"),
        ("broker-redis-visibility-restore", "broker-redis-visibility-restore"),
    ],
)
def test_what_a_worker_held_is_put_back_as_kombu_puts_it_back(held: str, put_back: str) -> None:
    found = vector.load(held)
    values = {
        json.loads(value)[0]["properties"]["delivery_tag"]: value
        for value in (found.get("unacked") or found["after"]["unacked"]).values()
    }

    for list_name, text in restored(put_back):
        unacked = read_unacked(values[json.loads(text)["properties"]["delivery_tag"]].encode())

        assert unacked.envelope.decode() == text
        assert unacked.exchange == ""
        assert Keys("").list_of(unacked.routing_key, unacked.priority).decode() == list_name
