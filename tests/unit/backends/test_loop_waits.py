from __future__ import annotations

import asyncio
import gc
import os
import sys
import weakref

import pytest

from celeriac.backends.sqlite import SqliteBackend
from celeriac.brokers.sqlite.store import Store
from celeriac.testing.worlds import ANSWER_WITHIN, a_result


def watches():
    """Count the inotify descriptors of this process."""
    links = (f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd"))
    return sum("inotify" in os.readlink(link) for link in links if os.path.islink(link))


@pytest.fixture
def backend(tmp_path):
    backend = SqliteBackend(tmp_path / "results.sqlite3")
    yield backend
    backend.close()


@pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")
def test_a_thousand_waiters_of_a_loop_need_one_watch(backend):
    async def wait():
        waiting = [asyncio.create_task(backend.wait_async([f"id-{n}"], timeout=ANSWER_WITHIN)) for n in range(1000)]
        await asyncio.sleep(0.01)
        during = watches()
        backend.store([a_result(f"id-{n}") for n in range(1000)])
        await asyncio.gather(*waiting)
        return during

    gc.collect()  # of tests before, whose loops have ended
    before = watches()

    assert asyncio.run(wait()) - before == 1


def test_a_result_without_a_ring_is_found_by_looking(backend, monkeypatch):
    monkeypatch.setattr("celeriac.brokers.sqlite.bell.Bell.ring", lambda bell: None)

    async def wait():
        waiting = asyncio.create_task(backend.wait_async(["id-1"], timeout=ANSWER_WITHIN))
        await asyncio.sleep(0.01)
        backend.store([a_result()])
        return await waiting

    assert asyncio.run(wait()).keys() == {"id-1"}


def test_whoever_waits_is_told_that_the_store_cannot_be_read(backend, monkeypatch):
    async def wait():
        waiting = asyncio.create_task(backend.wait_async(["id-1"], timeout=ANSWER_WITHIN))
        await asyncio.sleep(0.01)

        def fail(*args):
            raise OSError("the disk is gone")

        monkeypatch.setattr("celeriac.brokers.sqlite.store.Store.read_at_once", fail)
        await waiting

    with pytest.raises(OSError, match="the disk is gone"):
        asyncio.run(wait())


def test_a_loop_in_which_was_waited_can_be_collected(backend):
    async def wait():
        assert await backend.wait_async(["id-1"], timeout=0.01) == {}
        return weakref.ref(asyncio.get_running_loop())

    loop = asyncio.run(wait())
    gc.collect()

    assert loop() is None


def test_a_file_that_is_replaced_is_found_anew(backend, tmp_path):
    async def wait():
        assert await backend.wait_async(["id-1"], timeout=0.01) == {}
        backend.close()
        for name in os.listdir(tmp_path):
            os.unlink(tmp_path / name)
        waiting = asyncio.create_task(backend.wait_async(["id-1"], timeout=ANSWER_WITHIN))
        await asyncio.sleep(0.01)
        backend.store([a_result()])
        return await waiting

    assert asyncio.run(wait()).keys() == {"id-1"}


def test_the_loop_does_not_stand_still_while_another_thread_has_the_connection(backend):
    backend.store([a_result("done")])
    store = Store.at(backend.path)
    turns = 0

    async def count_turns():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0.001)

    async def wait():
        counting = asyncio.create_task(count_turns())
        early = asyncio.create_task(backend.wait_async(["late"], timeout=ANSWER_WITHIN))
        await asyncio.sleep(0.01)
        with store._use:
            store.done.ring()
            waiting = [asyncio.create_task(backend.wait_async([name], timeout=0)) for name in ("done", "late")]
            waiting.append(asyncio.create_task(backend.wait_async(["late"], timeout=ANSWER_WITHIN)))
            reading = asyncio.create_task(backend.get_async("done"))
            before = turns
            await asyncio.sleep(0.03)
            meanwhile = turns - before
        await asyncio.to_thread(backend.store, [a_result("late")])
        found = await asyncio.gather(*waiting, early)
        counting.cancel()
        return meanwhile, [list(each) for each in found], (await reading).task_id

    meanwhile, found, read = asyncio.run(wait())

    assert meanwhile >= 5
    assert found[0] == ["done"]
    assert found[2:] == [["late"], ["late"]]
    assert read == "done"
