"""Task messages: what Celery wrote is read rightly, and the same calls make the same messages here."""

from __future__ import annotations

import base64
import json
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from celeriac.exceptions import ContentDisallowed
from celeriac.message import Message
from celeriac.wire.compression import decompress
from celeriac.wire.envelope import read_envelope, write_envelope
from celeriac.wire.protocol import Call, TaskRequest, read_intake, read_request, write_message
from celeriac.wire.protocol1 import write_message_1
from celeriac.wire.serializers import Accept
from celeriac.wire.times import iso_text
from tests.golden import vector

TASK_VECTORS = [*vector.names("task-"), *vector.names("worker-sent-"), *vector.names("node-task-")]
NOT_JSON = [name for name in TASK_VECTORS if name.startswith(("task-serializer-", "task-compression-"))]
PROTOCOL_1 = [name for name in TASK_VECTORS if "-v1" in name]
PROTOCOL_2 = [name for name in TASK_VECTORS if name not in NOT_JSON and name not in PROTOCOL_1]

TAGGED_ARGS = [
    datetime(2024, 1, 2, 3, 4, 5, 678901, UTC),
    datetime(2024, 1, 2, 3, 4, 5),
    date(2024, 1, 2),
    time(3, 4, 5, 6),
    Decimal("1.10"),
    UUID("12345678-1234-5678-1234-567812345678"),
    b"abc",
    b"\xff\xfe",
    [1, 2],
]


def message_of(name: str) -> Message:
    found = vector.load(name)
    return read_envelope(found["redis_raw"].encode(), queue=found["redis_key"])


def arguments_in(name: str) -> tuple[list, dict]:
    args, kwargs, _ = vector.load(name)["decoded"]["body"]
    return (TAGGED_ARGS if name == "task-json-tagged-types" else args), kwargs


@pytest.mark.parametrize("name", PROTOCOL_2)
def test_the_arguments_are_those_that_were_passed(name: str) -> None:
    request = read_request(message_of(name))

    assert (request.args, request.kwargs) == arguments_in(name)
    assert list(map(type, request.args)) == list(map(type, arguments_in(name)[0]))


@pytest.mark.parametrize("name", PROTOCOL_2)
def test_every_header_reaches_the_request(name: str) -> None:
    headers = vector.load(name)["decoded"]["headers"]

    request = read_request(message_of(name))

    known = {field: getattr(request, field) for field in headers if field in TaskRequest.__struct_fields__}
    assert json.loads(json.dumps(known)) | request.headers == headers


@pytest.mark.parametrize("name", PROTOCOL_2)
def test_what_follows_a_run_is_read_from_the_body(name: str) -> None:
    embed = vector.load(name)["decoded"]["body"][2]

    request = read_request(message_of(name))

    read = {part: getattr(request, part) for part in ("callbacks", "errbacks", "chain", "chord")}
    assert read == {"callbacks": None, "errbacks": None, "chain": None, "chord": None} | embed


@pytest.mark.parametrize("name", PROTOCOL_2)
def test_the_supervisor_and_the_child_read_the_same_facts(name: str) -> None:
    message = message_of(name)

    intake, request = read_intake(message), read_request(message)

    assert (intake.task, intake.id, intake.retries, intake.ignore_result, intake.protocol) == (
        request.task,
        request.id,
        request.retries,
        request.ignore_result,
        2,
    )


@pytest.mark.parametrize("name", PROTOCOL_2)
def test_the_message_is_filed_under_its_id_and_priority(name: str) -> None:
    found = vector.load(name)["decoded"]

    message = message_of(name)

    assert message.task_id == found["headers"]["id"]
    assert message.priority == found["properties"].get("priority", 0)


@pytest.mark.parametrize(
    ("name", "eta", "expires"),
    [
        ("task-basic", None, None),
        ("task-eta-aware", datetime(2030, 1, 2, 3, 4, 5, 600_000, timezone(timedelta(hours=2))), None),
        ("task-eta-naive", datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC), None),
        ("task-expires-datetime", None, datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)),
        (
            "task-timezone",
            datetime(2026, 11, 22, 18, 45, 37, 397_684, UTC),
            datetime(2026, 11, 22, 18, 46, 27, 397_684, UTC),
        ),
        (
            "task-v1-full",
            datetime(2026, 11, 22, 18, 45, 36, 790_332, UTC),
            datetime(2026, 11, 22, 18, 46, 26, 790_332, UTC),
        ),
    ],
)
def test_times_are_read_as_instants(name: str, eta: datetime | None, expires: datetime | None) -> None:
    intake = read_intake(message_of(name))

    assert intake.eta_at == (eta and eta.timestamp())
    assert intake.expires_at == (expires and expires.timestamp())


def test_a_time_without_offset_is_in_the_zone_of_the_reader() -> None:
    intake = read_intake(message_of("task-eta-naive"), zone=ZoneInfo("Europe/Berlin"))

    assert intake.eta_at == datetime(2030, 1, 2, 2, 4, 5, tzinfo=UTC).timestamp()


@pytest.mark.parametrize("name", PROTOCOL_1)
def test_protocol_1_is_read(name: str) -> None:
    body = vector.load(name)["decoded"]["body"]

    request = read_request(message_of(name))

    assert (request.task, request.id, request.args, request.kwargs) == (
        body["task"],
        body["id"],
        body["args"],
        body["kwargs"],
    )
    assert (request.callbacks, request.errbacks, request.chord) == (
        body.get("callbacks"),
        body.get("errbacks"),
        body.get("chord"),
    )
    assert (request.group, request.group_index) == (body.get("taskset"), body.get("group_index"))
    assert (request.eta, request.expires, request.retries) == (
        body.get("eta"),
        body.get("expires"),
        body.get("retries", 0),
    )
    assert list(request.timelimit) == body.get("timelimit", [None, None])
    assert request.headers == vector.load(name)["decoded"]["headers"]


@pytest.mark.parametrize("name", PROTOCOL_1)
def test_the_facts_of_protocol_1_are_found_in_the_body(name: str) -> None:
    body = vector.load(name)["decoded"]["body"]

    intake = read_intake(message_of(name))

    assert (intake.task, intake.id, intake.retries, intake.protocol) == (
        body["task"],
        body["id"],
        body.get("retries", 0),
        1,
    )


DATA = Accept.of(("json", "msgpack", "yaml"))
PICKLES = Accept.of(("json", "pickle"), pickle_queues=("celery",))
SERIALIZED: dict[str, tuple[list, dict]] = {
    "task-serializer-msgpack": ([1, "a", b"\xff"], {"k": None}),
    "task-serializer-yaml": ([1, "a", datetime(2024, 1, 2, 3, 4, 5)], {"k": None}),
    "task-serializer-pickle": ([1, "a", {1, 2}], {"k": None}),
}


@pytest.mark.parametrize("name", [name for name in NOT_JSON if "serializer" in name])
def test_content_that_is_not_accepted_is_refused_by_name(name: str) -> None:
    content_type = vector.load(name)["decoded"]["content-type"]

    with pytest.raises(ContentDisallowed, match=content_type):
        read_request(message_of(name))


@pytest.mark.parametrize("name", SERIALIZED)
def test_other_serializers_are_read_when_they_are_accepted(name: str) -> None:
    accept = PICKLES if name.endswith("pickle") else DATA

    intake, request = read_intake(message_of(name), accept=accept), read_request(message_of(name), accept=accept)

    assert intake.id == request.id == vector.load(name)["decoded"]["headers"]["id"]
    assert (request.args, request.kwargs) == SERIALIZED[name]
    assert (request.callbacks, request.errbacks, request.chain, request.chord) == (None, None, None, None)


@pytest.mark.parametrize("name", [name for name in NOT_JSON if "compression" in name])
def test_every_compression_is_read(name: str) -> None:
    intake, request = read_intake(message_of(name)), read_request(message_of(name))

    assert intake.id == request.id == vector.load(name)["decoded"]["headers"]["id"]
    assert (request.args, request.kwargs) == arguments_in(name)
    assert request.headers == {}


FAMILIAR: dict[str, Any] = {"task": "proj.tasks.add", "queue": "celery", "args": (1, 2)}
MUL: dict[str, Any] = {
    "task": "proj.tasks.mul",
    "args": [10],
    "kwargs": {},
    "options": {},
    "subtask_type": None,
    "immutable": False,
}
CALLS: dict[str, dict[str, Any]] = {
    "task-basic": {"task": "proj.tasks.types", "args": (2, "hé"), "kwargs": {"k": [1, None, True, 1.5]}},
    "task-send-task-by-name": {"task": "other.task", "args": (1,), "ignore_result": None},
    "task-countdown": {
        "eta_at": datetime(2026, 11, 22, 18, 44, 17, 998_337, UTC).timestamp(),
        "expires_at": datetime(2026, 11, 22, 18, 45, 7, 998_337, UTC).timestamp(),
        "expiration_ms": 60_000,
    },
    "task-timezone": {
        "eta_text": iso_text(1795373137.397684, zone=ZoneInfo("Europe/Berlin")),
        "expires_text": iso_text(1795373187.397684, zone=ZoneInfo("Europe/Berlin")),
        "expiration_ms": 60_000,
    },
    "task-eta-aware": {"eta_text": "2030-01-02T03:04:05.600000+02:00"},
    "task-eta-naive": {"eta_text": "2030-01-02T03:04:05"},
    "task-expires-datetime": {
        "expires_at": datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC).timestamp(),
        "expiration_ms": 98_180_397_000,
    },
    "task-timelimit": {"time_limit": 30, "soft_time_limit": 20},
    "task-options": {
        "queue": "other",
        "shadow": "my.shadow",
        "headers": {"x-tenant": "t1", "nested": {"a": 1}},
        "ignore_result": True,
        "delivery_mode": 1,
        "argsrepr": "(<hidden>)",
        "kwargsrepr": "{<hidden>}",
        "properties": {"argsrepr": "(<hidden>)", "kwargsrepr": "{<hidden>}"},
    },
    "task-link": {
        "callbacks": [
            MUL,
            MUL | {"task": "proj.tasks.noop", "args": [1], "kwargs": {"a": 2}, "immutable": True},
        ],
        "errbacks": [
            MUL | {"task": "proj.tasks.errback_new", "args": []},
            MUL | {"task": "proj.tasks.errback_old", "args": []},
        ],
    },
    "task-stamped": {
        "stamped_headers": ["mtask_id", "tags"],
        "stamps": {"mtask_id": "m-1", "tags": ["a", "b"]},
        "callbacks": [
            MUL
            | {
                "args": [2],
                "options": {"stamped_headers": ["mtask_id", "tags"], "mtask_id": "m-1", "tags": ["a", "b"]},
            }
        ],
    },
    "task-json-tagged-types": {
        "task": "proj.tasks.types",
        "args": (*TAGGED_ARGS[:-1], (1, 2)),
        "kwargs": {"f": 1e100, "i": 2**70, "n": None},
    },
    "task-beat": {
        "args": [16, 16],
        "expires_text": "2026-11-22T19:02:21.027637+00:00",
        "expiration_ms": 15_000,
        "headers": {"celery_beat_task": True},
    },
    "task-priority-steps#5": {"args": (4, 0), "priority": 4},
    "task-priority-steps#11": {"args": (255, 0), "priority": 255},
    "task-serializer-msgpack": {"task": "proj.tasks.types", "args": (1, "a", b"\xff"), "kwargs": {"k": None}},
    "task-serializer-yaml": {
        "task": "proj.tasks.types",
        "args": (1, "a", datetime(2024, 1, 2, 3, 4, 5)),
        "kwargs": {"k": None},
    },
    "task-serializer-pickle": {"task": "proj.tasks.types", "args": (1, "a", {1, 2}), "kwargs": {"k": None}},
    "task-compression-gzip": {},
    "task-compression-zlib": {},
    "task-compression-bzip2": {},
    "task-compression-lzma": {},
    "task-compression-zstd": {},
    "task-compression-brotli": {},
    "worker-sent-retry#0": {"task": "proj.tasks.retrying", "args": (1,)},
    "worker-sent-retry#1": {
        "task": "proj.tasks.retrying",
        "args": (1,),
        "retries": 1,
        "eta_text": "2026-11-22T18:49:04.964844+00:00",
        "parent_id": "00000304-0000-4000-8000-000000000304",
        "properties": {"origin": "gen27194@host1"},
    },
}


def write(name: str) -> Message:
    headers = vector.load(name)["decoded"]["headers"]
    form = {kind: name.rpartition("-")[2] for kind in ("serializer", "compression") if kind in name}
    call = Call(**FAMILIAR | CALLS[name] | form | {"id": headers["id"]})
    return write_message(call, origin=headers["origin"])


# What a compressor makes of the same bytes depends on the version of its library.
DETERMINISTIC = [name for name in CALLS if "compression" not in name]


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_the_same_call_makes_the_same_body_to_the_byte(name: str) -> None:
    envelope = json.loads(vector.load(name)["redis_raw"])

    message = write(name)

    assert message.body == base64.b64decode(envelope["body"])


@pytest.mark.parametrize("name", CALLS)
def test_the_same_call_makes_the_same_headers_in_the_same_order(name: str) -> None:
    headers = vector.load(name)["decoded"]["headers"]

    message = write(name)

    assert list(json.loads(message.headers).items()) == list(headers.items())


@pytest.mark.parametrize("name", [name for name in CALLS if name not in DETERMINISTIC])
def test_the_same_call_is_compressed_from_the_same_bytes(name: str) -> None:
    envelope = json.loads(vector.load(name)["redis_raw"])
    packed_as = envelope["headers"]["compression"]

    message = write(name)

    ours, theirs = (decompress(body, packed_as, max_bytes=1000) for body in (message.body, message_of(name).body))
    assert ours == theirs
    assert message.body[:2] == message_of(name).body[:2] or packed_as == "application/x-brotli"


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_the_same_call_makes_the_same_envelope(name: str) -> None:
    envelope = json.loads(vector.load(name)["redis_raw"])
    properties = envelope["properties"]

    written = write_envelope(
        write(name),
        delivery_tag=properties["delivery_tag"],
        reply_to=properties["reply_to"],
        **properties["delivery_info"],
    )

    assert json.loads(written) == envelope
    assert list(json.loads(written)) == list(envelope)


@pytest.mark.parametrize("name", [name for name in TASK_VECTORS if name != "task-body-encoding-utf8"])
def test_an_envelope_that_is_read_and_written_again_says_the_same(name: str) -> None:
    envelope = json.loads(vector.load(name)["redis_raw"])
    info = envelope["properties"]["delivery_info"]

    written = write_envelope(
        message_of(name),
        delivery_tag=envelope["properties"]["delivery_tag"],
        exchange=info["exchange"],
        routing_key=info["routing_key"],
    )

    implied = {"priority": 0, "correlation_id": message_of(name).task_id}
    assert json.loads(written) == envelope | {"properties": implied | envelope["properties"]}


CALLS_1: dict[str, dict[str, Any]] = {
    "task-v1-basic": {},
    "task-v1-full": {
        "eta_text": "2026-11-22T18:45:36.790332+00:00",
        "expires_text": "2026-11-22T18:46:26.790332+00:00",
        "expiration_ms": 60_000,
        "time_limit": 30,
        "soft_time_limit": 20,
        "callbacks": [MUL | {"args": [2]}],
        "errbacks": [MUL | {"task": "proj.tasks.errback_old", "args": []}],
        "headers": {"x": 1},
    },
}


@pytest.mark.parametrize("name", CALLS_1)
def test_the_same_call_makes_the_same_message_of_protocol_1(name: str) -> None:
    envelope = json.loads(vector.load(name)["redis_raw"])
    properties = envelope["properties"]
    call = Call(**FAMILIAR | CALLS_1[name] | {"id": vector.load(name)["decoded"]["body"]["id"]})

    written = write_envelope(
        write_message_1(call),
        delivery_tag=properties["delivery_tag"],
        reply_to=properties["reply_to"],
        **properties["delivery_info"],
    )

    assert json.loads(written) == envelope


def test_long_arguments_show_shortened_and_travel_whole() -> None:
    found = vector.load("task-repr-truncated")
    call = Call(
        task="proj.tasks.types", id="i", queue="celery", args=("x" * 2000, list(range(500))), kwargs={"k": "y" * 2000}
    )

    message = write_message(call, origin="gen1@host1")

    headers = json.loads(message.headers)
    assert message.body == base64.b64decode(json.loads(found["redis_raw"])["body"])
    assert headers["argsrepr"].startswith("('xxx")
    assert headers["kwargsrepr"].startswith("{'k': 'yyy")
    assert max(len(headers["argsrepr"]), len(headers["kwargsrepr"])) <= 1024
