"""Revoking in mixed fleets: what Celery's clients say our nodes do, and Celery's workers do what ours say."""

from __future__ import annotations

from typing import Any

import pytest

from tests.interop.fleet import CELERIAC, CELERY, Fleet, Kind, wait_until

pytestmark = pytest.mark.timeout(300)

WAYS = {
    "celery tells celeriac": (CELERY, CELERIAC),
    "celeriac tells celery": (CELERIAC, CELERY),
    "celery tells celery": (CELERY, CELERY),
}


@pytest.fixture(params=list(WAYS))
def ways(request: pytest.FixtureRequest) -> tuple[Kind, Kind]:
    return WAYS[request.param]


def told(fleet: Fleet, kind: Kind, call: str) -> dict[str, Any]:
    """Have a client say something until a worker has answered; return its answer. One may listen later than it says."""
    answers = wait_until(lambda: fleet.client(kind).run(f"app.control.{call}"), what=fleet.logs)
    [answer] = answers
    found: dict[str, Any] = answer
    return found


def test_a_revoked_run_never_begins(fleet: Fleet, ways: tuple[Kind, Kind]) -> None:
    client, worker = ways
    fleet.start(worker)

    one = told(fleet, client, "revoke('id-1', reply=True)")
    two = told(fleet, client, "revoke(['id-2', 'id-3'], reply=True, limit=1)")
    for number in range(1, 5):
        fleet.client(client).run(f"noted.apply_async(('{number}',), task_id='id-{number}').id")

    name = f"{worker.name}@shop"
    assert one == {name: {"ok": "tasks {'id-1'} flagged as revoked"}}
    assert two[name]["ok"].startswith("tasks {'id-")
    assert [fleet.record(f"id-{number}")["status"] for number in range(1, 5)] == ["REVOKED"] * 3 + ["SUCCESS"]
    error = {"exc_type": "TaskRevokedError", "exc_message": ["revoked"], "exc_module": "celery.exceptions"}
    assert fleet.record("id-1")["result"] == error
    assert [fleet.ran(str(number)) for number in range(1, 5)] == [[], [], [], [worker.package]]


def test_what_is_under_way_goes_on_unless_it_is_terminated(fleet: Fleet, ways: tuple[Kind, Kind]) -> None:
    client, worker = ways
    fleet.start(worker)
    told(fleet, client, "revoke('id-0', reply=True)")
    fleet.client(client).run("noted.apply_async(('running', 1.0), task_id='id-1').id")
    wait_until(lambda: fleet.ran("running"))

    told(fleet, client, "revoke('id-1', reply=True)")

    assert fleet.record("id-1")["status"] == "SUCCESS"


@pytest.mark.parametrize(
    "call", ["terminate('id-1', reply=True)", "revoke('id-1', terminate=True, signal='KILL', reply=True)"]
)
def test_what_is_terminated_ends_at_once(fleet: Fleet, ways: tuple[Kind, Kind], call: str) -> None:
    client, worker = ways
    fleet.start(worker)
    told(fleet, client, "revoke('id-0', reply=True)")
    fleet.client(client).run("noted.apply_async(('running', 60.0), task_id='id-1').id")
    wait_until(lambda: fleet.ran("running"))

    answer = told(fleet, client, call)

    assert answer == {f"{worker.name}@shop": {"ok": "terminate: id-1"}}
    record = fleet.record("id-1")
    told_error = (record["result"]["exc_type"], record["result"]["exc_message"])
    assert (record["status"], told_error) == ("REVOKED", ("TaskRevokedError", ["terminated"]))


def test_a_cancelled_run_never_begins_on_workers_of_celery(fleet: Fleet) -> None:
    fleet.start(CELERY)
    told(fleet, CELERIAC, "cancel('id-1', 'late', reply=True)")

    fleet.client(CELERIAC).run("noted.apply_async(('cancelled',), task_id='id-1').id")

    assert fleet.record("id-1")["status"] == "REVOKED"
    wait_until(lambda: fleet.broker.llen("celery") == 0 and not fleet.broker.hlen("unacked"))
    assert fleet.ran("cancelled") == []


def test_what_celerys_command_line_revokes_stays_revoked_after_a_restart(fleet: Fleet) -> None:
    node = fleet.start(CELERIAC)

    def answered() -> bool:
        done = fleet.command(CELERY, "control", "-j", "revoke", "id-1", "id-2")
        return done.returncode == 0 and "flagged as revoked" in done.stdout

    wait_until(answered, what=fleet.logs)
    node.stop()
    for number in (1, 2):
        fleet.client(CELERY).run(f"noted.apply_async(('{number}',), task_id='id-{number}').id")
    fleet.start(CELERIAC, name="next")

    assert [fleet.record(f"id-{number}")["status"] for number in (1, 2)] == ["REVOKED", "REVOKED"]
    wait_until(lambda: fleet.broker.llen("celery") == 0)
    assert fleet.notes("ran") == []


def test_what_waits_is_recorded_when_celery_revokes_it(fleet: Fleet) -> None:
    fleet.start(CELERIAC, concurrency=1)
    told(fleet, CELERY, "revoke('id-0', reply=True)")
    fleet.client(CELERY).run("noted.apply_async(('later',), task_id='id-1', countdown=600).id")

    told(fleet, CELERY, "revoke('id-1', reply=True)")

    assert fleet.record("id-1")["status"] == "REVOKED"
