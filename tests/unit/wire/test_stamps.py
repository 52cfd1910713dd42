from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.exceptions import DecodeError
from celeriac.wire.jsontypes import dumps
from celeriac.wire.stamps import STAMPS_MAX, is_stamp_id, stamp_ids, stamps_in, stamps_of

VALUES = st.text() | st.integers() | st.lists(st.text() | st.integers(), max_size=5)


@given(st.dictionaries(st.text(), VALUES, max_size=5))
def test_what_a_message_bears_is_named_by_the_same_ids(stamps):
    headers = dumps({"task": "t", "id": "i", "stamped_headers": list(stamps), "stamps": stamps})
    named = {name: value for name, value in stamps.items() if value != []}

    found = stamp_ids(stamps_of(headers))

    assert all(is_stamp_id(one) and len(one) <= 255 for one in found)
    if named:
        assert found == stamp_ids(stamps_in(named))


@pytest.mark.parametrize("headers", [b"{}", b'{"stamps": 7}', b'{"stamps": {', b"\xff", b'{"x": "\\"stamps\\""}'])
def test_other_headers_bear_none(headers):
    assert stamps_of(headers) == {}


def test_words_of_the_command_line_name_stamps():
    assert stamps_in(["tenant=a", "tenant=b=c", "day=1"]) == {"tenant": ["a", "b=c"], "day": ["1"]}


@pytest.mark.parametrize(
    "named",
    [None, "tenant=a", [], {}, ["tenant"], [7], {"tenant": []}, {"t": list(range(STAMPS_MAX + 1))}, {"n" * 256: "a"}],
)
def test_what_names_no_stamps_is_refused(named):
    with pytest.raises(DecodeError):
        stamps_in(named)


def test_a_long_value_has_a_short_id_of_its_own():
    [first], [second] = stamp_ids({"n": ["a" * 10_000]}), stamp_ids({"n": ["a" * 9_999]})

    assert first != second
    assert len(first) < 100
