from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.brokers.amqp.topology import (
    DELIVERY,
    LONGEST_DELAY,
    Binding,
    hold_queue,
    is_astray,
    key_to_queue,
    ladder,
    sent_to,
    up_the_ladder,
    without_ladder,
)

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


@pytest.mark.parametrize(
    ("exchange", "key", "sent", "astray"),
    [
        ("", "q", None, False),
        ("logs", "a.b", {"exchange": "logs", "routing_key": "a.b"}, False),
        (DELIVERY, up_the_ladder(5, key_to_queue("q"))[1], None, False),
        (DELIVERY, up_the_ladder(5, "a.b")[1], {"exchange": DELIVERY, "routing_key": "a.b"}, False),
        (DELIVERY, up_the_ladder(5, "q")[1], {"exchange": DELIVERY, "routing_key": "q"}, False),
        (
            DELIVERY,
            up_the_ladder(5, key_to_queue("other"))[1],
            {"exchange": DELIVERY, "routing_key": key_to_queue("other")},
            True,
        ),
    ],
)
def test_what_comes_into_a_queue_tells_where_it_was_sent(exchange, key, sent, astray):
    assert sent_to(exchange, key, "q") == sent
    assert is_astray(exchange, key, "q") == astray


def test_each_node_has_queues_of_copies_of_its_own_however_long_names_are():
    names = {hold_queue(token, queue, "quorum").name for token in ("a", "b") for queue in ("q", "q" * 255, "q" * 254)}

    assert len(names) == 6
    assert all(len(name.encode()) <= 255 for name in names)
    assert "celeriac.hold.a.q" in names


def test_copies_that_nobody_holds_go_back_to_the_queue_of_their_task():
    for queue_type in ("classic", "quorum"):
        arguments = dict(hold_queue("a", "q", queue_type).arguments)

        assert (arguments["x-dead-letter-exchange"], arguments["x-dead-letter-routing-key"]) == ("", "q")
        assert arguments["x-message-ttl"] == 20_000
        assert arguments["x-expires"] > 1000 * arguments["x-message-ttl"]
