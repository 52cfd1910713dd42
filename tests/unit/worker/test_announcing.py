from __future__ import annotations

import asyncio
import sys
import threading
from functools import partial

from celeriac.worker.announcing import Announcer

PATIENCE = 10.0


def test_all_is_told_in_order_and_in_another_thread():
    told: list[tuple[int, int]] = []
    announcer = Announcer()

    def note(number: int) -> None:
        told.append((number, threading.get_ident()))

    for number in range(100):
        announcer.say("counted", partial(note, number))
    announcer.stop(PATIENCE)

    assert [number for number, _ in told] == list(range(100))
    assert threading.get_ident() not in {thread for _, thread in told}


def test_what_cannot_be_told_is_logged_and_the_rest_is_told(caplog):
    told: list[str] = []
    announcer = Announcer()

    announcer.say("first", lambda: 1 / 0)
    announcer.say("second", lambda: told.append("second"))
    announcer.stop(PATIENCE)

    assert told == ["second"]
    assert "the receivers of first could not be told" in caplog.text


def test_it_is_behind_while_much_waits():
    gate = threading.Event()
    announcer = Announcer()
    for _ in range(1_100):
        announcer.say("waits", gate.wait)
    behind = announcer.is_behind

    gate.set()
    announcer.stop(PATIENCE)

    assert behind
    assert not announcer.is_behind


def test_a_stop_does_not_wait_for_ever_and_may_come_twice(caplog):
    gate = threading.Event()
    announcer = Announcer()
    announcer.say("hangs", gate.wait)

    announcer.stop(0.01)
    announcer.stop(0.01)

    assert "still busy" in caplog.text
    gate.set()


async def test_who_catches_up_waits_until_all_is_told():
    told: list[str] = []
    announcer = Announcer()

    await announcer.catch_up(PATIENCE)  # nothing was ever to be told
    announcer.say("first", lambda: told.append("first"))
    announcer.say("second", lambda: told.append("second"))
    await announcer.catch_up(PATIENCE)

    assert told == ["first", "second"]
    announcer.stop(PATIENCE)


async def test_receivers_that_hang_are_waited_for_once_until_they_have_caught_up():
    gate, told = threading.Event(), list[str]()
    announcer = Announcer()

    announcer.say("hangs", gate.wait)
    await announcer.catch_up(0.01)
    async with asyncio.timeout(PATIENCE):
        await announcer.catch_up(10 * PATIENCE)
    gate.set()
    await asyncio.to_thread(announcer.stop, PATIENCE)
    await asyncio.sleep(0)  # the loop learns of it

    announcer.say("again", lambda: told.append("again"))
    await announcer.catch_up(PATIENCE)

    assert told == ["again"]
    announcer.stop(PATIENCE)


async def test_what_is_behind_is_not_waited_for():
    gate = threading.Event()
    announcer = Announcer()
    for _ in range(1_100):
        announcer.say("waits", gate.wait)

    async with asyncio.timeout(PATIENCE):
        await announcer.catch_up(10 * PATIENCE)

    gate.set()
    announcer.stop(PATIENCE)


def test_a_receiver_that_exits_ends_nothing_but_itself(caplog):
    told: list[str] = []
    announcer = Announcer()

    announcer.say("exits", sys.exit)
    announcer.say("second", lambda: told.append("second"))
    announcer.stop(PATIENCE)

    assert told == ["second"]
    assert "the receivers of exits could not be told" in caplog.text


def test_a_stop_does_not_wait_for_room(monkeypatch, caplog):
    monkeypatch.setattr("celeriac.worker.announcing._WAITING_MAX", 2)
    gate, begun = threading.Event(), threading.Event()
    announcer = Announcer()

    def hang() -> None:
        begun.set()
        gate.wait()

    announcer.say("hangs", hang)
    assert begun.wait(PATIENCE)
    for _ in range(2):
        announcer.say("waits", gate.wait)

    stopping = threading.Thread(target=announcer.stop, args=(0.01,), daemon=True)
    stopping.start()
    stopping.join(PATIENCE / 2)
    has_stopped = not stopping.is_alive()
    gate.set()

    assert has_stopped
    assert "still busy" in caplog.text
