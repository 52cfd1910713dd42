from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.wire.reprs import bounded_repr, told
from tests.unit.wire.strategies import ARGUMENTS, PLAIN_SCALARS


@pytest.mark.parametrize(
    "value",
    [
        (),
        (1,),
        (2, 2),
        [16, 16],
        {},
        {"k": [1, None, True, 1.5]},
        (1, "a'b", 'c"d', {"x": {"y": 1}}),
        {3: {1, 2}, "f": frozenset({1}), "e": set(), None: frozenset()},
        (datetime(2024, 1, 2, 3, 4), Decimal("1.10"), UUID(int=5), b"abc"),
        list(range(50)),
        {"key": "x" * 300},
        "text",
        None,
    ],
)
def test_what_is_short_prints_as_python_prints_it(value: Any) -> None:
    assert bounded_repr(value) == repr(value)


@given(ARGUMENTS, st.integers(10, 200))
def test_no_repr_is_longer_than_its_limit(value: Any, limit: int) -> None:
    assert len(bounded_repr(value, limit=limit)) <= limit


@given(st.lists(PLAIN_SCALARS, max_size=5))
def test_a_flat_list_prints_as_python_prints_it_as_far_as_it_fits(value: list[Any]) -> None:
    shown = bounded_repr(value, limit=40)

    full = repr(value)
    assert shown == full if len(full) <= 40 else repr(value).startswith(shown.removesuffix("..."))


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (([[[1]]],), "([[[...]]],)"),
        (({"b": 1, "a": [1, [2, [3]]]},), "({'b': 1, 'a': [1, [...]]},)"),
        ([[[{"a": 1}]]], "[[[{...}]]]"),
        ([[[(1,)]]], "[[[(...)]]]"),
        ([[[{1}, frozenset({1})]]], "[[[{...}, frozenset({...})]]]"),
        ([[[[], {}, (), set()]]], "[[[[], {}, (), set()]]]"),
    ],
)
def test_the_fourth_level_shows_as_dots(value: Any, shown: str) -> None:
    assert bounded_repr(value) == shown


def test_a_value_inside_itself_ends_at_the_fourth_level() -> None:
    loop: list[Any] = []
    loop.append(loop)

    assert bounded_repr(loop) == "[[[[...]]]]"


def test_bytes_that_are_no_text_show_as_hexadecimal_digits() -> None:
    assert bounded_repr((b"\xff\xfe",)) == "(b'fffe',)"


def test_a_long_text_is_cut() -> None:
    assert bounded_repr(("x" * 2000,), limit=20) == "('xxxxxxxxxxxxxxx..."


def test_long_bytes_are_cut() -> None:
    assert bounded_repr(b"x" * 2000, limit=20) == "b'xxxxxxxxxxxxxxx..."


def test_a_long_list_is_not_walked_to_its_end() -> None:
    class Endless(list[int]):
        pass

    walked = 0

    class Counted:
        def __repr__(self) -> str:
            nonlocal walked
            walked += 1
            return "counted"

    bounded_repr([Counted() for _ in range(10_000)], limit=100)

    assert walked < 20


def test_an_integer_too_large_to_print_says_so() -> None:
    assert bounded_repr((10**5000,)) == "(<int: repr failed with ValueError>,)"


def test_a_repr_that_fails_is_told_by_its_type() -> None:
    class Broken:
        def __repr__(self) -> str:
            raise KeyError("no")

    assert bounded_repr([1, Broken()]).endswith("Broken: repr failed with KeyError>]")


def test_a_repr_that_is_long_is_cut() -> None:
    class Chatty:
        def __repr__(self) -> str:
            return "bla" * 1000

    assert bounded_repr([Chatty()], limit=12) == "[blablabl..."


def test_a_dict_that_changes_while_it_is_printed_prints_as_far_as_it_went() -> None:
    class Meddler:
        def __repr__(self) -> str:
            victim["new"] = 1
            return "meddler"

    victim: dict[str, Any] = {"a": Meddler(), "b": 2}

    assert bounded_repr(victim) == "{'a': meddler..."


def test_a_container_of_users_prints_by_its_own_repr() -> None:
    class Odd(list[int]):
        def __iter__(self) -> Iterator[int]:
            raise AssertionError("not to be walked")

        def __repr__(self) -> str:
            return "odd"

    assert bounded_repr((Odd(),)) == "(odd,)"


@pytest.mark.parametrize("nothing", [(), {}, [], set(), ""])
def test_what_is_empty_shows_as_repr_shows_it(nothing: Any) -> None:
    assert bounded_repr(nothing) == repr(nothing)


class Mute(Exception):
    def __str__(self) -> str:
        raise SystemExit

    __repr__ = __str__


@pytest.mark.parametrize(
    ("exc", "text"),
    [
        (ValueError("no"), "ValueError: no"),
        (ValueError(), "ValueError: "),
        (ValueError("x" * 50), "ValueError: " + "x" * 10 + "..."),
        (Mute(), "Mute (its __str__ failed with SystemExit)"),
    ],
    ids=["short", "empty", "long", "mute"],
)
def test_an_exception_is_told_whatever_its_text_does(exc: Exception, text: str) -> None:
    assert told(exc, limit=10) == text


def test_a_repr_that_wants_to_end_the_process_is_only_a_failed_one() -> None:
    assert bounded_repr([Mute()]) == "[<Mute: repr failed with SystemExit>]"
