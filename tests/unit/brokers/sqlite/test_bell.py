from __future__ import annotations

import os
import select
import threading
import time
from pathlib import Path

import pytest

from celeriac.brokers.sqlite.bell import BLIND_NAP, WATCHED_NAP, Bell


@pytest.fixture
def bell(tmp_path: Path):
    (tmp_path / "work.db").touch(0o600)
    made = Bell(tmp_path / "work.db", "-wake")
    yield made
    made.close()


@pytest.fixture
def watch(bell: Bell):
    made = bell.watch()
    yield made
    bell.rest(made)


def rung(watch) -> bool:
    return bool(select.select([watch.descriptor], [], [], 0)[0])


def test_a_ring_is_noticed_and_stays_noticed_until_it_is_drained(bell: Bell, watch):
    assert not rung(watch)

    bell.ring()

    assert rung(watch)
    assert rung(watch)
    watch.drain()
    assert not rung(watch)


def test_many_rings_are_drained_at_once(bell: Bell, watch):
    for _ in range(1_000):
        bell.ring()

    watch.drain()

    assert not rung(watch)


def test_a_ring_before_the_watch_is_not_noticed(bell: Bell):
    bell.ring()

    watch = bell.watch()

    assert not rung(watch)
    bell.rest(watch)


def test_a_rested_watch_notices_nothing_and_is_used_again(bell: Bell):
    first = bell.watch()
    bell.rest(first)
    first.drain()  # the kernel tells that it watches no more
    bell.ring()
    rung_at_rest = rung(first)

    second = bell.watch()

    assert not rung_at_rest
    assert second is first
    assert not rung(second)
    bell.ring()
    assert rung(second)
    bell.rest(second)


def test_a_sleeper_wakes_by_a_ring_of_another_bell_on_the_same_file(tmp_path: Path, bell: Bell, watch):
    other = Bell(tmp_path / "work.db", "-wake")
    asleep, woken = threading.Event(), threading.Event()

    def sleep() -> None:
        asleep.set()
        watch.sleep(30.0)
        woken.set()

    sleeper = threading.Thread(target=sleep)
    sleeper.start()
    asleep.wait(60)
    other.ring()

    assert woken.wait(60)
    sleeper.join(60)
    other.close()


def test_a_sleeper_whom_nobody_wakes_wakes_by_itself(watch):
    began = time.monotonic()

    watch.sleep(0.05)

    assert time.monotonic() - began >= 0.045


def test_a_blind_watch_naps_instead(bell: Bell):
    watch = bell.watch()
    if watch.descriptor is not None:
        assert watch.nap == WATCHED_NAP
    watch.close()

    watch.drain()
    watch.sleep(10.0)

    assert watch.descriptor is None
    assert watch.nap == BLIND_NAP


def test_who_spins_notices_a_ring_and_gives_up_in_time(bell: Bell, watch):
    ringing = threading.Timer(0.05, bell.ring)
    began = time.monotonic()
    ringing.start()

    noticed = watch.spin(10.0)

    ringing.join()
    assert noticed == (len(os.sched_getaffinity(0)) > 1), "with one processor it would only be in the way"
    assert time.monotonic() - began < 5.0
    watch.drain()
    assert not watch.spin(0.01)
