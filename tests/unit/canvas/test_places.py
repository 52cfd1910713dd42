from __future__ import annotations

from typing import Any

import pytest

from celeriac.canvas.places import Place, places_of

BODY = {"task": "shop.total", "options": {"task_id": "body"}}


def call(task_id: str | None = None, *, is_member: bool = False, index: Any = None, **more: Any) -> dict[str, Any]:
    options: dict[str, Any] = {} if task_id is None else {"task_id": task_id}
    if is_member:
        options |= {"chord": BODY, "group_id": "header", "group_index": index}
    return {"task": "shop.pay", "options": {**options, **more}, "kwargs": {}, "subtask_type": None}


def composed(kind: str, *tasks: Any, **options: Any) -> dict[str, Any]:
    return {"task": f"celery.{kind}", "subtask_type": kind, "kwargs": {"tasks": list(tasks)}, "options": options}


def chord(body: Any) -> dict[str, Any]:
    kwargs = {"header": [call("h", is_member=True)], "body": body}
    return {"task": "celery.chord", "subtask_type": "chord", "kwargs": kwargs, "options": {}}


def at(task_id: str, index: int | None = None) -> Place:
    return Place(task_id, BODY, "header", index)


MEMBER = {"chord": BODY, "group_id": "header"}


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (call("a"), []),
        (call("a", is_member=True, index=3), [at("a", 3)]),
        (call("a", is_member=True, index="x"), [at("a")]),
        (call(None, is_member=True), []),
        (call("a", chord=BODY), []),
        (composed("chain", call("a"), call("b", is_member=True, index=1)), [at("b", 1)]),
        (composed("chain", call("a"), call("b"), **MEMBER, group_index=2), [at("b", 2)]),
        (composed("chain"), []),
        (composed("group", call("a", is_member=True), call("b", is_member=True)), [at("a"), at("b")]),
        (composed("group", call("a"), call("b"), **MEMBER), [at("a", 0), at("b", 1)]),
        (composed("group", call("a"), call("b")), []),
        (composed("chain", call("a"), composed("group", call("b"), call("c"), **MEMBER)), [at("b", 0), at("c", 1)]),
        (chord(call("b", is_member=True, index=4)), [at("b", 4)]),
        (chord(composed("chain", call("b"), call("c", is_member=True, index=0))), [at("c", 0)]),
        (chord(None), []),
        (call("a", chain=[call("z", is_member=True, index=9), call("y")]), [at("z", 9)]),
        ({"task": "shop.pay"}, []),
    ],
)
def test_it_is_found_which_runs_report_to_a_chord(given, found):
    assert list(places_of(given)) == found
