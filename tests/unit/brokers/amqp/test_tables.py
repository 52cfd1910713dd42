from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import amqp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.brokers.amqp.carried import Carried
from celeriac.brokers.amqp.tables import UNREAD, read_properties, unread, write_properties
from tests.tables_by_hand import BROKEN, HOSTILE, Raw

HEADERS = {
    "task": "shop.pay",
    "id": "9f1c",
    "eta": None,
    "retries": 0,
    "large": 2**40,
    "timelimit": [300, 5.5],
    "ignore_result": False,
    "stamps": {"by": ["ann", "bob"], "deeper": {"x": None}},
    "when": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    "price": Decimal("-1.50"),
    "naïve": "日本",
}

PROPERTIES: dict[str, Any] = {
    "content_type": "application/json",
    "content_encoding": "utf-8",
    "delivery_mode": 2,
    "priority": 5,
    "correlation_id": "9f1c",
    "reply_to": "answers",
    "expiration": "60000",
    "message_id": "m1",
    "timestamp": datetime(2026, 1, 2, tzinfo=UTC),
    "type": "kind",
    "user_id": "guest",
    "app_id": "shop",
}


def written(headers: dict, properties: dict) -> bytes:
    said = {name: int(value.timestamp()) if name == "timestamp" else value for name, value in properties.items()}
    return bytes(amqp.Message(b"", application_headers=headers, **said)._serialize_properties())


def test_properties_are_read_as_clients_write_them():
    carried = read_properties(written(HEADERS, PROPERTIES), b"body")

    assert carried.headers == HEADERS
    assert carried.properties == PROPERTIES
    assert carried.body == b"body"


@pytest.mark.parametrize("left_out", PROPERTIES)
def test_a_property_that_is_not_there_moves_no_other(left_out):
    said = {name: value for name, value in PROPERTIES.items() if name != left_out}

    assert read_properties(written({"a": 1}, said), b"").properties == said


def test_numbers_of_all_widths_are_read():
    raw = b"".join(
        (
            b"\x01bb\xff\x01BB\xff\x01ss\xff\xfe\x01UU\xff\xfe\x01uu\xff\xfe\x01II\xff\xff\xff\xfe",
            b"\x01ii\xff\xff\xff\xfe\x01ll\xff\xff\xff\xff\xff\xff\xff\xfe\x01LL\x00\x00\x00\x00\x00\x00\x00\x09",
            b"\x01ff\x3f\xc0\x00\x00\x01xx\x00\x00\x00\x02\xff\x00\x01SS\x00\x00\x00\x01\xff",
        )
    )
    data = b"\x20\x00" + len(raw).to_bytes(4) + raw

    said = read_properties(data, b"").headers

    assert {name: said.pop(name) for name in "xS"} == {"x": b"\xff\x00", "S": b"\xff"}
    signed = dict.fromkeys("sUIl", -2) | {"b": -1}
    assert said == signed | {"B": 255, "u": 0xFFFE, "i": 0xFFFFFFFE, "L": 9, "f": 1.5}


@given(st.binary(max_size=200))
def test_what_cannot_be_read_is_kept_whole(data):
    carried = read_properties(b"\xff\xf8" + data, b"body")

    assert carried.body == b"body"
    assert UNREAD not in carried.headers or carried.headers == unread(b"\xff\xf8" + data)


@pytest.mark.parametrize("table", [*HOSTILE.values(), *BROKEN.values()], ids=[*HOSTILE, *BROKEN])
def test_tables_that_are_wrong_are_kept_whole_and_hold_nothing_up(table):
    data = Raw(b"", table)._serialize_properties()

    assert read_properties(data, b"") == Carried(unread(data), {}, b"")


@pytest.mark.parametrize("table", [*HOSTILE.values(), *BROKEN.values()], ids=[*HOSTILE, *BROKEN])
def test_behind_tables_that_are_wrong_an_id_is_found_and_nothing_else(table):
    data = Raw(b"", table, correlation_id="9f1c")._serialize_properties()

    assert read_properties(data, b"") == Carried(unread(data), {"correlation_id": "9f1c"}, b"")


@pytest.mark.parametrize("end", [1, 2, 10, 24, 27])
def test_what_is_cut_off_tells_no_id(end):
    data = Raw(b"", BROKEN["a-table-cut-off"], correlation_id="9f1c")._serialize_properties()[:end]

    assert read_properties(data, b"") == Carried(unread(data), {}, b"")


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=20), inner),
    max_leaves=20,
)
TABLES = st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=60), VALUES)


@given(TABLES)
def test_what_is_written_is_read_as_it_was_here_and_by_other_clients(headers: dict[str, Any]):
    properties = PROPERTIES | {"timestamp": int(PROPERTIES["timestamp"].timestamp())}

    data = write_properties(Carried(headers, properties, b""))

    read = read_properties(data, b"")
    theirs = amqp.Message()
    theirs._load_properties(60, data, 0)
    assert read.headers == headers == theirs.properties.get("application_headers", {})
    assert read.properties == PROPERTIES
    assert {name: theirs.properties[name] for name in properties} == properties


def test_what_was_read_can_be_written_again():
    carried = Carried({"a": [1, {"b": None}]}, PROPERTIES, b"")

    assert read_properties(write_properties(carried), b"") == carried


def test_a_timestamp_may_be_a_text_as_json_has_it():
    data = write_properties(Carried({}, {"timestamp": "2026-01-02T00:00:00+00:00"}, b""))

    assert read_properties(data, b"").properties == {"timestamp": datetime(2026, 1, 2, tzinfo=UTC)}
