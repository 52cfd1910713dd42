from __future__ import annotations

from celeriac.worker.backoff import Backoff


def test_waits_grow_and_stay_bounded():
    backoff = Backoff()

    waits = [backoff.next() for _ in range(1_100)]

    assert all(0 < wait <= 1.0 for wait in waits)
    assert waits[0] <= 0.05
    assert min(waits[10:]) >= 0.5


def test_a_success_begins_anew():
    backoff = Backoff()
    for _ in range(20):
        backoff.next()

    backoff.reset()

    assert backoff.next() <= 0.05


def test_a_fleet_does_not_come_back_at_once():
    fleet = [Backoff() for _ in range(50)]

    assert len({backoff.next() for backoff in fleet}) > 40
