from __future__ import annotations

import os
import time
from uuid import RFC_4122, UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.ids import new_id, new_ids

MAKERS = pytest.mark.parametrize("make", [new_id, lambda: new_ids(1)[0]], ids=["one", "in bulk"])


@MAKERS
def test_an_id_is_a_uuid_of_version_7(make) -> None:
    read = UUID(make())

    assert (read.version, read.variant) == (7, RFC_4122)


@MAKERS
def test_an_id_is_spelled_as_uuids_are(make) -> None:
    made = make()

    assert made == str(UUID(made))


@MAKERS
def test_an_id_tells_the_millisecond_of_its_making(make) -> None:
    before = time.time_ns() // 1_000_000
    made = make()
    after = time.time_ns() // 1_000_000

    assert before <= UUID(made).int >> 80 <= after


@MAKERS
def test_an_id_of_a_later_millisecond_sorts_behind(make) -> None:
    first = make()
    moment = time.time_ns() // 1_000_000
    while time.time_ns() // 1_000_000 == moment:
        pass
    second = make()

    assert first < second


@given(st.integers(0, 300))
def test_many_ids_are_as_many_as_asked_for_and_all_different(count: int) -> None:
    ids = new_ids(count)

    assert len(set(ids)) == len(ids) == count
    assert all(UUID(made).version == 7 for made in ids)


def test_every_random_bit_of_an_id_is_used() -> None:
    ids = [UUID(made).int for made in new_ids(2_000)]
    always_set, ever_set = ids[0], 0
    for number in ids:
        always_set &= number
        ever_set |= number

    random_bits = (2**12 - 1) << 64 | (2**62 - 1)
    assert ever_set & random_bits == random_bits
    assert always_set & random_bits == 0


def test_one_by_one_ids_are_different_too() -> None:
    assert len({new_id() for _ in range(1_000)}) == 1_000


def test_a_fork_and_its_parent_make_different_ids() -> None:
    new_id()
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(write, new_id()[14:].encode())
        finally:
            os._exit(0)
    os.waitpid(pid, 0)

    assert os.read(read, 100).decode() != new_id()[14:]
    os.close(read)
    os.close(write)
