from __future__ import annotations

import pytest

from celeriac.worker.consuming import NAME_MAX, QUEUES_MAX, Consuming


def test_queues_come_and_go_in_order():
    consuming = Consuming(["a", "b", "a"])

    assert (consuming.add("c"), consuming.add("a"), consuming.cancel("b"), consuming.cancel("x")) == (
        True,
        False,
        True,
        False,
    )
    assert consuming.names == ("a", "c")


def test_a_change_is_seen_by_who_has_the_names_of_before():
    consuming = Consuming(["a"])
    before = consuming.names

    assert consuming.names is before
    consuming.cancel("a")
    consuming.add("a")
    assert consuming.names is not before


@pytest.mark.parametrize("name", ["", "x" * (NAME_MAX + 1), 7, None, ["a"]])
def test_what_is_no_name_is_refused(name):
    with pytest.raises(ValueError, match="1 to 255 characters"):
        Consuming(["a"]).add(name)


def test_there_is_an_end_to_it():
    consuming = Consuming(map(str, range(QUEUES_MAX)))

    with pytest.raises(ValueError, match="consumes 10,000 queues already"):
        consuming.add("one more")
