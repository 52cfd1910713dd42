from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.canvas import Signature, group
from celeriac.canvas.packed import PackedIds
from celeriac.canvas.streams import KEPT, Stream
from celeriac.ids import new_id


def counted(length: int, made: list[int]):
    for number in range(length):
        made.append(number)
        yield number


def doubled(value: int) -> int:
    return 2 * value


class TestStream:
    def test_nothing_is_made_before_somebody_looks(self):
        made: list[int] = []

        stream = Stream(counted(5, made), doubled)

        assert made == []
        assert bool(stream)
        assert stream.first() == 0
        assert made == [0]
        assert stream.has_several()
        assert made == [0, 1]
        assert list(stream) == [0, 2, 4, 6, 8]

    def test_few_members_may_be_passed_again(self):
        stream = Stream(range(5), doubled)

        assert list(stream.passing()) == list(stream.passing()) == [0, 2, 4, 6, 8]
        assert stream[1] == 2
        assert len(stream) == 5

    def test_of_many_none_is_kept_and_that_is_said(self):
        stream = Stream(range(KEPT + 1), doubled)

        assert sum(1 for _ in stream.passing()) == KEPT + 1

        for use in (lambda: list(stream.passing()), lambda: stream[0], lambda: len(stream)):
            with pytest.raises(RuntimeError, match="the generator of this group has been used up"):
                use()

    def test_it_is_as_the_list_wherever_it_is_carried(self):
        stream = Stream(iter([1, 2]), doubled)

        assert stream == [2, 4]
        assert pickle.loads(pickle.dumps(stream)) == [2, 4]
        assert repr(stream) == "[2, 4]"
        assert copy.copy(stream) == [2, 4]


def test_a_group_of_a_generator_is_a_signature_like_others():
    call: Signature[Any] = Signature("add", (1,))

    members = group(call.clone() for _ in range(3))

    assert repr(members) == "group([add(1), add(1), add(1)])"
    assert members == group([call, call, call])
    written = json.loads(json.dumps(members, default=lambda stream: stream.__json__()))
    assert written == json.loads(json.dumps(group([call, call, call])))


@given(st.lists(st.uuids().map(str) | st.text()))
def test_ids_come_back_as_they_were(ids):
    packed = PackedIds(ids)

    assert list(packed) == ids
    assert [packed[at] for at in range(-len(ids), len(ids))] == ids + ids
    assert packed[1:] == ids[1:]
    with pytest.raises(IndexError):
        packed[len(ids)]


def test_ids_take_sixteen_bytes():
    packed = PackedIds(new_id() for _ in range(1000))

    assert len(packed._packed) == 16_000
    assert len(packed) == len(set(packed)) == 1000
