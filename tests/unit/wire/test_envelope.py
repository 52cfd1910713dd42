from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.exceptions import DecodeError
from celeriac.message import Message
from celeriac.wire.envelope import read_envelope, write_envelope
from celeriac.wire.jsontypes import dumps
from celeriac.wire.properties import read_properties
from celeriac.wire.protocol import read_intake, read_request
from tests.unit.wire.messages import message, refusal, with_headers
from tests.unit.wire.strategies import FIELDS, FOREIGN_BYTES, PLAIN_SCALARS, TAGGED, TEXT, damaged


def envelope(**parts: Any) -> bytes:
    """Make a good envelope, except for `parts`."""
    good = {
        "body": base64.b64encode(b"[[], {}, {}]").decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {"task": "t", "id": "i"},
        "properties": {"body_encoding": "base64", "delivery_tag": "d"},
    }
    return json.dumps(good | parts).encode()


def properties_in(raw: bytes) -> dict[str, Any]:
    return json.loads(raw)["properties"]


@given(
    st.builds(
        message,
        st.dictionaries(st.sampled_from("xyz"), TEXT).map(lambda custom: {"task": "t", "id": "id-1"} | custom),
        st.binary(),
        priority=st.integers(0, 255),
        content_type=st.text(min_size=1),
        content_encoding=st.text(min_size=1),
    )
)
def test_a_message_is_the_same_after_an_envelope(found: Message) -> None:
    again = read_envelope(write_envelope(found, delivery_tag="d"), queue=found.queue)

    assert again == found


@given(st.dictionaries(TEXT.map(lambda name: f"x-{name}"), TAGGED | PLAIN_SCALARS, max_size=4))
def test_properties_are_the_same_after_an_envelope(extra: dict[str, Any]) -> None:
    extra = {name: value for name, value in extra.items() if value is not None}
    first = message(properties=dumps(extra) if extra else None)

    again = read_envelope(write_envelope(first, delivery_tag="d"), queue="q")

    assert read_properties(again) == extra


def test_headers_travel_as_the_bytes_they_are() -> None:
    headers = b'{"task":"t",  "id":"id-1","big":123456789012345678901234567890}'

    again = read_envelope(write_envelope(message(headers), delivery_tag="d"), queue="q")

    assert again.headers == headers


def test_the_envelope_says_where_it_was_published() -> None:
    raw = write_envelope(message(), delivery_tag="d", exchange="ex", routing_key="a.b")

    assert properties_in(raw)["delivery_info"] == {"exchange": "ex", "routing_key": "a.b"}


def test_a_message_keeps_where_it_was_published_when_that_is_not_its_queue() -> None:
    raw = write_envelope(message(), delivery_tag="d", exchange="ex", routing_key="a.b")

    again = write_envelope(read_envelope(raw, queue="q"), delivery_tag="d")

    assert again == raw


def test_a_queue_for_answers_may_be_added() -> None:
    assert properties_in(write_envelope(message(), delivery_tag="d", reply_to="r"))["reply_to"] == "r"


def test_a_message_that_names_its_queue_for_answers_keeps_it() -> None:
    found = message(properties=b'{"reply_to": "own"}')

    assert properties_in(write_envelope(found, delivery_tag="d", reply_to="r"))["reply_to"] == "own"


def test_a_plain_body_is_taken_as_it_is() -> None:
    for encoding in ("utf-8", None):
        raw = envelope(body='[["hé"], {}, {}]', properties={"body_encoding": encoding})
        assert read_request(read_envelope(raw, queue="q")).args == ["hé"]


def test_the_eta_is_found_in_the_headers_and_in_protocol_1() -> None:
    headers = envelope(headers={"task": "t", "id": "i", "eta": "2030-01-01T00:00:00Z"})
    body = base64.b64encode(b'{"task": "t", "id": "i", "eta": "2030-01-01T00:00:00Z"}').decode()

    found = [read_envelope(raw, queue="q") for raw in (headers, envelope(headers={}, body=body))]

    assert [each.eta_at for each in found] == [1893456000.0, 1893456000.0]
    assert [each.task_id for each in found] == ["i", "i"]


def test_an_eta_that_is_none_is_left_to_the_intake() -> None:
    found = read_envelope(envelope(headers={"task": "t", "id": "i", "eta": "soon"}), queue="q")

    assert found.eta_at is None
    with pytest.raises(DecodeError, match="eta"):
        read_intake(found)


@pytest.mark.parametrize(
    ("correlation_id", "task_id"),
    [
        ("c", "c"),
        (None, ""),
        (5, ""),
        ("\ud800", "?"),
        ({"__type__": "uuid", "__value__": {"int": 5}}, "00000000-0000-0000-0000-000000000005"),
    ],
)
def test_a_message_without_a_readable_id_is_filed_under_its_correlation_id(correlation_id: Any, task_id: str) -> None:
    raw = envelope(headers={"task": "t"}, properties={"correlation_id": correlation_id, "body_encoding": "base64"})

    assert read_envelope(raw, queue="q").task_id == task_id


@pytest.mark.parametrize(
    ("priority", "read"), [(0, 0), (9, 9), (255, 255), (300, 255), (-1, 0), ("5", 5), ("x", 0), (None, 0), (1e400, 0)]
)
def test_any_priority_is_read_as_a_number_up_to_255(priority: Any, read: int) -> None:
    raw = envelope(properties={"priority": priority, "body_encoding": "base64"})

    assert read_envelope(raw, queue="q").priority == read


def test_a_missing_content_type_is_left_to_the_intake() -> None:
    found = read_envelope(envelope(**{"content-type": None, "content-encoding": None}), queue="q")

    assert (found.content_type, found.content_encoding) == ("", "utf-8")


def test_python_json_in_an_envelope_is_read() -> None:
    found = read_envelope(envelope(headers={"task": "t", "id": "i", "x": float("inf")}), queue="q")

    assert read_request(found).headers == {"x": float("inf")}


@pytest.mark.parametrize(
    ("raw", "complaint"),
    [
        (b"", "is not JSON"),
        (b"[]", "has no text as its body"),
        (b'{"headers": {}}', "has no text as its body"),
        (envelope(body=5), "has no text as its body"),
        (envelope(body="%%%"), "is not base64"),
        (envelope(body="é"), "is not base64"),
        (envelope(properties=[]), "properties of a message in q are not a JSON object"),
        (envelope(**{"content-type": 5}), "is not kombu's"),
        (b"[" * 100_000, "deep"),
    ],
)
def test_what_is_no_envelope_is_refused_with_the_reason(raw: bytes, complaint: str) -> None:
    with pytest.raises(DecodeError, match=complaint):
        read_envelope(raw, queue="q")


def read_and_write(raw: bytes) -> None:
    try:
        found = read_envelope(raw, queue="q")
    except DecodeError:
        return
    found.task_id.encode()
    json.loads(write_envelope(found, delivery_tag="d"))


@given(FOREIGN_BYTES)
def test_any_bytes_are_an_envelope_or_a_decode_error(raw: bytes) -> None:
    read_and_write(raw)


@given(FIELDS, FIELDS, FIELDS)
def test_any_json_in_an_envelope_is_kept_or_a_decode_error(
    parts: dict[str, Any], headers: dict[str, Any], properties: dict[str, Any]
) -> None:
    read_and_write(envelope(**{"headers": headers, "properties": properties} | parts))


@given(damaged(write_envelope(with_headers(x=[1]), delivery_tag="d")))
def test_a_damaged_envelope_is_an_envelope_or_a_decode_error(raw: bytes) -> None:
    assert len(refusal(read_envelope, raw, queue="q")) < 1_000
