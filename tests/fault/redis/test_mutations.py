"""Anybody can push anything onto a list. Whatever it is, it becomes a dead letter, and the same processes go on."""

from __future__ import annotations

import base64
import json
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from celeriac.ids import new_id
from celeriac.wire.envelope import write_envelope
from celeriac.wire.protocol import Call, write_message
from tests.fault.redis.streams import wait_done
from tests.servers.redis import DURABLE
from tests.size import scaled

pytestmark = [pytest.mark.fault, pytest.mark.serial, pytest.mark.timeout(600)]

GOOD = scaled(10_000)
BAD = scaled(10_000)
SEED = 10_000
QUEUE = "celery"
STEPS = ("", "\x06\x163", "\x06\x166", "\x06\x169")

Fields = dict[str, Any]
Mutation = Callable[[Fields, random.Random], None]


def envelope_of(number: int) -> bytes:
    call = Call(task="tasks.noted", id=f"bad-{number}", queue=QUEUE, args=(f"bad-{number}",))
    return write_envelope(write_message(call, origin="test"), delivery_tag=new_id())


# -- of what is in an envelope: each makes it a message that nobody can run -------------------------------------------


def put(path: str, *values: Any) -> Mutation:
    """Put one of the values where such a thing cannot be."""

    def mutate(fields: Fields, chance: random.Random) -> None:
        *parents, last = path.split(".")
        for name in parents:
            fields = fields[name]
        fields[last] = chance.choice(values)

    return mutate


def leave_out(path: str) -> Mutation:
    def mutate(fields: Fields, chance: random.Random) -> None:
        *parents, last = path.split(".")
        for name in parents:
            fields = fields[name]
        del fields[last]

    return mutate


def body(*texts: str) -> Mutation:
    """Put one of the texts into the body."""

    def mutate(fields: Fields, chance: random.Random) -> None:
        fields["body"] = base64.b64encode(chance.choice(texts).encode(errors="surrogatepass")).decode()

    return mutate


def broken_base64(fields: Fields, chance: random.Random) -> None:
    place = chance.randrange(len(fields["body"]))
    fields["body"] = fields["body"][:place] + chance.choice("!\u00e9\x00~ =") + fields["body"][place:] + "!"


def many_headers(fields: Fields, chance: random.Random) -> None:
    fields["headers"].update({f"x{number}": number for number in range(chance.randrange(300, 500))})


def deep_header(fields: Fields, chance: random.Random) -> None:
    value: Any = 1
    for _ in range(chance.randrange(200, 400)):
        value = [value]
    fields["headers"]["x"] = value


OF_FIELDS: list[Mutation] = [
    put("headers", 5, None, [], "text", [[1]], True),
    put("properties", 5, [], "text", True),
    put("body", 5, None, [], {}, True),
    put("headers.task", 5, [], {}, None, True, "x" * 2_000, "nul\0", ""),
    put("headers.id", 5, [], {}, True, "x" * 300, "nul\0"),
    put("headers.retries", "many", -1, [], {}, 1e300),
    put("headers.eta", "soon", 5, [], {}, "2026-99-99T00:00:00"),
    put("headers.expires", "soon", [], {}, "2026-99-99T00:00:00"),
    put("content-type", "application/x-nothing", "application/x-python-serialize", "x" * 500, 5, []),
    leave_out("body"),
    leave_out("headers.task"),
    body(
        "", "{", "null", "5", "[]", "[[1]]", '[{"a": 1}, {}, {}]', "[5, {}, {}]", "[[1], [], {}]", '"text"', "\ufeff{"
    ),
    body("[" * 10_000 + "]" * 10_000, "[" * 5_000),
    broken_base64,
    many_headers,
    deep_header,
]


# -- of the bytes: each makes it no JSON ------------------------------------------------------------------------------


def noise(raw: bytes, chance: random.Random) -> bytes:
    return chance.randbytes(chance.randrange(0, 2_000))


def shortened(raw: bytes, chance: random.Random) -> bytes:
    return raw[: chance.randrange(len(raw))]


def flipped(raw: bytes, chance: random.Random) -> bytes:
    """Flip bits until it is no JSON any more."""
    mutated = bytearray(raw)
    while is_json(bytes(mutated)):
        mutated[chance.randrange(len(mutated))] ^= 1 << chance.randrange(8)
    return bytes(mutated)


def lengthened(raw: bytes, chance: random.Random) -> bytes:
    return raw + chance.choice([b"}", b"{}", raw, b"\0", b"x" * 100_000])


def other_json(raw: bytes, chance: random.Random) -> bytes:
    return chance.choice([b"5", b"[]", b"{}", b"null", b'"text"', b"[" * 50_000, b"[" * 9_000 + b"]" * 9_000, b"1e999"])


OF_BYTES = [noise, shortened, flipped, lengthened, other_json]


def is_json(raw: bytes) -> bool:
    """Say whether something may be read as JSON, odd characters in texts that nobody needs included."""
    try:
        json.loads(raw.decode(errors="replace"), strict=False)
    except ValueError:
        return False
    return True


def mutated(number: int, chance: random.Random) -> bytes:
    raw = envelope_of(number)
    if chance.random() < 0.5:
        return chance.choice(OF_BYTES)(raw, chance)
    fields = json.loads(raw)
    chance.choice(OF_FIELDS)(fields, chance)
    return json.dumps(fields).encode()


def test_mutated_messages_among_good_ones_die_with_a_reason_and_hold_nothing_up(redis_server, project_on, tell):
    chance = random.Random(SEED)
    server = redis_server(*DURABLE)
    project = project_on(server)
    node = project.start()
    project.call("pid").get(timeout=60)
    pids = {process.pid for process in node.members()}
    client = project.store.client
    bad = [mutated(number, chance) for number in range(BAD)]

    good: set[str] = set()
    for start in range(0, BAD, 500):
        names: list[Any] = [((f"good-{number}",), {}) for number in range(start, min(start + 500, GOOD))]
        good.update(project.app.sender.send_many("tasks.noted", names))
        with client.pipeline(transaction=False) as pipeline:
            for raw in bad[start : start + 500]:
                pipeline.lpush(QUEUE + chance.choice(STEPS), raw)
            pipeline.execute()
    wait_done(project, within=300)

    letters = project.store.dead_letters()
    survived = Counter(bad) - Counter(raw for _, raw in letters)
    tell(f"{GOOD} good messages, {BAD} bad ones, {len(letters)} dead letters, {len(node.log):,} bytes of log")
    assert not survived, f"{survived.total()} were not dead-lettered as they came: {list(survived)[:3]}"
    assert len(letters) == BAD
    assert all(reason for reason, _ in letters)
    assert good <= {task_id for task_id, record in project.store.results().items() if record["status"] == "SUCCESS"}
    assert {name.partition("-")[0] for name in project.runs()} == {"good"}, "no bad one ran"
    assert {process.pid for process in node.members()} == pids, node.log_end
    assert "Traceback" not in node.log, node.log_end
    assert node.stop() == 0
    project.assert_clean()
