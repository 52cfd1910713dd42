"""Starts under a rate limit: property tests of the pure part, with nodes that are away, late and many."""

from __future__ import annotations

import heapq

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.brokers.base import Booking
from celeriac.brokers.rates import Flow, book, tolerance

NOW = 1_000_000.0

intervals = st.sampled_from([0.001, 0.05, 1.0, 6.0, 360.0])
pauses = st.lists(st.sampled_from([0.0, 0.0, 0.0, 0.3, 2.0, 50.0, 4000.0]), max_size=60)


class Fleet:
    """Do with messages what nodes do: claim what is due, ask, and start it or put it back."""

    def __init__(self, interval: float) -> None:
        self.interval = interval
        self.flow = Flow()
        self.waiting: list[tuple[float, int, Booking | None]] = []
        self.started: list[tuple[float, int]] = []
        self.claims: dict[int, int] = {}

    def publish(self, number: int, now: float) -> None:
        heapq.heappush(self.waiting, (now, number, None))

    def look(self, now: float) -> None:
        while self.waiting and self.waiting[0][0] <= now:
            _, number, booking = heapq.heappop(self.waiting)
            self.claims[number] = self.claims.get(number, 0) + 1
            self.flow, booking = book(self.flow, self.interval, booking, now)
            if booking.at <= now:
                self.started.append((now, number))
            else:
                heapq.heappush(self.waiting, (booking.at, number, booking))

    def drain(self, now: float) -> float:
        while self.waiting:
            now = max(now, self.waiting[0][0])
            self.look(now)
        return now


def run(interval: float, waits: list[float]) -> Fleet:
    """Publish a message after each of the pauses, look after some of them, and let all of it run."""
    fleet = Fleet(interval)
    now = NOW
    for number, wait in enumerate(waits):
        now += wait
        fleet.publish(number, now)
        if number % 3:
            fleet.look(now)
    fleet.drain(now)
    return fleet


@given(interval=intervals, waits=pauses)
def test_every_message_starts_once(interval, waits):
    fleet = run(interval, waits)

    assert sorted(number for _, number in fleet.started) == list(range(len(waits)))


@given(interval=intervals, waits=pauses)
def test_no_window_has_more_starts_than_the_rate_and_its_tolerance_allow(interval, waits):
    fleet = run(interval, waits)

    times = [now for now, _ in fleet.started]
    for first, begin in enumerate(times):
        for last in range(first, len(times)):
            # A final start may come late by the tolerance, another one early.
            allowed = 1 + (times[last] - begin + 2 * tolerance(interval)) / interval
            assert last - first + 1 <= allowed + 1e-6


def test_a_line_moves_at_its_rate():
    fleet = Fleet(6.0)
    for number in range(100):
        fleet.publish(number, NOW)

    end = fleet.drain(NOW)

    assert end - NOW == pytest.approx(99 * 6.0)
    assert max(fleet.claims.values()) == 2


def test_a_line_moves_at_its_rate_though_each_claim_comes_late():
    fleet = Fleet(1.0)
    for number in range(100):
        fleet.publish(number, NOW)
    now = NOW
    while fleet.waiting:
        now = max(now, fleet.waiting[0][0]) + 0.3
        fleet.look(now)

    assert now - NOW == pytest.approx(99.0, abs=1.5)
    assert max(fleet.claims.values()) <= 3


def test_an_outage_costs_each_message_one_claim_more():
    fleet = Fleet(1.0)
    for number in range(1000):
        fleet.publish(number, NOW)
    fleet.look(NOW)

    fleet.drain(NOW + 500.0)

    assert max(fleet.claims.values()) <= 3
    assert len(fleet.started) == 1000


def test_a_final_start_that_is_far_over_passes_the_gate_again():
    flow, late = book(Flow(0.0, NOW + 30.0), 10.0, Booking(NOW - 500.0, True), NOW)

    assert late == Booking(NOW + 30.0 - tolerance(10.0), True)
    assert flow.gate_at == NOW + 40.0
