"""The script that books starts does what the pure function does, whatever is asked."""

from __future__ import annotations

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from celeriac.brokers.base import Booking, RateRequest
from celeriac.brokers.rates import Flow, book
from celeriac.brokers.redis.bookings import booking_word, read_booking, request_words
from celeriac.brokers.redis.keys import Keys
from celeriac.brokers.redis.scripts import script

OWNER = "7"
KEYS = Keys()

steps = st.lists(
    st.tuples(
        st.sampled_from(["a", "b"]),
        st.sampled_from([0.01, 0.25, 3.0, 60.0]),
        st.sampled_from([0.0, 0.0, 0.1, 5.0, 1000.0]),
        st.booleans(),
    ),
    max_size=25,
)


@pytest.fixture
def client(redis_db):
    with redis.Redis.from_url(redis_db) as client:
        client.hset(KEYS.epochs, OWNER, "1")
        yield client


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=steps)
def test_it_books_what_the_pure_function_books(client, steps):
    client.delete(KEYS.flows)
    flows: dict[str, Flow] = {}
    waiting: dict[str, Booking] = {}
    ahead = 0.0

    for key, interval, passes, again in steps:
        ahead += passes
        before = waiting.pop(key, None) if again else None
        request = RateRequest(key, interval, before)
        stands, now, start, final = client.eval(
            script("book").text, 2, KEYS.epochs, KEYS.flows, OWNER, "1", ahead, *request_words(request)
        )
        flows[key], expected = book(flows.get(key, Flow()), interval, before, float(now))
        booked = Booking(float(start), bool(final))
        if booked.at > float(now):
            waiting[key] = booked

        assert stands == 0
        assert booked.is_final == expected.is_final
        assert booked.at == pytest.approx(expected.at, abs=1e-4)


def test_several_requests_of_one_key_are_booked_in_turn(client):
    words = [word for _ in range(4) for word in request_words(RateRequest("k", 2.0))]

    _, now, *starts = client.eval(script("book").text, 2, KEYS.epochs, KEYS.flows, OWNER, "1", 0, *words)

    assert [float(at) - float(now) for at in starts[::2]] == pytest.approx([0.0, 2.0, 4.0, 6.0], abs=1e-4)
    assert starts[1::2] == [1, 0, 0, 0]


def test_who_is_no_owner_books_nothing(client):
    answer = client.eval(
        script("book").text, 2, KEYS.epochs, KEYS.flows, "8", "1", 0, *request_words(RateRequest("k", 2.0))
    )

    assert answer == [2]
    assert not client.exists(KEYS.flows)


@pytest.mark.parametrize("booking", [Booking(1_700_000_000.25, True), Booking(1_700_000_000.5, False)])
def test_a_booking_is_kept_as_one_number(booking):
    assert read_booking(b"%.6f,1700000000" % booking_word(booking)) == booking
    assert booking_word(None) == 0
