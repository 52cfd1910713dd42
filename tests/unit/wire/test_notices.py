from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.exceptions import DecodeError
from celeriac.wire.jsontypes import dumps
from celeriac.wire.limits import Limits
from celeriac.wire.notices import Notice, read_notice, write_notice
from tests.unit.wire.strategies import FIELDS, FOREIGN_BYTES, TEXT, damaged


def envelope(**parts: Any) -> bytes:
    """Make a good envelope, except for `parts`."""
    good = json.loads(write_notice(Notice(exchange="celeryev", routing_key="a.b", body=b"{}"), delivery_tag="d"))
    return json.dumps(good | parts).encode()


@given(
    st.builds(
        Notice,
        exchange=TEXT,
        routing_key=TEXT,
        body=st.binary(),
        headers=st.dictionaries(TEXT, TEXT).map(dumps),
        content_type=st.text(min_size=1),
        content_encoding=st.text(min_size=1),
        persistent=st.booleans(),
    ),
    TEXT,
)
def test_a_notice_is_the_same_after_an_envelope(notice: Notice, tag: str) -> None:
    assert read_notice(write_notice(notice, delivery_tag=tag)) == (notice, tag)


@given(FOREIGN_BYTES)
def test_foreign_bytes_are_read_or_refused(raw: bytes) -> None:
    try:
        read_notice(raw)
    except DecodeError:
        return


@given(damaged(envelope()))
def test_damaged_envelopes_are_read_or_refused(raw: bytes) -> None:
    try:
        read_notice(raw)
    except DecodeError:
        return


@given(st.sampled_from(["body", "headers", "properties", "content-type", "content-encoding"]), FIELDS)
def test_an_envelope_with_a_foreign_part_is_read_or_refused(part: str, value: Any) -> None:
    try:
        read_notice(envelope(**{part: value}))
    except DecodeError:
        return


@pytest.mark.parametrize(
    ("raw", "because"),
    [
        (envelope(properties={"delivery_tag": "d"}), "where it was published"),
        (envelope(properties={"delivery_info": {"exchange": None, "routing_key": "a"}}), "where it was published"),
        (envelope(properties=[]), "not a JSON object"),
        (envelope(headers=[1]), "not a JSON object"),
        (envelope(body=1), "no text as its body"),
        (b"[]", "no text as its body"),
        (b"\xff", "JSON"),
    ],
)
def test_what_is_no_notice_is_refused(raw: bytes, because: str) -> None:
    with pytest.raises(DecodeError, match=because):
        read_notice(raw)


def test_what_is_too_large_or_too_deep_is_refused() -> None:
    with pytest.raises(DecodeError, match="over the limit of 100"):
        read_notice(envelope(), limits=Limits(max_bytes=100))
    deep = json.dumps({"delivery_info": {}, "x": 0})[:-2] + "[" * 1000 + "]" * 1000 + "}"
    with pytest.raises(DecodeError):
        read_notice(envelope().replace(b'"delivery_mode"', b'"deep": ' + deep.encode() + b', "delivery_mode"'))


def test_a_body_that_is_plain_text_is_read() -> None:
    properties = {"delivery_info": {"exchange": "x", "routing_key": ""}, "body_encoding": "utf-8"}

    notice, tag = read_notice(envelope(body='{"type": "ü"}', properties=properties))

    assert notice.body == '{"type": "ü"}'.encode()
    assert tag == ""
