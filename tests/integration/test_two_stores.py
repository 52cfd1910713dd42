"""Messages in one file, results in another: no transaction spans both, and still nothing is lost."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from typing import Any

import pytest

from celeriac import Celery
from celeriac.exceptions import WorkerLostError
from tests.integration.project import Project, wait_until

pytestmark = [pytest.mark.engines("sqlite"), pytest.mark.waits]

MORE_THAN_IS_HELD = 4_000

BACKEND = "app.conf.update(result_backend='sqlite:///results.db')"


@pytest.fixture
def split(project: Project) -> Project:
    """The project with its results in a file of their own."""
    project.use_also(BACKEND)
    project.app.close()
    project.app = Celery(
        "tasks",
        broker=f"sqlite:///{project.sqlite.path}",
        backend=f"sqlite:///{project.folder / 'results.db'}",
        set_as_current=False,
    )
    return project


def results(project: Project) -> dict[str, Any]:
    with contextlib.closing(sqlite3.connect(project.folder / "results.db")) as connection:
        rows = connection.execute("SELECT task_id, record FROM result").fetchall()
    return {task_id: json.loads(record) for task_id, record in rows}


def test_results_arrive_where_they_are_looked_for(split: Project):
    node = split.start()

    assert [split.call("add", number, 1).get(timeout=60) for number in range(20)] == list(range(1, 21))

    assert split.store.records() == {}
    assert len(results(split)) == 20
    assert node.stop() == 0
    split.assert_clean()


def test_retries_errors_and_crashes_work_as_in_one_store(split: Project):
    node = split.start("task_max_crashes=2")

    assert split.call("flaky", 2).get(timeout=60) == 2
    with pytest.raises(ValueError, match="no"):
        split.call("fail", "no").get(timeout=60)
    assert split.call("die").get(timeout=60, propagate=False).__class__.__name__ == "WorkerLostError"
    assert node.stop() == 0
    split.assert_clean()


def test_a_result_that_cannot_be_stored_now_is_stored_later_and_its_message_kept_until_then(split: Project):
    node = split.start()
    split.call("add", 1, 1).get(timeout=60)

    with contextlib.closing(sqlite3.connect(split.folder / "results.db", isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        result = split.call("noted", "meanwhile")
        node.wait_for_log("cannot settle")
        assert split.held_by(node) == 1, "it never acks what it could not store"
        connection.execute("ROLLBACK")

    assert result.get(timeout=60) == "meanwhile"
    assert split.began("meanwhile") == 1
    assert node.stop() == 0
    split.assert_clean()


def test_a_node_whose_results_cannot_be_stored_stops_claiming(split: Project):
    node = split.start()
    split.call("add", 1, 1).get(timeout=60)

    with contextlib.closing(sqlite3.connect(split.folder / "results.db", isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        for number in range(MORE_THAN_IS_HELD):
            split.call("noted", f"run-{number}")
        wait_until(lambda: node.log.count("cannot settle") >= 2, what="two tries")
        begun = split.runs().total()
        connection.execute("ROLLBACK")

    assert begun < MORE_THAN_IS_HELD
    wait_until(split.is_empty)
    assert set(split.runs().values()) == {1}


def test_what_was_stored_before_a_crash_is_recognised_and_not_run_again(split: Project):
    """The node dies after it has stored a result and before it has acked: the broker's file is locked just then."""
    node = split.start()
    result = split.call("gated", "once", "gate")
    split.wait_begun("once")

    with contextlib.closing(sqlite3.connect(split.sqlite.path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        split.open_gate("gate")
        wait_until(lambda: result.ready(), what="the result")
        node.kill()
        connection.execute("ROLLBACK")
    assert len(split.kept()) == 1
    second = split.start(name="w2")

    wait_until(split.is_empty)
    assert split.began("once") == 1
    assert second.stop() == 0
    split.assert_clean()


def test_a_record_is_not_stored_before_what_follows_is_published(split: Project):
    """Else a crash between the two would lose what follows: who sees the record takes the message for finished."""
    split.use_also(
        "@app.task(bind=True)\n"
        "def again(self):\n"
        "    if not self.request.retries:\n"
        "        note('began', 'again')\n"
        "        wait_at('gate')\n"
        "        raise self.retry(countdown=0)\n"
        "    return 'done'\n"
    )
    node = split.start()
    result = split.call("again")
    split.wait_begun("again")

    with contextlib.closing(sqlite3.connect(split.sqlite.path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        split.open_gate("gate")
        node.wait_for_log("cannot settle")
        state = result.state
        connection.execute("ROLLBACK")

    assert state == "PENDING"
    assert result.get(timeout=60) == "done"


def test_results_may_be_kept_nowhere(project: Project):
    project.use_also("app.conf.update(result_backend='disabled')")
    node = project.start()
    project.call("noted", "run")
    project.wait_begun("run")

    wait_until(project.is_empty)
    assert project.store.records() == {}
    assert node.stop() == 0


def test_a_replayed_letter_is_waited_for_anew(split: Project):
    """The failure that was recorded when it died is in the other file."""
    node = split.start("task_max_crashes=1")
    result = split.call("die_unless", "gate")
    with pytest.raises(WorkerLostError):
        result.get(timeout=60)
    split.open_gate("gate")
    # The record is stored before the message becomes a dead letter: between the two it is neither lost nor answered.
    (letter,) = wait_until(split.app.dead_letters.newest, what="the dead letter")

    assert split.app.dead_letters.replay([letter.number, 999]) == [result.id]

    assert split.app.AsyncResult(result.id).get(timeout=60) == "alive"
    assert split.app.dead_letters.newest() == []
    assert node.stop() == 0
    split.assert_clean()


def test_messages_may_be_read_in_one_place_and_sent_to_another(split: Project):
    split.use_also("app.conf.update(broker_write_url='sqlite:///next.db')")
    doubled = split.app.signature("tasks.add", args=(2,)).set(task_id="second")
    first = split.app.send_task("tasks.add", (1, 2), link=doubled)

    reader = split.start(name="w1")
    assert first.get(timeout=60) == 3
    assert reader.stop() == 0
    split.store.assert_clean()

    split.start("broker_read_url=sqlite:///next.db", name="w2")
    assert split.app.AsyncResult("second").get(timeout=60) == 5
