from __future__ import annotations

import itertools
import pickle
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.compat.functional import (
    LRUCache,
    chunks,
    dictfilter,
    first,
    fun_accepts_kwargs,
    is_list,
    lazy,
    mattrgetter,
    maybe,
    maybe_evaluate,
    maybe_list,
    mlazy,
    noop,
    padlist,
    regen,
    seq_concat_item,
    seq_concat_seq,
    uniq,
)


def test_a_cache_forgets_what_was_used_longest_ago():
    cache: LRUCache[str, int] = LRUCache(limit=2)
    cache["a"], cache["b"] = 1, 2

    assert cache["a"] == 1
    cache["c"] = 3

    assert cache.items() == [("a", 1), ("c", 3)]


def test_setting_a_key_that_is_there_forgets_no_other():
    cache: LRUCache[str, int] = LRUCache(limit=2)
    cache.update(a=1, b=2)

    cache["a"] = 5

    assert cache.items() == [("b", 2), ("a", 5)]


def test_a_cache_without_a_limit_keeps_all():
    cache: LRUCache[int, int] = LRUCache()
    cache.update(zip(range(1000), range(1000), strict=True))

    assert (len(cache), cache.values()[:3]) == (1000, [0, 1, 2])


def test_a_cache_misses_as_a_dict_does():
    cache: LRUCache[str, int] = LRUCache(limit=2)

    with pytest.raises(KeyError):
        _ = cache["a"]
    assert cache.get("a") is None
    assert "a" not in cache


def test_a_cache_counts():
    cache: LRUCache[str, str] = LRUCache(limit=2)
    cache["hits"] = "1"

    assert (cache.incr("hits"), cache.incr("hits", 5), cache["hits"]) == (2, 7, "7")


def test_a_cache_pickles():
    cache: LRUCache[str, int] = LRUCache(limit=2)
    cache.update(a=1, b=2)

    again = pickle.loads(pickle.dumps(cache))
    again["c"] = 3

    assert again.items() == [("b", 2), ("c", 3)]


def test_a_cache_can_be_changed_while_it_is_iterated_over():
    cache: LRUCache[int, int] = LRUCache(limit=10)
    cache.update(zip(range(10), range(10), strict=True))

    for key in cache:
        cache[key + 100] = cache.get(key, 0)

    assert len(cache) == 10


def test_a_cache_keeps_its_limit_in_threads():
    cache: LRUCache[int, int] = LRUCache(limit=50)
    start = threading.Barrier(4)

    def fill(number):
        start.wait()
        for key in range(2000):
            cache[key * 4 + number] = key
            cache.get(key)

    threads = [threading.Thread(target=fill, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(cache) == len(cache.items()) == 50


def test_a_lazy_value_is_made_each_time_and_a_memoized_one_once():
    numbers = itertools.count()
    anew, once = lazy(next, numbers), mlazy(next, numbers)

    assert [anew(), anew(), once(), once(), anew()] == [0, 1, 2, 2, 3]
    assert once.evaluated
    assert (str(once), repr(once), once == 2) == ("2", "2", True)


def test_only_a_lazy_value_is_evaluated():
    assert (maybe_evaluate(lazy(lambda: 5)), maybe_evaluate(5), maybe_evaluate(noop)) == (5, 5, noop)
    assert noop(1, a=2) is None  # type: ignore[func-returns-value]  # which is what it is for


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, None), (1, [1]), ("ab", ["ab"]), ({"a": 1}, [{"a": 1}]), ([1], [1]), ((1,), (1,)), ({1}, {1})],
)
def test_a_scalar_becomes_a_list_of_one(value, expected):
    assert maybe_list(value) == expected
    assert is_list(value) is (type(value) in (list, tuple, set))


def test_the_first_item_that_fits_is_found():
    assert first(None, [None, 0, 1]) == 0
    assert first(lambda item: item > 1, [1, 2, 3]) == 2
    assert first(lambda item: item > 9, [1, 2, 3]) is None


@given(st.lists(st.integers()), st.integers(1, 10))
def test_chunks_are_full_but_the_last_and_hold_everything(items, size):
    found = list(chunks(iter(items), size))

    assert [item for chunk in found for item in chunk] == items
    assert all(len(chunk) == size for chunk in found[:-1])
    assert all(found)


def test_small_things_do_as_in_celery():
    assert padlist(["a"], 3, "x") == ["a", "x", "x"]
    assert padlist(["a", "b"], 1) == ["a"]
    assert mattrgetter("real", "none")(1) == {"real": 1, "none": None}
    assert list(uniq([3, 1, 3, 2, 1])) == [3, 1, 2]
    assert dictfilter({"a": 1, "b": None}, c=None, d=0) == {"a": 1, "d": 0}
    assert (maybe(int, "3"), maybe(int, None)) == (3, None)
    assert (seq_concat_item((1,), 2), seq_concat_item([1], 2)) == ((1, 2), [1, 2])
    assert (seq_concat_seq([1], (2, 3)), seq_concat_seq((1, 2), [3])) == ((1, 2, 3), (1, 2, 3))
    assert fun_accepts_kwargs(lambda **kwargs: None)
    assert not fun_accepts_kwargs(lambda a, b=1: None)


def test_a_generator_can_be_read_again():
    again = regen(number for number in range(5))

    assert list(again) == list(again) == [0, 1, 2, 3, 4]
    assert again == [0, 1, 2, 3, 4]


def test_what_can_be_read_again_stays_what_it_is():
    items = [1, 2]

    assert regen(items) is items


def test_no_more_is_read_than_asked_for():
    read = []

    def numbers():
        for number in itertools.count():
            read.append(number)
            yield number

    again = regen(numbers())

    assert (again[2], bool(again), next(iter(again))) == (2, True, 0)
    assert read == [0, 1, 2]


def test_a_generator_behaves_as_the_list_of_its_items():
    again = regen(iter("abc"))

    assert (len(again), again[-1], again[1:], "b" in again) == (3, "c", ["b", "c"], True)
    assert pickle.loads(pickle.dumps(again)) == ["a", "b", "c"]
    assert not regen(iter(()))
    with pytest.raises(IndexError):
        _ = again[3]


def test_two_loops_over_one_generator_do_not_disturb_each_other():
    again = regen(iter(range(3)))

    assert [(one, other) for one in again for other in again] == list(itertools.product(range(3), repeat=2))
