"""The depth of JSON, told by its text alone, is that of the value."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.wire.depth import is_text_deeper
from celeriac.wire.values import is_deeper

TEXTS = st.text('[]{}"\\a\u00e9', max_size=6)
VALUES = st.recursive(
    st.one_of(TEXTS, st.integers(), st.none()),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXTS, inner, max_size=4)),
    max_leaves=20,
)


@given(value=VALUES, max_depth=st.integers(1, 6), ascii_only=st.booleans())
def test_text_is_as_deep_as_its_value(value: Any, max_depth: int, ascii_only: bool) -> None:
    data = json.dumps(value, ensure_ascii=ascii_only).encode()

    assert is_text_deeper(data, max_depth) is is_deeper(value, max_depth)


@pytest.mark.parametrize("hidden", ["]]]", "[]", '"][', '\\"]', '\\\\"]'])
def test_brackets_in_texts_hide_no_depth(hidden: str) -> None:
    value: Any = ["leaf"]
    for _ in range(6):
        value = [hidden, {hidden: value}, hidden[::-1]]
    data = json.dumps(value).encode()

    assert is_text_deeper(data, 12)
    assert not is_text_deeper(data, 13)
