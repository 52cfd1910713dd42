from __future__ import annotations

import datetime
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.app import kinds
from celeriac.app.kinds import either, meaning_none, one_of, or_none, read, type_of, whole
from celeriac.exceptions import ImproperlyConfigured

POOL = one_of("prefork", "solo", same={"processes": "prefork", 1: "solo"})

KEPT = [
    (kinds.FLAG, True, True),
    (kinds.PATH, Path("/var/state"), "/var/state"),
    (kinds.PASSWORD, b"x", b"x"),
    (kinds.URLS, ("memory://a", "memory://b"), "memory://a;memory://b"),
    (kinds.SECONDS, datetime.timedelta(minutes=2), 120.0),
    (kinds.LIFETIME, 0, None),
    (kinds.LIFETIME, datetime.timedelta(0), None),
    (kinds.LIFETIME, 5, 5.0),
    (kinds.NUMBER, math.inf, math.inf),
    (kinds.TEXT_LIST, {"a"}, ("a",)),
    (kinds.TEXT_LIST, "a", ("a",)),
    (kinds.RATE, "10/m", "10/m"),
    (kinds.RATE, 2.5, 2.5),
    (kinds.CLASS, Path, Path),
    (kinds.FUNCTION, len, len),
    (kinds.ACCOUNT, 0, 0),
    (kinds.PORT, "6379", 6379),
    (kinds.UMASK, "022", 18),
    (kinds.DELIVERY_MODE, "transient", 1),
    (kinds.DELIVERY_MODE, "2", 2),
    (POOL, "processes", "prefork"),
    (POOL, 1, "solo"),
    (either(whole(at_least=1), kinds.TEXT), "x", "x"),
    (meaning_none("auto", whole(at_least=1)), "auto", None),
]

REFUSED = [
    (kinds.FLAG, 1),
    (kinds.TEXT, ""),
    (kinds.TEXT, 7),
    (kinds.ANY_TEXT, None),
    (kinds.PATH, ""),
    (kinds.PATH, 7),
    (kinds.PASSWORD, b""),
    (kinds.URLS, []),
    (kinds.URLS, ["memory://a", 7]),
    (kinds.SECONDS, -1),
    (kinds.SECONDS, math.inf),
    (kinds.SECONDS, math.nan),
    (kinds.SECONDS, True),
    (kinds.SECONDS, datetime.timedelta(days=-1)),
    (kinds.LIFETIME, -1),
    (kinds.NUMBER, math.nan),
    (kinds.NUMBER, "1"),
    (kinds.TEXT_LIST, ["a", ""]),
    (kinds.TEXT_LIST, 7),
    (kinds.TIME_ZONE, "Europe/Atlantis"),
    (kinds.TIME_ZONE, datetime.tzinfo),
    (kinds.ROUTES, 7),
    (kinds.MAPPING, {7: "a"}),
    (kinds.MAPPING, [("a", 1)]),
    (kinds.CLASS, 7),
    (kinds.FUNCTION, 7),
    (kinds.RATE, "10 per minute"),
    (kinds.RATE, "m/10"),
    (kinds.RATE, -1),
    (kinds.ACCOUNT, ""),
    (kinds.ACCOUNT, True),
    (kinds.PORT, 65536),
    (kinds.PORT, "http"),
    (kinds.UMASK, "022x"),
    (kinds.UMASK, "999"),
    (kinds.UMASK, 0o1000),
    (kinds.DELIVERY_MODE, 3),
    (kinds.DELIVERY_MODE, True),
    (kinds.DELIVERY_MODE, "sometimes"),
    (POOL, "threads"),
    (POOL, ["solo"]),
    (whole(at_least=1), 0),
    (whole(at_least=1), 1.0),
    (whole(at_least=1, at_most=5), 6),
    (either(whole(at_least=1), kinds.FLAG), "x"),
    (meaning_none("auto", whole(at_least=1)), "car"),
]


@pytest.mark.parametrize(("kind", "given", "kept"), KEPT, ids=[f"{i}" for i in range(len(KEPT))])
def test_what_a_kind_accepts_it_keeps_in_one_form(kind, given, kept):
    assert kind.accept(given) == kept
    assert type(kind.accept(given)) is type(kept)


@pytest.mark.parametrize(("kind", "given"), REFUSED, ids=[f"{i}" for i in range(len(REFUSED))])
def test_what_a_kind_does_not_accept_is_answered_with_its_rule(kind, given):
    with pytest.raises(ImproperlyConfigured, match=r"^x must be "):
        read(kind, "x", given)


JUNK = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(), st.lists(st.text()), st.dates()
)
EVERY_KIND = [kind for kind in vars(kinds).values() if isinstance(kind, kinds.Kind)]


@given(st.sampled_from(EVERY_KIND), JUNK)
def test_whatever_is_given_to_a_kind_is_kept_or_refused(kind, given):
    try:
        kept = kind.accept(given)
    except ValueError:
        return

    again = kind.accept(kept)
    assert again == kept or again != again  # nan, which only the kind of anything keeps


def test_none_is_accepted_where_that_is_said():
    assert or_none(kinds.SECONDS).accept(None) is None
    with pytest.raises(ImproperlyConfigured, match=r"x must be a number of seconds >= 0, or a timedelta, got None"):
        read(kinds.SECONDS, "x", None)


def test_the_error_has_type_and_source_where_the_source_is_known():
    with pytest.raises(ImproperlyConfigured, match=r"^x must be True or False, got 1, an int, from module shop$"):
        read(kinds.FLAG, "x", 1, source="module shop")
    with pytest.raises(ValueError, match=r"^x must be True or False, got 1$"):
        read(kinds.FLAG, "x", 1, error=ValueError)


@pytest.mark.parametrize(("kind", "name"), [(kinds.URL, "x"), (kinds.MAPPING, "database_engine_options")])
def test_the_error_about_a_secret_has_its_type_only(kind, name):
    with pytest.raises(ImproperlyConfigured) as caught:
        read(kind, name, ["hunter2"], source="module shop")

    assert str(caught.value).endswith(", got a list from module shop")
    assert "hunter2" not in str(caught.value)


def test_a_long_value_is_shown_in_part():
    with pytest.raises(ImproperlyConfigured) as caught:
        read(kinds.FLAG, "x", "y" * 100_000, source="module shop")

    assert len(str(caught.value)) < 2000


def test_types_are_named_with_their_article():
    assert (type_of(1), type_of("x"), type_of(None)) == ("an int", "a str", "a NoneType")
