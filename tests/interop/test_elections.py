"""Elections in a mixed fleet: workers of both kinds stand, and all of them choose the same one."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.interop.fleet import CELERIAC, CELERY, Fleet, Kind, Worker, wait_until

pytestmark = pytest.mark.timeout(300)  # the first run installs Celery

_CHOICES = r"(?:node \S+ elected for|I won the election) "


def chosen(worker: Worker, task_id: str) -> str:
    """Return what a worker has logged about the winner."""
    found = re.findall(rf"{_CHOICES}'{re.escape(task_id)}'", worker.log)
    return found[0] if found else ""


@pytest.mark.parametrize("caller", [CELERY, CELERIAC], ids=lambda kind: kind.name)
def test_workers_of_both_kinds_elect_one_of_them(open_fleet: Callable[..., Fleet], caller: Kind) -> None:
    fleet = open_fleet(worker_election_wait=4.0)  # a busy machine may have workers hang for longer than a second
    # A worker of Celery chooses when it has heard as many answers as there are others, and dies when it knows of one
    # candidate only; with two nodes of ours, who answer late, it always knows of two.
    stock = fleet.start(CELERY, "-l", "DEBUG", ready=False)
    ours = [fleet.start(CELERIAC, "-l", "INFO", name=f"ours{number}", ready=False) for number in range(2)]
    for number in range(2):
        stock.wait_for_log(f"ours{number}@shop joined the party")
    wait_until(lambda: len(fleet.client(caller).run("app.control.ping(timeout=5, limit=3)")) == 3, what=fleet.logs)

    ids = [f"elected-{number}" for number in range(4)]
    for task_id in ids:  # not by `sig.election()`, with which Celery 5.7 fails
        call = "app.control.election({task_id}, 'task', noted.s({task_id}).set(task_id={task_id}))"
        fleet.client(caller).run(call, task_id=task_id)
    workers = [stock, *ours]

    def all_have_chosen() -> bool:
        return all(chosen(worker, task_id) for worker in workers for task_id in ids)

    wait_until(all_have_chosen, what=fleet.logs)
    winners: list[Any] = [[worker for worker in workers if "won" in chosen(worker, task_id)] for task_id in ids]
    assert [len(each) for each in winners] == [1] * len(ids), fleet.logs()
    assert [fleet.record(task_id)["status"] for task_id in ids] == ["SUCCESS"] * len(ids)
    assert [len(fleet.ran(task_id)) for task_id in ids] == [1] * len(ids)
    assert stock.process.poll() is None
    fleet.close()
