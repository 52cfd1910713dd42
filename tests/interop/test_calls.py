"""Calls from one kind to another: arguments, options, and what becomes of them."""

from __future__ import annotations

import datetime
import time
from decimal import Decimal
from uuid import UUID

import pytest

from tests.interop.fleet import CELERY_5_3, wait_until
from tests.interop.ways import Way

pytestmark = pytest.mark.timeout(300)  # the first run installs Celery

PLAIN = [1, -(2**70), 1.5, "é \x00 \U0001f600", None, True, [], {}, {"a": [1, {"b": None}]}]
TAGGED = [
    datetime.datetime(2024, 1, 2, 3, 4, 5, 678901, datetime.UTC),
    datetime.datetime(2024, 1, 2, 3, 4, 5),
    datetime.date(2024, 1, 2),
    datetime.time(3, 4, 5, 6),
    Decimal("1.10"),
    UUID("12345678123456781234567812345678"),
    b"abc",
    b"\xff\xfe",
]


def test_a_call_is_run_by_the_other_kind(way: Way) -> None:
    assert way.call("by.delay()") == way.package


def test_plain_arguments_arrive_and_come_back(way: Way) -> None:
    assert way.call("echo.delay(*{args}, k={args})", args=PLAIN) == [PLAIN, {"k": PLAIN}]


def test_arguments_with_types_of_their_own_arrive_and_come_back(way: Way) -> None:
    assert way.call("echo.delay(*{args})", args=TAGGED) == [TAGGED, {}]


@pytest.mark.parametrize("serializer", ["json", "msgpack", "yaml", "pickle"])
def test_every_serializer_is_read(way: Way, serializer: str) -> None:
    args = PLAIN if serializer != "msgpack" else [each for each in PLAIN if each != -(2**70)]  # 64 bits are its limit

    assert way.call("echo.apply_async({args}, serializer={name})", args=args, name=serializer) == [args, {}]


@pytest.mark.parametrize("compression", ["zlib", "gzip", "bzip2", "lzma", "brotli", "zstd"])
def test_every_compression_is_read(way: Way, compression: str) -> None:
    if CELERY_5_3 in (way.producer, way.consumer) and compression in ("brotli", "zstd", "lzma"):
        compression = "bzip2"  # what it has without further packages

    value = "x" * 5_000
    assert way.call("echo.apply_async([{value}], compression={name})", value=value, name=compression) == [[value], {}]


def test_a_message_of_protocol_1_is_run(way: Way) -> None:
    call = "request.apply_async((), expires=3600, headers={'x-tenant': 't1'})"

    found = way.call(call, settings={"task_protocol": 1})

    assert found["by"] == way.package
    assert found["expires"] is not None
    assert found["argsrepr"] in (None, "")  # which protocol 1 does not know


def test_a_body_sees_what_the_call_said(way: Way) -> None:
    call = "request.apply_async((), shadow='short', headers={'x-tenant': 't1'}, time_limit=30, soft_time_limit=20)"
    task_id = way.send(call)

    found = way.get(task_id)

    assert found | {"root_id": None} == {
        "by": way.package,
        "id": task_id,
        "root_id": None,
        "parent_id": None,
        "eta": None,
        "expires": None,
        "retries": 0,
        "timelimit": [30, 20],
        "argsrepr": "()",
        "headers": {"x-tenant": "t1"},
        "ignore_result": False,
        "redelivered": False,
        "routing_key": "celery",
        "priority": 0,
        "shadow": "short",
    }
    assert found["root_id"] == task_id


def test_a_call_by_name_is_run(way: Way) -> None:
    assert way.call("app.send_task('shop.add', (20, 3))") == 23


@pytest.mark.parametrize("when", ["countdown=1.5", "eta=datetime.datetime.now(datetime.timezone.utc) + later"])
def test_a_call_for_later_is_not_run_before(way: Way, when: str) -> None:
    name = f"later-{when.partition('=')[0]}"
    called_at = time.time()
    way.send(f"noted.apply_async(({name!r},), {when.replace('later', 'datetime.timedelta(seconds=1.5)')})")

    wait_until(lambda: way.fleet.ran(name), what=way.fleet.logs)

    [[_, _, package, at]] = [words for words in way.fleet.notes("ran") if words[1] == name]
    assert package == way.package
    assert 1.5 <= float(at) - called_at < 10


def test_what_has_expired_is_revoked(way: Way) -> None:
    task_id = way.send("noted.apply_async(('expired',), expires=-1)")

    assert way.state(task_id) == "REVOKED"
    assert way.failure(task_id) == ["TaskRevokedError", ["expired"]]
    assert way.fleet.ran("expired") == []


def test_what_has_not_expired_is_run(way: Way) -> None:
    assert way.call("by.apply_async((), expires=60)") == way.package


def test_a_retry_is_run_again_with_all_that_the_call_said(way: Way) -> None:
    task_id = way.send("retrying.apply_async((2,), headers={'x-tenant': 't1'}, priority=3)")

    assert way.get(task_id) == [2, {"x-tenant": "t1"}, way.package]
    assert way.fleet.ran(task_id) == [way.package] * 3


def test_an_ignored_result_is_stored_nowhere(way: Way) -> None:
    silent = way.send("silent.delay('silent-1')")
    asked = way.send("noted.apply_async(('silent-2',), ignore_result=True)")
    wait_until(lambda: way.fleet.ran("silent-1") and way.fleet.ran("silent-2"), what=way.fleet.logs)
    way.call("by.delay()")

    assert way.fleet.results.exists(f"celery-task-meta-{silent}", f"celery-task-meta-{asked}") == 0


def test_failures_come_back_as_what_was_raised(way: Way) -> None:
    assert way.failure(way.send("fail.delay('no', 5)")) == ["ValueError", ["no", "5"]]
    assert way.failure(way.send("sell.delay('socks')")) == ["OutOfStock", ["socks", "3"]]


def test_a_record_says_the_same_whoever_wrote_it(way: Way) -> None:
    task_id = way.send("fail.delay('no')")

    record = way.fleet.record(task_id)

    assert list(record) == ["status", "result", "traceback", "children", "date_done", "task_id"]
    assert record["result"] == {"exc_type": "ValueError", "exc_message": ["no"], "exc_module": "builtins"}
    assert "ValueError: no" in record["traceback"]
    assert 86_000 < way.fleet.results.ttl(f"celery-task-meta-{task_id}") <= 86_400


def test_callbacks_and_errbacks_follow(way: Way) -> None:
    ended = way.send("add.apply_async((1, 2), link=callback.s(name='link-1'))")
    failed = way.send("fail.apply_async(('no',), link_error=[errback.s(), errback_by_id.s()])")

    wait_until(lambda: len(way.fleet.notes("called")) >= 1, what=way.fleet.logs)
    wait_until(lambda: len([one for one in way.fleet.notes("failed") if one[1] == failed]) == 2, what=way.fleet.logs)

    assert ["called", "link-1", "3", way.package] in way.fleet.notes("called")
    kinds = sorted(words[2] for words in way.fleet.notes("failed") if words[1] == failed)
    assert kinds == ["ValueError", "by-id"]
    assert way.get(ended) == 3
