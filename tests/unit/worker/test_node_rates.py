from __future__ import annotations

import heapq
from collections.abc import Mapping
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from celeriac import Celery
from celeriac.worker.node_rates import LATE_MAX, TOGETHER_SECONDS, Bucket, NodeRates

NOW = 1_800_000_000.0


class Queue:
    """Keep messages until their time, and count how often each is claimed."""

    def __init__(self, count: int) -> None:
        self.due = [(NOW, number) for number in range(count)]
        self.claims = 0
        self.random = Random(1)
        self.starts: list[tuple[float, int]] = []

    def run(self, joins: Mapping[int, float], interval: float, *, batch: int, pause: float, until: float) -> None:
        """Have nodes claim in turn, each from the time at which it joins."""
        buckets = {node: Bucket(interval) for node in joins}
        now = NOW
        while self.due and now < until:
            for node, bucket in self.random.sample(list(buckets.items()), len(buckets)):
                if now < joins[node]:
                    continue
                for _ in range(batch):
                    if not self.due or self.due[0][0] > now:
                        break
                    _, number = heapq.heappop(self.due)
                    self.claims += 1
                    back_at = bucket.take(now)
                    if back_at is None:
                        self.starts.append((now, node))
                    else:
                        assert back_at > now
                        heapq.heappush(self.due, (back_at, number))
            now += pause

    def starts_of(self, node: int) -> list[float]:
        return [at for at, whose in self.starts if whose == node]


def most_within(starts: list[float], seconds: float) -> int:
    """Return the largest number of starts in a window of so many seconds."""
    most = first = 0
    for last, at in enumerate(starts):
        while at - starts[first] > seconds + 1e-6:
            first += 1
        most = max(most, last - first + 1)
    return most


@given(
    interval=st.sampled_from([0.001, 0.02, 0.1, 1.0, 7.0]),
    count=st.integers(1, 300),
    batch=st.integers(1, 100),
    pause=st.sampled_from([0.005, 0.05]),
)
@settings(max_examples=40, deadline=None)
def test_a_node_keeps_to_the_rate_loses_none_and_claims_each_few_times(interval, count, batch, pause):
    queue = Queue(count)

    queue.run({0: NOW}, interval, batch=batch, pause=max(pause, interval / 50), until=NOW + 1e6)

    starts = queue.starts_of(0)
    assert len(starts) == count
    for seconds in (interval, 5 * interval, 1.0, 10.0):
        slack = min(max(interval / 2, TOGETHER_SECONDS), LATE_MAX) + TOGETHER_SECONDS
        assert most_within(starts, seconds) <= 1 + (seconds + slack) / interval
    assert queue.claims <= 8 * count + batch * 2


@pytest.mark.parametrize(("interval", "count"), [(0.1, 5_000), (3_600.0, 500)])
def test_a_long_line_goes_on_at_the_rate_with_three_claims_for_each(interval, count):
    queue = Queue(count)

    queue.run({0: NOW}, interval, batch=50, pause=interval / 20, until=NOW + 1e9)

    starts = queue.starts_of(0)
    assert count * interval * 0.9 <= starts[-1] - starts[0] <= count * interval * 1.2
    assert queue.claims <= 3.5 * count


def test_a_node_that_comes_later_has_something_to_start():
    queue = Queue(2_000)

    queue.run({0: NOW, 1: NOW + 20}, 0.1, batch=50, pause=0.01, until=NOW + 60)

    late = [at for at in queue.starts_of(1) if at < NOW + 60]
    assert len(late) >= 0.7 * 40 / 0.1


def test_starts_that_were_not_used_are_not_made_up_for():
    bucket = Bucket(1.0)
    bucket.take(NOW)

    taken = [bucket.take(NOW + 3600 + number / 1000) for number in range(10)]

    assert taken.count(None) == 1


def test_a_start_that_is_a_little_late_does_not_move_the_next_one():
    bucket = Bucket(1.0)
    bucket.take(NOW)

    assert bucket.take(NOW + 1.3) is None
    assert bucket.take(NOW + 1.9) is not None
    assert bucket.take(NOW + 2.0) is None


def test_who_is_next_comes_back_when_it_is_to_start():
    bucket = Bucket(0.5)
    bucket.take(NOW)

    assert [bucket.take(NOW) for _ in range(3)] == [NOW + 0.5, NOW + 1.0, NOW + 1.5]


def rates(**options) -> NodeRates:
    app = Celery("rates", broker="memory://", set_as_current=False)
    app.task(name="t", **options)(lambda: None)
    return NodeRates(app.tasks)


def test_a_task_without_a_rate_is_asked_nothing():
    assert not rates().any
    assert rates().none_for("t")
    assert rates().take("t", NOW) is None


def test_a_rate_of_all_nodes_is_none_of_this_one():
    assert not rates(rate_limit="1/s", rate_limit_scope="global").any


def test_a_rate_is_that_of_one_task():
    limited = rates(rate_limit="6/m")

    assert limited.any
    assert limited.take("t", NOW) is None
    assert limited.take("t", NOW) == NOW + 5, "half of its way"


def test_rates_can_be_disabled():
    app = Celery("rates", broker="memory://", set_as_current=False)
    app.task(name="t", rate_limit="1/h")(lambda: None)

    assert not NodeRates(app.tasks, rates_obeyed=False).any
