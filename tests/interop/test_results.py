"""Results in every form, written by one kind and read by the other."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.interop.fleet import CELERIAC, CELERY, Fleet, Kind, wait_until

pytestmark = pytest.mark.timeout(300)

READERS = (CELERY, CELERIAC)
FORMS = {
    "msgpack": {"result_serializer": "msgpack"},
    "yaml": {"result_serializer": "yaml"},
    "pickle": {"result_serializer": "pickle"},
    "compressed": {"result_compression": "zlib"},
}
PARAMETERS = [pytest.param(form, marks=pytest.mark.full if form in ("msgpack", "yaml") else ()) for form in FORMS]
WRITERS = pytest.mark.parametrize("writer", [CELERY, CELERIAC], ids=["celery", "celeriac"])


def seen_by(fleet: Fleet, expression: str) -> Any:
    """Return what both kinds of programs see, which must be the same."""
    first, *others = answers = [fleet.client(kind).run(expression) for kind in READERS]
    assert all(other == first for other in others), answers
    return first


@WRITERS
@pytest.mark.parametrize("form", PARAMETERS)
def test_every_form_of_results_is_read_by_both(open_fleet: Callable[..., Fleet], writer: Kind, form: str) -> None:
    accepted = ["json", "msgpack", "yaml", "pickle"]
    fleet = open_fleet(**FORMS[form], result_accept_content=accepted)
    fleet.start(writer)
    value = {"a": [1, 1.5, None, True, "é"], "b": {}}
    echoed = fleet.client(CELERY).run("echo.apply_async(({value},)).id", value=value)
    failed = fleet.client(CELERY).run("fail.delay('no', 5).id")

    value_read = seen_by(fleet, f"app.AsyncResult({echoed!r}).get(timeout=60)")
    failure_read = seen_by(fleet, f"failure(lambda: app.AsyncResult({failed!r}).get(timeout=60))")

    assert [list(part) if isinstance(part, tuple) else part for part in value_read] == [[value], {}]
    assert failure_read == ["ValueError", ["no", "5"]]


def test_extended_records_have_the_same_fields_in_the_same_order(open_fleet: Callable[..., Fleet]) -> None:
    records = {}
    for kind in (CELERY, CELERIAC):
        fleet = open_fleet(result_extended=True)
        fleet.start(kind, name="w1")
        fleet.client(kind).run("echo.apply_async((1, 'a'), {'k': [None]}, task_id='extended', headers={'x': 1}).id")
        records[kind.name] = fleet.record("extended")

    theirs, ours = records["celery"], records["celeriac"]

    assert list(ours) == list(theirs)
    assert {**ours, "date_done": None} == {**theirs, "date_done": None}
    assert ours["worker"] == "w1@shop"


@WRITERS
def test_states_on_the_way_are_seen_by_both(open_fleet: Callable[..., Fleet], writer: Kind) -> None:
    fleet = open_fleet(task_track_started=True)
    fleet.start(writer)
    task_id = fleet.client(CELERY).run("gated.delay('tracked').id")
    state = f"app.AsyncResult({task_id!r}).state"
    wait_until(lambda: fleet.client(CELERY).run(state) == "STARTED", what=fleet.logs)

    seen = seen_by(fleet, state), seen_by(fleet, f"sorted(app.AsyncResult({task_id!r}).info)")
    fleet.open_gate()

    assert seen == ("STARTED", ["hostname", "pid"])
    assert seen_by(fleet, f"app.AsyncResult({task_id!r}).get(timeout=60)") == writer.package


@WRITERS
def test_children_are_seen_by_both(fleet: Fleet, writer: Kind) -> None:
    fleet.start(writer)
    task_id = fleet.client(CELERY).run("add.apply_async((1, 2), link=callback.s()).id")
    fleet.record(task_id)

    [child] = seen_by(fleet, f"[child.id for child in app.AsyncResult({task_id!r}).children]")

    assert seen_by(fleet, f"app.AsyncResult({child!r}).get(timeout=60)") == 3
    assert json.loads(fleet.results.get(f"celery-task-meta-{child}") or "")["parent_id"] == task_id


@WRITERS
def test_who_waits_is_woken_by_the_others_notice(fleet: Fleet, writer: Kind) -> None:
    """Clients of both kinds wait for the channel, and do not look again by themselves."""
    fleet.start(writer)

    for kind in READERS:
        took = fleet.client(kind).run(
            "[time.monotonic(), noted.delay('waited', 0.3).get(timeout=60), time.monotonic()]"
        )
        assert took[1] == writer.package
        assert 0.3 <= took[2] - took[0] < 30.0


@pytest.mark.parametrize("forgetter", READERS, ids=["celery", "celeriac"])
def test_either_forgets_what_the_other_stored(fleet: Fleet, forgetter: Kind) -> None:
    writer = CELERIAC if forgetter is CELERY else CELERY
    fleet.start(writer)
    task_id = fleet.client(forgetter).run("retrying.delay(1, 0.1).id")
    fleet.record(task_id)

    fleet.client(forgetter).run(f"app.AsyncResult({task_id!r}).forget()")

    assert seen_by(fleet, f"app.AsyncResult({task_id!r}).state") == "PENDING"
    assert fleet.results.exists(f"celery-task-meta-{task_id}") == 0
