"""What every result backend must do, as a suite for pytest.

    class TestMemoryBackend(ResultBackendConformance):
        @pytest.fixture
        def world(self):
            return MemoryResults()

pytest shows the values in failed assertions when `pytest.register_assert_rewrite("celeriac.testing.backends")` runs
before the import.
"""

from __future__ import annotations

import asyncio
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from celeriac.backends.base import ResultBackend, StoredResult
from celeriac.states import FAILURE, IGNORED, PENDING, READY_STATES, RECEIVED, RETRY, REVOKED, STARTED, SUCCESS
from celeriac.testing.worlds import ANSWER_WITHIN, a_result


class ResultWorld(ABC):
    """Give the suite what it needs of one adapter. Make a fresh one, with an empty store, for every test."""

    @abstractmethod
    def backend(self, *, expires: float | None = 3600.0, failure_expires: float | None = None) -> ResultBackend:
        """Make one more backend on this world's store, as another process would."""

    @abstractmethod
    def advance(self, seconds: float) -> None:
        """Let time pass, for the store and for everybody who uses it."""


def expire(backend: ResultBackend) -> list[int]:
    """Expire until nothing is left to do, and say how many records each call deleted."""
    deleted = []
    while count := backend.expire():
        deleted.append(count)
    return deleted


def expirable(backend: ResultBackend, count: int) -> int:
    """Return how many of so many expired records `expire` is there for: none where the store deletes them by itself."""
    return 0 if backend.expires_by_itself else count


def state_of(backend: ResultBackend, task_id: str = "id-1") -> str:
    """Return the state of a run as `AsyncResult` would."""
    found = backend.get(task_id)
    return PENDING if found is None else found.state


class ResultBackendConformance:
    """Be the whole suite: subclass it, give it a fixture `world`, and every promise of the port is checked."""

    @pytest.fixture
    def world(self) -> ResultWorld:
        raise NotImplementedError(f"{type(self).__name__} must have a fixture `world` that returns a ResultWorld")

    @pytest.fixture
    def backend(self, world: ResultWorld) -> Iterator[ResultBackend]:
        backend = world.backend()
        yield backend
        backend.close()

    # -- storing and reading ------------------------------------------------------------------------------------

    def test_what_was_stored_is_returned_byte_for_byte(self, backend: ResultBackend) -> None:
        backend.store([a_result("id-1", record=b'{"result": "\xff\x00"}')])

        assert backend.get("id-1") == StoredResult(task_id="id-1", state=SUCCESS, record=b'{"result": "\xff\x00"}')

    def test_a_run_that_nobody_recorded_has_no_record(self, backend: ResultBackend) -> None:
        assert backend.get("unknown") is None

    def test_a_batch_is_stored_as_a_whole(self, backend: ResultBackend) -> None:
        ids = [f"id-{number}" for number in range(1200)]

        backend.store([a_result(task_id, record=task_id.encode()) for task_id in ids])

        found = backend.get_many([*ids, "unknown"])
        assert {task_id: stored.record for task_id, stored in found.items()} == {id_: id_.encode() for id_ in ids}

    def test_nothing_may_be_stored_read_and_forgotten(self, backend: ResultBackend) -> None:
        backend.store([])
        backend.forget([])

        assert backend.get_many([]) == {}
        assert backend.wait([], timeout=0) == {}

    def test_what_one_backend_stores_another_one_sees(self, world: ResultWorld, backend: ResultBackend) -> None:
        backend.store([a_result()])

        other = world.backend()
        assert state_of(other) == SUCCESS
        assert other.url == backend.url
        other.close()

    def test_a_custom_state_is_kept(self, backend: ResultBackend) -> None:
        backend.store([a_result(state="PROGRESS", record=b'{"done": 3}')])

        assert backend.get("id-1") == StoredResult(task_id="id-1", state="PROGRESS", record=b'{"done": 3}')

    # -- which record stands ------------------------------------------------------------------------------------

    @pytest.mark.parametrize("state", [SUCCESS, FAILURE, RETRY, STARTED, REVOKED])
    def test_the_first_success_stands(self, backend: ResultBackend, state: str) -> None:
        backend.store([a_result(record=b"first")])

        backend.store([a_result(state=state, record=b"later", retries=3)])

        assert backend.get("id-1") == StoredResult(task_id="id-1", state=SUCCESS, record=b"first")

    def test_the_first_success_of_a_batch_stands(self, backend: ResultBackend) -> None:
        backend.store([a_result(record=b"first"), a_result(record=b"second"), a_result(state=FAILURE)])

        assert backend.get("id-1") == StoredResult(task_id="id-1", state=SUCCESS, record=b"first")

    @pytest.mark.parametrize("before", [FAILURE, RETRY, STARTED, REVOKED, RECEIVED, "PROGRESS"])
    @pytest.mark.parametrize("after", [SUCCESS, FAILURE, RETRY, STARTED])
    def test_any_other_record_is_replaced_by_the_next_one(
        self, backend: ResultBackend, before: str, after: str
    ) -> None:
        backend.store([a_result(state=before, record=b"before")])

        backend.store([a_result(state=after, record=b"after")])

        assert backend.get("id-1") == StoredResult(task_id="id-1", state=after, record=b"after")

    def test_the_last_record_of_a_batch_stands_unless_one_is_a_success(self, backend: ResultBackend) -> None:
        backend.store([a_result(state=STARTED), a_result(state=RETRY), a_result(state=FAILURE)])

        assert state_of(backend) == FAILURE

    @pytest.mark.parametrize(
        ("kept", "later", "stands"),
        [
            ((FAILURE, 0), (SUCCESS, 0), FAILURE),
            ((FAILURE, 2), (SUCCESS, 1), FAILURE),
            ((FAILURE, 0), (SUCCESS, 1), SUCCESS),
            ((REVOKED, 0), (STARTED, 0), REVOKED),
            ((RETRY, 5), (SUCCESS, 0), SUCCESS),
            ((STARTED, 5), (FAILURE, 0), FAILURE),
            ((SUCCESS, 0), (FAILURE, 5), SUCCESS),
        ],
    )
    def test_once_leaves_alone_what_is_final_for_the_same_or_a_later_attempt(
        self, backend: ResultBackend, kept: tuple[str, int], later: tuple[str, int], stands: str
    ) -> None:
        backend.store([a_result(state=kept[0], retries=kept[1])])

        backend.store([a_result(state=later[0], retries=later[1])], once=True)

        assert state_of(backend) == stands

    def test_once_stores_what_is_new(self, backend: ResultBackend) -> None:
        backend.store([a_result("a"), a_result("b", FAILURE)], once=True)

        assert (state_of(backend, "a"), state_of(backend, "b")) == (SUCCESS, FAILURE)

    @pytest.mark.parametrize(
        ("kept", "note", "stands"),
        [
            ((SUCCESS, 0), ("PROGRESS", 5), SUCCESS),
            ((FAILURE, 1), ("PROGRESS", 1), FAILURE),
            ((REVOKED, 0), (STARTED, 0), REVOKED),
            ((RETRY, 0), ("PROGRESS", 0), RETRY),
            ((STARTED, 1), ("PROGRESS", 0), STARTED),
            (("PROGRESS", 2), ("LOADING", 1), "PROGRESS"),
            (("PROGRESS", 0), (STARTED, 0), "PROGRESS"),
            (("PROGRESS", 0), (RECEIVED, 0), "PROGRESS"),
            ((FAILURE, 0), ("PROGRESS", 1), "PROGRESS"),
            ((RETRY, 0), (STARTED, 1), STARTED),
            (("PROGRESS", 0), (STARTED, 1), STARTED),
            ((STARTED, 0), ("PROGRESS", 0), "PROGRESS"),
            (("PROGRESS", 0), ("LOADING", 0), "LOADING"),
            (("PROGRESS", 0), (FAILURE, 0), FAILURE),
            ((RECEIVED, 0), (STARTED, 0), STARTED),
        ],
    )
    def test_a_note_that_comes_late_changes_nothing(
        self, backend: ResultBackend, kept: tuple[str, int], note: tuple[str, int], stands: str
    ) -> None:
        backend.store([a_result(state=kept[0], retries=kept[1], record=b"kept")])

        backend.note([a_result(state=note[0], retries=note[1], record=b"note")])

        expected = b"kept" if stands == kept[0] else b"note"
        found = backend.get("id-1")
        assert (found and found.state, found and found.record) == (stands, expected)

    def test_a_note_is_kept_and_replaced_by_the_next_one(self, backend: ResultBackend) -> None:
        backend.note([a_result(state=STARTED), a_result("id-2", STARTED)])
        backend.note([a_result(state="PROGRESS", record=b"half"), a_result("id-2", "PROGRESS")])
        backend.note([a_result("id-2", "PROGRESS", record=b"done")])

        assert backend.get("id-1") == StoredResult(task_id="id-1", state="PROGRESS", record=b"half")
        assert backend.get("id-2") == StoredResult(task_id="id-2", state="PROGRESS", record=b"done")

    @pytest.mark.parametrize("state", [SUCCESS, FAILURE, RETRY, REVOKED])
    def test_what_a_run_came_to_replaces_its_notes(self, backend: ResultBackend, state: str) -> None:
        backend.note([a_result(state="PROGRESS", retries=1)])

        backend.store([a_result(state=state, retries=1)])

        assert state_of(backend) == state

    # -- waiting ------------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("state", sorted(READY_STATES))
    def test_waiting_returns_what_is_final_already(self, backend: ResultBackend, state: str) -> None:
        backend.store([a_result("a", state), a_result("b", state), a_result("c", STARTED)])

        assert backend.wait(["a", "b", "c", "d"], timeout=None).keys() == {"a", "b"}

    @pytest.mark.parametrize("state", [RETRY, STARTED, RECEIVED, IGNORED, "PROGRESS"])
    def test_what_goes_on_is_not_final(self, backend: ResultBackend, state: str) -> None:
        backend.store([a_result(state=state)])

        assert backend.wait(["id-1"], timeout=0) == {}

    def test_waiting_without_time_only_looks(self, backend: ResultBackend) -> None:
        assert backend.wait(["id-1"], timeout=0) == {}

    def test_waiting_ends_with_its_timeout(self, backend: ResultBackend) -> None:
        began_at = time.monotonic()

        found = backend.wait(["id-1"], timeout=0.05)

        assert found == {}
        assert time.monotonic() - began_at >= 0.05

    def test_waiting_is_ended_by_a_result_of_another_thread(self, world: ResultWorld, backend: ResultBackend) -> None:
        writer = world.backend()
        with ThreadPoolExecutor(1) as threads:
            for number in range(10):
                waiting = threads.submit(backend.wait, [f"id-{number}", "never"], timeout=10 * ANSWER_WITHIN)

                writer.store([a_result(f"id-{number}", FAILURE)])

                assert waiting.result(ANSWER_WITHIN).keys() == {f"id-{number}"}
        writer.close()

    def test_waiting_goes_on_past_what_is_not_final(self, backend: ResultBackend) -> None:
        with ThreadPoolExecutor(1) as threads:
            waiting = threads.submit(backend.wait, ["id-1"], timeout=10 * ANSWER_WITHIN)

            backend.store([a_result("other")])
            backend.store([a_result(state=STARTED)])
            backend.store([a_result(state=RETRY)])
            backend.store([a_result(record=b"final")])

            assert waiting.result(ANSWER_WITHIN)["id-1"].record == b"final"

    def test_one_result_ends_the_waiting_of_many(self, backend: ResultBackend) -> None:
        began = threading.Barrier(5)

        def wait() -> dict[str, StoredResult]:
            began.wait(ANSWER_WITHIN)
            return backend.wait(["id-1"], timeout=10 * ANSWER_WITHIN)

        with ThreadPoolExecutor(4) as threads:
            waiting = [threads.submit(wait) for _ in range(4)]
            began.wait(ANSWER_WITHIN)
            backend.store([a_result()])

            assert [one.result(ANSWER_WITHIN).keys() for one in waiting] == [{"id-1"}] * 4

    # -- waiting in coroutines ----------------------------------------------------------------------------------

    @pytest.mark.parametrize("state", sorted(READY_STATES))
    def test_a_coroutine_gets_what_is_final_already(self, backend: ResultBackend, state: str) -> None:
        backend.store([a_result("a", state), a_result("b", state), a_result("c", STARTED)])

        assert asyncio.run(backend.wait_async(["a", "b", "c", "d"], timeout=None)).keys() == {"a", "b"}

    def test_a_coroutine_that_waits_without_time_only_looks(self, backend: ResultBackend) -> None:
        backend.store([a_result(state=STARTED)])

        assert asyncio.run(backend.wait_async(["id-1"], timeout=0)) == {}

    def test_the_waiting_of_a_coroutine_ends_with_its_timeout(self, backend: ResultBackend) -> None:
        began_at = time.monotonic()

        found = asyncio.run(backend.wait_async(["id-1"], timeout=0.05))

        assert found == {}
        assert time.monotonic() - began_at >= 0.045  # loops may round down to their clock's resolution

    def test_the_waiting_of_a_coroutine_is_ended_by_a_result_of_another_thread(
        self, world: ResultWorld, backend: ResultBackend
    ) -> None:
        writer = world.backend()

        async def wait_for_ten() -> list[set[str]]:
            loop, ended = asyncio.get_running_loop(), []
            for number in range(10):
                waiting = asyncio.create_task(backend.wait_async([f"id-{number}", "never"], timeout=10 * ANSWER_WITHIN))
                await asyncio.sleep(0)
                await loop.run_in_executor(None, writer.store, [a_result(f"id-{number}", FAILURE)])
                ended.append(set(await asyncio.wait_for(waiting, ANSWER_WITHIN)))
            return ended

        assert asyncio.run(wait_for_ten()) == [{f"id-{number}"} for number in range(10)]
        writer.close()

    def test_the_waiting_of_a_coroutine_goes_on_past_what_is_not_final(self, backend: ResultBackend) -> None:
        async def wait() -> dict[str, StoredResult]:
            waiting = asyncio.create_task(backend.wait_async(["id-1"], timeout=10 * ANSWER_WITHIN))
            for result in (a_result("other"), a_result(state=STARTED), a_result(state=RETRY)):
                await asyncio.sleep(0)
                backend.store([result])
            await asyncio.sleep(0)
            assert not waiting.done()
            backend.store([a_result(record=b"final")])
            return await asyncio.wait_for(waiting, ANSWER_WITHIN)

        assert asyncio.run(wait())["id-1"].record == b"final"

    def test_a_thousand_coroutines_wait_without_a_thread_each(self, backend: ResultBackend) -> None:
        ids = [f"id-{number}" for number in range(1000)]

        async def wait() -> tuple[int, list[dict[str, StoredResult]]]:
            waiting = [asyncio.create_task(backend.wait_async([one], timeout=10 * ANSWER_WITHIN)) for one in ids]
            await asyncio.sleep(0.01)
            threads = threading.active_count()
            for start in range(0, 1000, 100):
                backend.store([a_result(one) for one in ids[start : start + 100]])
                await asyncio.sleep(0)
            return threads, await asyncio.wait_for(asyncio.gather(*waiting), ANSWER_WITHIN)

        before = threading.active_count()
        threads, found = asyncio.run(wait())

        assert threads <= before + 1  # one that listens for everybody
        assert [set(one) for one in found] == [{one} for one in ids]

    def test_a_coroutine_that_is_cancelled_leaves_the_others_waiting(self, backend: ResultBackend) -> None:
        async def wait() -> set[str]:
            one, other = (asyncio.create_task(backend.wait_async(["id-1"], timeout=10 * ANSWER_WITHIN)) for _ in "ab")
            await asyncio.sleep(0.01)
            one.cancel()
            with pytest.raises(asyncio.CancelledError):
                await one
            backend.store([a_result()])
            return set(await asyncio.wait_for(other, ANSWER_WITHIN))

        assert asyncio.run(wait()) == {"id-1"}

    def test_coroutines_of_several_loops_wait_at_once(self, backend: ResultBackend) -> None:
        def wait() -> set[str]:
            return set(asyncio.run(backend.wait_async(["id-1"], timeout=10 * ANSWER_WITHIN)))

        with ThreadPoolExecutor(4) as threads:
            waiting = [threads.submit(wait) for _ in range(4)]
            backend.store([a_result()])

            assert [one.result(ANSWER_WITHIN) for one in waiting] == [{"id-1"}] * 4

    def test_what_was_saved_of_a_group_is_returned(self, backend: ResultBackend) -> None:
        backend.save_group("g-1", b"first")
        backend.save_group("g-1", b"second")
        backend.save_group("g-2", b"other")

        assert backend.restore_group("g-1") == b"second"
        assert backend.restore_group("unknown") is None
        assert backend.get("g-1") is None
        backend.delete_group("g-1")
        backend.delete_group("unknown")
        assert backend.restore_group("g-1") is None
        assert backend.restore_group("g-2") == b"other"

    def test_coroutines_read_and_forget_too(self, backend: ResultBackend) -> None:
        backend.store([a_result(record=b"kept")])

        async def read_and_forget() -> tuple[StoredResult | None, StoredResult | None]:
            before = await backend.get_async("id-1")
            await backend.forget_async(["id-1"])
            return before, await backend.get_async("id-1")

        stored = StoredResult(task_id="id-1", state=SUCCESS, record=b"kept")
        assert asyncio.run(read_and_forget()) == (stored, None)

    # -- forgetting ---------------------------------------------------------------------------------------------

    def test_what_is_forgotten_is_gone(self, backend: ResultBackend) -> None:
        backend.store([a_result("a"), a_result("b")])

        backend.forget(["a", "unknown"])

        assert backend.get_many(["a", "b"]).keys() == {"b"}

    def test_a_forgotten_success_stands_in_nobodys_way(self, backend: ResultBackend) -> None:
        backend.store([a_result()])
        backend.forget(["id-1"])

        backend.store([a_result(state=FAILURE)])

        assert state_of(backend) == FAILURE

    def test_records_expire_and_younger_ones_stay(self, world: ResultWorld) -> None:
        backend = world.backend(expires=3600.0)
        backend.store([a_result("old")])
        world.advance(3000.0)
        backend.store([a_result("young")])
        assert backend.expire() == 0
        world.advance(700.0)

        deleted = expire(backend)

        assert sum(deleted) == expirable(backend, 1)
        assert backend.get_many(["old", "young"]).keys() == {"young"}
        backend.close()

    def test_a_record_that_was_replaced_is_young_again(self, world: ResultWorld) -> None:
        backend = world.backend(expires=3600.0)
        backend.store([a_result("a", STARTED), a_result("b")])
        world.advance(3000.0)
        backend.store([a_result("a", RETRY)])
        world.advance(1000.0)

        expire(backend)

        assert backend.get_many(["a", "b"]).keys() == {"a"}
        backend.close()

    def test_expiring_is_bounded_and_reaches_everything(self, world: ResultWorld) -> None:
        backend = world.backend(expires=3600.0)
        ids = [f"id-{number}" for number in range(5000)]
        backend.store([a_result(task_id) for task_id in ids])
        world.advance(3700.0)

        deleted = expire(backend)

        assert sum(deleted) == expirable(backend, 5000)
        assert max(deleted, default=0) < 5000
        assert backend.get_many(ids) == {}
        backend.close()

    def test_records_are_found_behind_others_that_are_kept_longer(self, world: ResultWorld) -> None:
        keeper, backend = world.backend(expires=None), world.backend(expires=3600.0)
        keeper.store([a_result(f"kept-{number}") for number in range(3)])
        backend.store([a_result("short")])
        world.advance(3700.0)

        expire(backend)

        assert backend.get("short") is None
        assert state_of(backend, "kept-0") == SUCCESS
        keeper.close()
        backend.close()

    def test_a_record_exists_until_it_is_forgotten_or_has_expired(self, world: ResultWorld) -> None:
        backend = world.backend(expires=3600.0)
        backend.store([a_result("old")])
        world.advance(3000.0)
        backend.store([a_result("young", STARTED), a_result("forgotten")])
        backend.forget(["forgotten"])
        world.advance(700.0)

        exist = [backend.exists(task_id) for task_id in ("old", "young", "forgotten", "unknown")]

        assert exist == [False, True, False, False]
        backend.close()

    @pytest.mark.parametrize(
        ("expires", "failure_expires", "left"),
        [
            (3600.0, None, set()),
            (3600.0, 60.0, set()),
            (3600.0, 7200.0, {"failed"}),
            (3600.0, 0, {"failed"}),
            (7200.0, 3600.0, {"done", "revoked"}),
            (None, 3600.0, {"done", "revoked"}),
            (0, 3600.0, {"done", "revoked"}),
            (0, None, {"done", "failed", "revoked"}),
        ],
    )
    def test_failures_may_have_a_lifetime_of_their_own(
        self, world: ResultWorld, expires: float | None, failure_expires: float | None, left: set[str]
    ) -> None:
        backend = world.backend(expires=expires, failure_expires=failure_expires)
        backend.store([a_result("done"), a_result("failed", FAILURE), a_result("revoked", REVOKED)])
        world.advance(3700.0)

        visible = set(backend.get_many(["done", "failed", "revoked"]))
        deleted = sum(expire(backend))

        assert (visible, deleted) == (left, expirable(backend, 3 - len(left)))
        backend.close()

    def test_what_expires_behind_many_failures_that_stay_is_reached(self, world: ResultWorld) -> None:
        backend = world.backend(expires=3600.0, failure_expires=0)
        backend.store([a_result(f"failed-{number}", FAILURE) for number in range(2500)])
        backend.store([a_result("done")])
        world.advance(3700.0)

        assert backend.expire() == expirable(backend, 1)
        assert backend.get("done") is None
        backend.close()

    @pytest.mark.parametrize("once", [False, True])
    def test_what_has_expired_stands_in_nobodys_way(self, world: ResultWorld, once: bool) -> None:
        backend = world.backend(expires=3600.0)
        ids = [f"id-{number}" for number in range(10)]
        backend.store([a_result(task_id) for task_id in ids])
        world.advance(3700.0)

        backend.store([a_result(task_id, FAILURE) for task_id in ids], once=once)

        assert [state_of(backend, task_id) for task_id in ids] == [FAILURE] * 10
        backend.close()

    def test_many_that_live_longer_do_not_hide_one_that_has_expired(self, world: ResultWorld) -> None:
        backend = world.backend(expires=60.0, failure_expires=3600.0)
        backend.store([a_result(f"failed-{number}", FAILURE) for number in range(20_000)])
        backend.store([a_result("short")])
        world.advance(100.0)

        assert (backend.expire(), backend.expire()) == (expirable(backend, 1), 0)
        assert backend.get("short") is None
        backend.close()

    def test_without_a_lifetime_records_stay(self, world: ResultWorld) -> None:
        backend = world.backend(expires=None)
        backend.store([a_result()])
        world.advance(10 * 365 * 86_400.0)

        assert backend.expire() == 0
        assert state_of(backend) == SUCCESS
        backend.close()

    # -- closing ------------------------------------------------------------------------------------------------

    def test_a_backend_may_be_closed_twice_and_used_again(self, backend: ResultBackend) -> None:
        backend.store([a_result()])
        backend.close()
        backend.close()

        assert state_of(backend) == SUCCESS
