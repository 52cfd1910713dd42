from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.brokers.redis.records import make_dead, make_record, split_dead, split_member, split_record

ANY_BYTES = st.binary(max_size=40)


@given(ANY_BYTES, ANY_BYTES)
def test_a_record_has_the_list_and_the_envelope_in_it(name, envelope):
    assert split_record(make_record(name, envelope)) == (name, envelope)


@given(ANY_BYTES, ANY_BYTES)
def test_a_member_of_the_delayed_set_has_a_word_in_front(name, envelope):
    assert split_member(b"123.45:" + make_record(name, envelope)) == (name, envelope)


@given(st.text(max_size=20), ANY_BYTES, ANY_BYTES)
def test_a_dead_letter_keeps_all_of_it(reason, name, envelope):
    dead = split_dead(make_dead(12.5, reason, make_record(name, envelope)), left_out=7)

    assert (dead.died_at, dead.list_name, dead.envelope, dead.size_bytes) == (12.5, name, envelope, len(envelope) + 7)
    assert dead.reason == reason.encode(errors="replace").decode()


@pytest.mark.parametrize("foreign", [b"", b"x", b"5", b"5:ab", b"-2:ab", b"x:ab"])
def test_what_is_no_record_is_refused(foreign):
    with pytest.raises(ValueError, match=r"field|found|literal"):
        split_record(foreign)
    with pytest.raises(ValueError, match=r"field|found|literal"):
        split_dead(foreign)
