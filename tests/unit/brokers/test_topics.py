from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.brokers.topics import Topic

WORDS = st.sampled_from(["a", "b", "worker", "x+y", "*", "#"])
KEYS = st.lists(st.sampled_from(["a", "b", "worker", "x+y", "xxy"]), max_size=5).map(".".join)
PATTERNS = st.lists(WORDS, max_size=5).map(".".join)


def naive(pattern, key):
    """AMQP's rule, word by word."""
    match pattern, key:
        case [], []:
            return True
        case ["#", *rest], _:
            return naive(rest, key) or (bool(key) and naive(pattern, key[1:]))
        case [word, *rest], [first, *others]:
            return word in ("*", first) and naive(rest, others)
    return False


@given(PATTERNS, KEYS)
def test_a_pattern_includes_what_amqp_says(pattern, key):
    words, keys = (text.split(".") if text else [] for text in (pattern, key))

    assert Topic("x", pattern).includes("x", key) is naive(words, keys)


@given(PATTERNS, KEYS)
def test_another_exchange_is_never_included(pattern, key):
    assert not Topic("x", pattern).includes("xx", key)


@pytest.mark.parametrize("key", ["", "a", "a.b.c"])
def test_everything_is_included_unless_said_otherwise(key):
    assert Topic("x").includes("x", key)
