from __future__ import annotations

import pytest

from celeriac.testing.clock import ManualClock


def test_time_stands_still_until_it_is_moved():
    clock = ManualClock(now=100.0, monotonic=5.0)

    before = (clock.now(), clock.monotonic())
    clock.advance(2.5)

    assert before == (100.0, 5.0)
    assert (clock.now(), clock.monotonic()) == (102.5, 7.5)


def test_setting_the_wall_clock_lets_no_time_pass():
    clock = ManualClock(now=100.0, monotonic=5.0)

    clock.jump(-60.0)

    assert (clock.now(), clock.monotonic()) == (40.0, 5.0)


def test_time_does_not_run_backwards():
    with pytest.raises(ValueError, match="jump"):
        ManualClock().advance(-1.0)
