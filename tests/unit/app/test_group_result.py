from __future__ import annotations

import asyncio
import copy
import pickle
from typing import Any
from uuid import uuid4

import pytest

from celeriac import Celery
from celeriac.app.eager_result import EagerResult
from celeriac.app.group_result import GroupResult
from celeriac.app.result import AsyncResult
from celeriac.app.result_set import ResultSet
from celeriac.brokers.base import ResultMeta
from celeriac.exceptions import ResultBackendDisabled, TimeoutError
from celeriac.states import FAILURE, PENDING, SUCCESS
from celeriac.wire.results import exception_map, write_record


@pytest.fixture
def app(request):
    place = f"memory://groups-{request.node.name}"
    return Celery("shop", broker=place, backend=place)


@pytest.fixture
def group(app):
    return app.GroupResult("g-1", [app.AsyncResult(id) for id in ("a", "b", "c")])


def end(app: Celery, task_id: str, value: Any) -> None:
    failed = isinstance(value, Exception)
    state = FAILURE if failed else SUCCESS
    record = write_record(
        task_id=task_id,
        state=state,
        result=exception_map(value) if failed else value,
        date_done="2026-01-02T03:04:05+00:00",
    )
    assert app.backend is not None
    app.backend.store([ResultMeta(task_id=task_id, state=state, record=record)])


def test_values_come_in_the_order_of_the_members(app, group):
    for value, id in enumerate("cab"):
        end(app, id, value)

    assert group.get(timeout=1) == group.join(timeout=1) == group.join_native(timeout=1) == [1, 2, 0]
    assert list(group.iterate(timeout=1)) in ([0, 1, 2], [1, 2, 0])
    assert asyncio.run(group.aget(timeout=1)) == [1, 2, 0]
    assert (group.ready(), group.successful(), group.failed(), group.completed_count()) == (True, True, False, 3)


def test_records_come_as_dicts_in_the_order_in_which_the_runs_end(app, group):
    end(app, "b", 1)
    records = group.iter_native(timeout=1)
    first = next(records)
    end(app, "a", ValueError("boom"))
    end(app, "c", 3)

    found = dict([first, *records])

    assert first[0] == "b"
    assert {id: (meta["task_id"], meta["status"]) for id, meta in found.items()} == {
        "a": ("a", FAILURE),
        "b": ("b", SUCCESS),
        "c": ("c", SUCCESS),
    }
    assert (repr(found["a"]["result"]), found["b"]["result"]) == ("ValueError('boom')", 1)


def test_the_record_of_a_member_that_is_a_group_are_its_members(app):
    end(app, "a", 1)
    inner = app.GroupResult("g-2", [app.AsyncResult("a")])
    whole = app.GroupResult("g-1", [inner, EagerResult("e", ValueError("boom"), FAILURE)])

    found = dict(whole.iter_native(timeout=1))

    assert found["g-2"] == [app.AsyncResult("a")]
    assert (found["e"]["status"], repr(found["e"]["result"])) == (FAILURE, "ValueError('boom')")


@pytest.mark.timeout(10)
def test_nothing_is_awaited_of_members_without_a_result(app):
    end(app, "a", 1)
    group = app.GroupResult("g-1", [AsyncResult("i", app=app, ignored=True), app.AsyncResult("a")])

    assert sorted(map(repr, group.iterate(timeout=1))) == ["1", "None"]


@pytest.mark.timeout(10)
def test_members_without_a_result_need_no_store_even_in_a_group_in_a_group():
    with Celery("without", broker=f"memory://{uuid4()}", set_as_current=False) as app:
        ignored: AsyncResult[Any] = AsyncResult("i", app=app, ignored=True)
        whole = app.GroupResult("g-1", [app.GroupResult("g-2", [ignored]), ignored])

        assert list(whole.iterate(timeout=1)) == [[None], None]
        found = dict(whole.iter_native(timeout=1))

    assert (found["g-2"], found["i"]["status"], found["i"]["result"]) == ([ignored], PENDING, None)


def test_who_waits_too_long_is_told(app, group):
    end(app, "a", 1)

    with pytest.raises(TimeoutError):
        group.get(timeout=0)
    with pytest.raises(TimeoutError, match="2 of 3 runs had not ended"):
        list(group.iterate(timeout=0))
    assert (group.ready(), group.waiting(), group.completed_count()) == (False, True, 1)


def test_an_error_of_a_member_is_raised_or_returned(app, group):
    for id, value in (("a", 1), ("b", ValueError("boom")), ("c", 3)):
        end(app, id, value)

    with pytest.raises(ValueError, match="boom"):
        group.get(timeout=1)
    assert list(map(repr, group.get(timeout=1, propagate=False))) == ["1", "ValueError('boom')", "3"]
    with pytest.raises(ValueError, match="boom"):
        group.maybe_throw()


def test_a_callback_gets_each_value(app, group):
    for value, id in enumerate("abc"):
        end(app, id, value)
    heard: list[Any] = []

    assert group.get(timeout=1, callback=lambda id, value: heard.append((id, value))) == []
    assert heard == [("a", 0), ("b", 1), ("c", 2)]


def test_members_may_be_groups_and_finished_results(app):
    end(app, "a", 1)
    inner = app.GroupResult("g-2", [app.AsyncResult("a")])
    whole = app.GroupResult("g-1", [inner, EagerResult("e", 5, SUCCESS)])

    assert whole.get(timeout=1) == [[1], 5]
    assert sorted(map(repr, (value for value in whole.iterate(timeout=1)))) == ["5", "[1]"]


def test_it_is_known_by_its_id(app, group):
    assert (str(group), bool(group), len(group), group[1].id) == ("g-1", True, 3, "b")
    assert repr(group) == "<GroupResult: g-1 [a, b, c]>"
    assert group.as_tuple() == (("g-1", None), [(("a", None), None), (("b", None), None), (("c", None), None)])
    assert group.as_list() == ["a", "b", "c"]
    assert group == "g-1"
    assert pickle.loads(pickle.dumps(group)) == group
    assert copy.copy(group) == group


def test_members_of_a_large_group_are_made_when_somebody_looks(app):
    group = app.GroupResult.of_ids("g-1", [f"id-{number}" for number in range(100)], {3: app.GroupResult("g-2", [])})

    assert len(group.results._made) == 1
    assert group.results[7] is group.results[7]
    assert isinstance(group[3], GroupResult)
    assert [each.id for each in group[:2]] == ["id-0", "id-1"]
    assert group.results[-1].id == "id-99"
    with pytest.raises(IndexError, match="the group has 100 members, and none at 100"):
        group[100]


def test_a_group_is_kept_as_celery_keeps_it(app, group):
    group.save()

    assert app.GroupResult.restore("g-1") == group
    group.delete()
    assert app.GroupResult.restore("g-1") is None


def test_without_a_backend_that_is_said():
    nowhere = Celery("shop", broker="redis://localhost/0", set_as_current=False)

    with pytest.raises(ResultBackendDisabled, match="group g-1 cannot be saved or restored"):
        nowhere.GroupResult("g-1", []).save()


def test_one_command_revokes_all_members(app, group):
    group.revoke()

    assert set(app.broker.revoked(["a", "b", "c"])) == {"a", "b", "c"}


class TestSets:
    def test_results_are_added_and_taken_out(self, app):
        one, two = app.AsyncResult("a"), app.AsyncResult("b")
        some = app.ResultSet([one])

        some.add(two)
        some.add(two)
        some.discard("unknown")
        some.remove("a")

        assert (list(some), len(some)) == ([two], 1)
        with pytest.raises(KeyError):
            some.remove("a")
        some.update([one])
        some.clear()
        assert list(some) == []
        assert isinstance(some, ResultSet)

    def test_somebody_is_told_when_all_have_ended(self, app):
        some = app.ResultSet([app.AsyncResult("a"), app.AsyncResult("b")])
        told: list[Any] = []
        some.then(told.append, on_error=told.append)
        for id, value in (("a", 1), ("b", ValueError("boom"))):
            end(app, id, value)
        assert told == []

        some.get(timeout=1, propagate=False)

        assert told[0] is some
        assert repr(told[1]) == "ValueError('boom')"
