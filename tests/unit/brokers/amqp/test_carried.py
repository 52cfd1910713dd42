from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import msgspec
import pytest

from celeriac.brokers.amqp.carried import (
    Carried,
    Counts,
    carry,
    carry_copy,
    read_carried,
    read_copy,
    read_counts,
)
from celeriac.exceptions import EncodeError
from celeriac.testing.worlds import a_message


def test_a_message_comes_back_as_it_went():
    message = msgspec.structs.replace(
        a_message("id-1", queue="q", priority=7), properties=b'{"reply_to": "r", "app_id": "shop"}'
    )

    again = read_carried(carry(message), queue="q")

    assert msgspec.json.decode(again.headers) == msgspec.json.decode(message.headers)
    assert msgspec.json.decode(again.properties or b"") == {"reply_to": "r", "app_id": "shop"}
    same = {"headers": b"", "properties": None}
    assert msgspec.structs.replace(again, **same) == msgspec.structs.replace(message, **same)


def test_what_befell_a_message_travels_with_it_and_is_not_seen_by_its_task():
    counts = Counts(crashes=2, node_losses=3, releases=1)

    carried = carry(a_message(), counts)

    assert read_counts(carried.headers) == counts
    assert b"celeriac" not in read_carried(carried, queue="q").headers


@pytest.mark.parametrize("nonsense", [-1, "text", 1.5, None, 3, [], [0], [0, -1], [0, "3"], ["0", 3], [0, 1, 2]])
def test_nonsense_counts_as_nothing(nonsense):
    assert read_counts({"x-celeriac-crashes": nonsense}) == Counts()


def test_what_befell_an_attempt_does_not_follow_the_task_to_the_next():
    headers = carry_copy(a_message(), Counts(crashes=2), token="node", tag=7).headers

    next_attempt = {**headers, "retries": 1}

    assert read_counts(next_attempt) == Counts()
    assert read_copy(next_attempt) is None


def test_headers_of_other_languages_are_told_as_json():
    headers = {"id": "x", "b": b"\xff", "d": Decimal("1.5"), "t": datetime(2026, 1, 2, tzinfo=UTC), "l": [b"a"]}

    read = read_carried(Carried(headers, {}, b""), queue="q")

    assert msgspec.json.decode(read.headers) == {
        "id": "x",
        "b": "\ufffd",
        "d": "1.5",
        "t": "2026-01-02T00:00:00+00:00",
        "l": ["a"],
    }


def test_headers_that_are_too_deep_are_refused():
    deep: list[object] = []
    for _ in range(1_000):
        deep = [deep]

    with pytest.raises(EncodeError, match="nested"):
        read_carried(Carried({"deep": deep}, {}, b""), queue="q")


@pytest.mark.parametrize("headers", [b"[]", b"1"])
def test_headers_that_are_no_object_are_refused(headers):
    with pytest.raises(EncodeError, match="id-1"):
        carry(msgspec.structs.replace(a_message(), headers=headers))


def test_a_copy_tells_what_it_stands_for_and_outlasts_it():
    message = read_carried(
        Carried(
            {"id": "x", "x-death": [{"queue": "q"}]}, {"expiration": "5", "delivery_mode": 1, "priority": 3}, b"[]"
        ),
        queue="q",
    )

    copy = carry_copy(message, Counts(crashes=1), token="node/1", tag=7)

    assert read_copy(copy.headers) == ("node/1", 7)
    assert read_counts(copy.headers) == Counts(crashes=1)
    assert "x-death" not in copy.headers
    assert "expiration" not in copy.properties
    assert copy.properties["delivery_mode"] == 2
    assert copy.properties["priority"] == 3
    assert read_copy(carry(read_carried(copy, queue="q")).headers) is None


@pytest.mark.parametrize("nonsense", [None, 7, "", "node", [], [0, "node"], [0, "node", "7"], [0, 7, "node"]])
def test_what_says_nonsense_is_no_copy(nonsense):
    assert read_copy({"x-celeriac-copy": nonsense}) is None
