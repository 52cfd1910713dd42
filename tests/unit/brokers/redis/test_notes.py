from __future__ import annotations

from collections.abc import Callable

import pytest

from celeriac.brokers.redis import notes as module
from celeriac.brokers.redis.notes import TELL_WITHIN, Notes


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "monotonic", clock)
    return clock


def told(notes: Notes, *, all_of_them: bool = False) -> tuple[str, str]:
    with notes.taken(all_of_them=all_of_them) as words:
        return words


def raise_after(work: Callable[[], None]) -> None:
    work()
    raise ConnectionError


def test_what_ends_soon_is_never_told(clock: Clock):
    notes = Notes()
    notes.begin(1)

    early = told(notes)
    notes.end(1)
    clock.now += TELL_WITHIN

    assert early == told(notes) == ("", "")
    assert not notes


def test_what_lasts_is_told_once_and_taken_back(clock: Clock):
    notes = Notes()
    notes.begin(1)
    clock.now += TELL_WITHIN
    notes.begin(2)

    assert notes.are_due
    assert told(notes) == ("1", "")
    assert told(notes) == ("", "")
    notes.end(1)
    assert notes.are_due
    assert told(notes) == ("", "1")


def test_what_is_urgent_is_told_at_once(clock: Clock):
    notes = Notes()
    notes.begin(1)
    notes.begin(2, urgent=True)

    assert notes.are_due
    assert told(notes) == ("2", "")


def test_the_lease_tells_all(clock: Clock):
    notes = Notes()
    notes.begin(1)
    notes.begin(2)

    assert told(notes, all_of_them=True) == ("1 2", "")


def test_what_was_perhaps_not_heard_is_told_again(clock: Clock):
    notes = Notes()
    notes.begin(1)
    notes.begin(2)
    clock.now += TELL_WITHIN

    with pytest.raises(ConnectionError), notes.taken():
        raise_after(lambda: notes.end(1))

    assert told(notes) == ("2", "1")
