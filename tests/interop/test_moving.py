"""Moving over, and back: what Celery's tools see of our nodes, and what Celery finishes after us."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable

import pytest

from tests.interop.fleet import CELERIAC, CELERY, Fleet, wait_until

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def fleet_that_buries(open_fleet: Callable[..., Fleet]) -> Fleet:
    return open_fleet(task_unknown_release_for=0.0, worker_prefetch_multiplier=2)


def delayed(fleet: Fleet) -> int:
    return int(fleet.broker.zcard("celeriac:delayed"))


def test_everything_that_we_kept_apart_is_finished_by_celery(fleet_that_buries: Fleet) -> None:
    fleet = fleet_that_buries
    node = fleet.start(CELERIAC, name="node")
    client = fleet.client(CELERIAC)
    client.run("[noted.apply_async((f'future-{n}',), countdown=20).id for n in range(20)]")
    lost = client.run("app.send_task('shop.old', ('dead',)).id")
    wait_until(lambda: fleet.record(lost)["status"] == "FAILURE", what=fleet.logs)
    fleet.broker.lpush("celery", "no message")  # becomes a dead letter that no worker could read
    wait_until(lambda: fleet.broker.hlen("celeriac:dead") == 2, what=fleet.logs)
    client.run("[gated.delay(f'held-{n}').id for n in range(4)]")
    wait_until(lambda: len(fleet.notes("ran")) == 2, what=fleet.logs)
    wait_until(lambda: fleet.broker.llen("celery") == 2, what=fleet.logs)
    assert delayed(fleet) == 20

    refused = fleet.command(CELERIAC, "migrate", "back", "--yes")
    node.kill()
    planned = fleet.command(CELERIAC, "migrate", "back", "--dry-run", "--json")
    moved = fleet.command(CELERIAC, "migrate", "back", "--yes", "--json")
    again = fleet.command(CELERIAC, "migrate", "back", "--yes", "--json")

    assert (refused.returncode, "node@shop" in refused.stderr) == (1, True)
    # What cannot begin goes back to the queue by itself: two of the four lie there.
    counts = {"delayed": 20, "claimed": 2, "dead_letters": 1}
    assert planned.stdout, planned.stderr
    assert json.loads(planned.stdout) == {"would_move": counts, "left_unreadable": 1}
    assert json.loads(moved.stdout) == {"moved": counts, "left_unreadable": 1}
    assert json.loads(again.stdout)["moved"] == dict.fromkeys(counts, 0)
    fleet.open_gate()
    worker = fleet.start(CELERY)
    names = [*(f"future-{n}" for n in range(20)), *(f"held-{n}" for n in range(4)), "dead"]
    wait_until(
        lambda: {words[1] for words in fleet.notes("ran") if words[2] == "celery"} == set(names), what=fleet.logs
    )
    wait_until(lambda: fleet.broker.exists("celery", "unacked") == 0, what=lambda: f"an end\n{worker.log_end}")
    assert Counter(words[1] for words in fleet.notes("ran") if words[2] == "celery") == Counter(names)
    assert fleet.record(lost)["result"] == "celery"


def test_future_messages_alone_can_be_given_back(fleet: Fleet) -> None:
    node = fleet.start(CELERIAC, name="node")
    client = fleet.client(CELERIAC)
    client.run("[noted.apply_async((f'future-{n}',), countdown=15).id for n in range(5)]")
    client.run("noted.apply_async(('elsewhere',), countdown=15, queue='other').id")
    assert delayed(fleet) == 6

    refused = fleet.command(CELERIAC, "queue", "undelay", "--yes")
    stopped = node.stop()
    done = fleet.command(CELERIAC, "queue", "undelay", "-Q", "celery", "--yes", "--json")

    assert (refused.returncode, stopped) == (1, 0)
    assert json.loads(done.stdout) == {"undelayed": {"celery": 5}}
    assert (fleet.broker.llen("celery"), delayed(fleet)) == (5, 1)


def test_once_the_last_node_has_gone_publishers_leave_future_messages_to_celery(fleet: Fleet) -> None:
    node = fleet.start(CELERIAC, name="node")
    node.stop()

    fleet.client(CELERIAC).run("noted.apply_async(('future',), countdown=1).id")

    assert (fleet.broker.llen("celery"), delayed(fleet)) == (1, 0)
    fleet.start(CELERY)
    wait_until(lambda: fleet.ran("future") == ["celery"], what=fleet.logs)


def test_an_early_message_in_the_list_is_taken_out_of_the_way_and_run_in_time(fleet: Fleet) -> None:
    called_at = time.time()
    fleet.client(CELERY).run("noted.apply_async(('future',), countdown=6).id")
    assert fleet.broker.llen("celery") == 1

    fleet.start(CELERIAC)
    wait_until(lambda: delayed(fleet) == 1, what=fleet.logs)
    wait_until(lambda: fleet.ran("future"), what=fleet.logs)

    [[_, _, package, at]] = fleet.notes("ran")
    assert package == "celeriac"
    assert float(at) - called_at >= 6.0


def test_celery_status_shows_workers_of_both_kinds(fleet: Fleet) -> None:
    fleet.start(CELERIAC, name="ours")
    alone = fleet.command(CELERY, "status", "--timeout", "1")
    fleet.start(CELERY, name="theirs")

    mixed = fleet.command(CELERY, "status", "--timeout", "2")

    assert alone.returncode == 0
    assert "ours@shop" in alone.stdout
    assert mixed.returncode == 0
    assert "theirs@shop" in mixed.stdout
    assert "ours@shop" in mixed.stdout
    assert all(worker.process.poll() is None for worker in fleet.workers)
