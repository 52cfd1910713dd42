from __future__ import annotations

import pickle
import time

import pytest

from celeriac.compat.collections import AttributeDict, LimitedSet, lpmerge


def test_the_oldest_goes_when_there_are_too_many():
    items: LimitedSet[int] = LimitedSet(maxlen=3)
    for item in (1, 2, 3, 1, 4):
        items.add(item)

    assert list(items) == [3, 1, 4]
    assert 2 not in items


def test_what_has_expired_goes_but_for_the_minimum():
    items: LimitedSet[int] = LimitedSet(maxlen=10, minlen=2, expires=60)
    for number in range(4):
        items.add(number, now=float(number))

    items.purge(now=61.5)
    assert list(items) == [2, 3]
    items.purge(now=1000)
    assert list(items) == [2, 3]


def test_without_a_minimum_all_that_has_expired_goes():
    items: LimitedSet[str] = LimitedSet(expires=60)
    items.add("a", now=time.monotonic() - 61)
    items.add("b")

    assert list(items) == ["b"]


def test_items_are_ordered_by_when_they_were_added_and_not_by_when_we_were_told():
    now = time.monotonic()
    items: LimitedSet[str] = LimitedSet(maxlen=2)
    items.add("new", now=now)
    items.add("old", now=now - 5)
    items.add("newest", now=now + 5)

    assert list(items) == ["new", "newest"]


def test_a_set_is_made_of_items_of_another_and_of_its_own_dict():
    items: LimitedSet[int] = LimitedSet(data=[1, 2, 3])
    again: LimitedSet[int] = LimitedSet(data=items)

    assert again == items
    assert LimitedSet(data=items.as_dict()) == items
    assert pickle.loads(pickle.dumps(items)) == items


def test_items_are_taken_out():
    items: LimitedSet[int] = LimitedSet(data=[1, 2, 3])
    items.discard(2)
    items.discard(9)

    assert (items.pop(), items.pop(), items.pop(), items.pop("none"), bool(items)) == (1, 3, None, "none", False)


@pytest.mark.parametrize("wrong", [{"maxlen": 1, "minlen": 2}, {"minlen": -1}, {"expires": -1}])
def test_limits_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError, match="must be >= 0"):
        LimitedSet(**wrong)


def test_a_dict_has_its_keys_as_attributes():
    point = AttributeDict(x=1)
    point.y = 2

    assert (point.x, point["y"]) == (1, 2)
    with pytest.raises(AttributeError, match="'z'"):
        _ = point.z


def test_merging_keeps_what_the_other_does_not_say():
    left: dict[str, int] = {"a": 1, "b": 2}

    assert lpmerge(left, {"a": None, "b": 3, "c": 4}) is left
    assert left == {"a": 1, "b": 3, "c": 4}
