from __future__ import annotations

import inspect

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.app.arguments import ArgumentCheck


def plain(a, b, c=1): ...


def named(a, *, b, c=1): ...


def placed(a, /, b=1): ...


def open_end(a, *rest, b=1, **names): ...


def nothing(): ...


@pytest.mark.parametrize(
    ("args", "kwargs"), [((1, 2), {}), ((1, 2, 3), {}), ((1,), {"b": 2}), ((), {"a": 1, "b": 2, "c": 3})]
)
def test_a_call_that_fits_passes(args, kwargs):
    ArgumentCheck("shop.pay", plain)(args, kwargs)


@pytest.mark.parametrize(
    ("args", "kwargs", "reason"),
    [
        ((), {}, "missing a required argument: 'a'"),
        ((1,), {"c": 3}, "missing a required argument: 'b'"),
        ((1, 2, 3, 4), {}, "too many positional arguments"),
        ((1, 2), {"d": 4}, "got an unexpected keyword argument 'd'"),
        ((1, 2), {"a": 4}, "multiple values for argument 'a'"),
    ],
)
def test_a_call_that_does_not_fit_is_explained_with_the_name_of_the_task(args, kwargs, reason):
    with pytest.raises(TypeError) as caught:
        ArgumentCheck("shop.pay", plain)(args, kwargs)

    assert str(caught.value) == f"task 'shop.pay' cannot be called like this: {reason}"


values = st.lists(st.just(0), max_size=4)
keywords = st.dictionaries(st.sampled_from("abcd"), st.just(0), max_size=4)


@given(st.sampled_from([plain, named, placed, open_end, nothing]), values, keywords)
def test_the_answer_is_always_that_of_python_itself(function, args, kwargs):
    try:
        inspect.signature(function).bind(*args, **kwargs)
    except TypeError:
        fits = False
    else:
        fits = True

    check = ArgumentCheck("t", function)

    if fits:
        check(args, kwargs)
    else:
        with pytest.raises(TypeError):
            check(args, kwargs)
