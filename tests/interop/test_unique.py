"""What unique tasks are where stock workers run them, too: nothing breaks, and the key ends by itself."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.interop.fleet import CELERIAC, CELERY, Fleet, wait_until

pytestmark = pytest.mark.timeout(300)


def held_attempts(fleet: Fleet) -> Iterator[int]:
    """Give `retries` of each message that stock workers have claimed and not acknowledged."""
    for raw in fleet.broker.hgetall("unacked").values():
        message, _, _ = json.loads(raw)
        yield message["headers"]["retries"]


def test_a_stock_worker_runs_a_unique_task_and_its_key_ends_by_itself(fleet: Fleet) -> None:
    client = fleet.client(CELERIAC)
    ids = client.run("[noted.apply_async(('one',), unique_for=8).id for _ in range(2)]")

    fleet.start(CELERY)
    wait_until(lambda: len(fleet.notes("ran")) == 1, what=fleet.logs)
    call = "noted.apply_async(('one',), unique_for=8).id"
    wait_until(lambda: client.run(call) != ids[0], what=fleet.logs)

    wait_until(lambda: len(fleet.notes("ran")) == 2, what=fleet.logs)
    assert ids[0] == ids[1]
    assert {words[2] for words in fleet.notes("ran")} == {CELERY.package}


def test_a_key_that_a_stock_worker_hands_on_ends_with_the_run_of_ours(fleet: Fleet) -> None:
    client = fleet.client(CELERIAC)
    call = "retrying.apply_async((1, 6.0), unique_for=600).id"
    task_id = client.run(call)
    stock = fleet.start(CELERY)
    wait_until(lambda: list(held_attempts(fleet)) == [1], what=fleet.logs)  # only the retry: the first run is settled
    assert stock.stop() == 0
    assert len(fleet.notes("ran")) == 1

    fleet.start(CELERIAC)
    wait_until(lambda: len(fleet.notes("ran")) == 2, what=fleet.logs)
    wait_until(lambda: client.run(call) != task_id, what=fleet.logs)
