from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.brokers.amqp.topology import LONGEST_DELAY, Binding, ladder, up_the_ladder, without_ladder

BINDINGS = [one for one in ladder() if isinstance(one, Binding)]


def matches(pattern: str, key: str) -> bool:
    """Say whether a topic exchange would take a key: ``*`` is a word, ``#`` at the end any number of them."""
    wanted, words = pattern.split("."), key.split(".")
    if wanted[-1] == "#":
        wanted.pop()
        words = words[: len(wanted)]
    return len(wanted) == len(words) and all(a in ("*", b) for a, b in zip(wanted, words, strict=True))


@given(seconds=st.integers(1, LONGEST_DELAY))
def test_a_message_is_held_for_exactly_its_seconds_on_its_way_down(seconds):
    exchange, key = up_the_ladder(seconds, "q")
    held = 0
    while exchange != "celery_delayed_delivery":
        [way] = [one for one in BINDINGS if one.source == exchange and matches(one.key, key)]
        level = int(exchange.rpartition("_")[2])
        if not way.to_exchange:
            held += 2**level
        exchange = f"celery_delayed_{level - 1}" if level else "celery_delayed_delivery"

    assert held == seconds


@given(seconds=st.integers(1, LONGEST_DELAY), key=st.sampled_from(["q", "a.b", "0.1", "1.0.1.q", ""]))
def test_the_key_before_the_ladder_can_be_told(seconds, key):
    assert without_ladder(up_the_ladder(seconds, key)[1]) == key
    assert without_ladder(key) == key


@pytest.mark.parametrize("seconds", [0, -1, LONGEST_DELAY + 1])
def test_the_ladder_has_an_end(seconds):
    with pytest.raises(ValueError, match=str(LONGEST_DELAY)):
        up_the_ladder(seconds, "q")
