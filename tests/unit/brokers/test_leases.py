from __future__ import annotations

import pytest

from celeriac.brokers.leases import ANSWER_WITHIN, DEAD_AFTER, Watcher


def look(watcher: Watcher, at: float, *, took: float = 0.0, **beats: int) -> set[int]:
    numbered = {int(name.removeprefix("n")): beat for name, beat in beats.items()}
    return watcher.stood_still(numbered, asked_at=at - took, answered_at=at)


def watched(until: float, *, start: float = 100.0, every: float = 1.0, **beats: int) -> tuple[Watcher, set[int]]:
    """Look once a second until so many seconds have passed."""
    watcher, still = Watcher(), set[int]()
    at = start
    while at <= start + until:
        still = look(watcher, at, **beats)
        at += every
    return watcher, still


def test_who_stands_still_for_eight_seconds_is_dead():
    assert watched(DEAD_AFTER - 1, n1=5)[1] == set()
    assert watched(DEAD_AFTER, n1=5)[1] == {1}


def test_who_has_moved_is_watched_anew():
    watcher, _ = watched(7.0, n1=5, n2=5)

    assert look(watcher, 108.0, n1=6, n2=5) == {2}
    assert look(watcher, 109.0, n1=6, n2=5) == {2}


def test_who_is_seen_for_the_first_time_lives():
    watcher, _ = watched(7.0, n1=5)

    assert look(watcher, 108.0, n1=5, n2=0) == {1}


@pytest.mark.parametrize("took", [ANSWER_WITHIN + 0.1, 60.0])
def test_a_slow_answer_says_nothing_about_others(took):
    watcher, _ = watched(7.0, n1=5)

    assert look(watcher, 108.0, took=took, n1=5) == set()
    assert look(watcher, 109.0, n1=5) == set()


def test_time_in_which_nobody_looked_says_nothing_about_others():
    watcher, _ = watched(7.0, n1=5)

    assert look(watcher, 107.0 + DEAD_AFTER, n1=5) == set()


def test_who_has_gone_is_forgotten():
    watcher, _ = watched(7.0, n1=5)

    look(watcher, 108.0)

    assert look(watcher, 109.0, n1=5) == set()
