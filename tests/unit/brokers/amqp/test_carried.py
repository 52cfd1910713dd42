from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import msgspec
import pytest

from celeriac.brokers.amqp.carried import Carried, Counts, carry, read_carried, read_counts
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


@pytest.mark.parametrize("nonsense", [-1, "3", 1.5, True, None])
def test_nonsense_counts_as_nothing(nonsense):
    assert read_counts({"x-celeriac-crashes": nonsense}) == Counts()


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
