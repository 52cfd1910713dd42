"""What a worker does with messages that are in order: run them when, where and as often as they say."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from itertools import pairwise

import pytest

from celeriac.exceptions import NotRegistered, TaskRevokedError
from tests.integration.project import Project, wait_until


def test_a_call_runs_and_its_result_comes_back(project: Project):
    node = project.start()

    assert project.call("add", 2, 3).get(timeout=60) == 5

    assert node.stop() == 0
    project.assert_clean()


def test_a_call_made_before_any_worker_ran_is_run_by_the_first(project: Project):
    result = project.call("add", 2, 3)

    project.start()

    assert result.get(timeout=60) == 5


def test_a_body_knows_its_request(project: Project):
    project.start()
    result = project.call("about")

    about = result.get(timeout=60)

    assert about["id"] == result.id
    assert about["hostname"].startswith("w1@")
    assert about["queue"] == "celery"
    assert about["retries"] == 0
    assert about["redelivered"] is False


def test_a_run_that_takes_the_place_of_a_lost_one_knows_it(project: Project):
    project.use_also(
        "@app.task(bind=True)\n"
        "def lost_once(self):\n"
        "    note('began', 'lost_once')\n"
        "    return self.request.delivery_info['redelivered'] or wait_at('never')\n"
    )
    node = project.start()
    result = project.call("lost_once")
    project.wait_begun("lost_once")

    node.kill()
    project.start(name="w2")

    assert result.get(timeout=45) is True


def test_a_failing_body_is_a_failure_with_its_traceback(project: Project):
    node = project.start("-l", "INFO")
    result = project.call("fail", "no such thing")

    with pytest.raises(ValueError, match="no such thing"):
        result.get(timeout=60)

    assert result.state == "FAILURE"
    assert "in fail" in str(result.traceback)
    assert "celeriac/worker" not in str(result.traceback)
    assert f"Task tasks.fail[{result.id}] raised unexpected: ValueError('no such thing')" in node.log


def test_the_log_says_what_celery_says(project: Project):
    node = project.start("-l", "INFO")
    result = project.call("add", 2, 3)
    result.get(timeout=60)

    node.wait_for_log(f"Task tasks.add[{result.id}] received")
    node.wait_for_log(f"Task tasks.add[{result.id}] succeeded in ")


def test_a_coroutine_runs(project: Project):
    project.start()

    assert project.call("nap", 0.01).get(timeout=60) == "woken"


def test_a_body_calls_other_tasks(project: Project):
    project.start()

    called = project.call("call_add", 2, 3).get(timeout=60)

    assert project.app.AsyncResult(called).get(timeout=60) == 5


LEAST_FIRST = """
class LeastFirst:
    def choose(self, slots, expected, now):
        least = min(slots, key=lambda slot: slot.load)
        return None if least.is_full else least
"""


@pytest.mark.parametrize(
    "options",
    [
        ["-Ofair"],
        ["-O", "default"],
        ["-O", "round-robin"],
        ["-O", "weighted", "--prefetch-multiplier", "1"],
        ["-O", "tasks:LeastFirst", "--prefetch-multiplier", "0"],
    ],
)
def test_every_way_to_dispatch_runs_everything_once(project: Project, options):
    project.use_also(LEAST_FIRST)
    node = project.start(*options)
    results = [project.call("noted", f"run-{number}") for number in range(300)]

    for result in results:
        result.get(timeout=60)

    assert project.runs().total() == 300
    assert len(project.runs()) == 300
    assert node.stop() == 0
    project.assert_clean()


# -- time ---------------------------------------------------------------------------------------------------------


def test_a_countdown_is_never_early(project: Project):
    project.start()
    results = [
        (time.time() + countdown, project.call("started_at", countdown=countdown)) for countdown in (0.3, 0.1, 0.6)
    ]

    for due_at, result in results:
        assert result.get(timeout=60) >= due_at - 0.001


def test_an_early_message_waits_in_the_store_and_not_in_the_node(project: Project):
    node = project.start()
    project.call("add", 1, 2, countdown=3600)
    project.call("add", 1, 2).get(timeout=60)

    assert project.held_by(node) == 0
    (depth,) = project.app.broker.depths()
    assert depth.delayed == 1


def test_a_call_that_expired_while_it_waited_is_revoked_and_not_run(project: Project):
    result = project.call("noted", "late", expires=0.05)
    (kept,) = project.kept()
    wait_until(lambda: datetime.now(UTC) > datetime.fromisoformat(kept.headers["expires"]))

    project.start()

    with pytest.raises(TaskRevokedError, match="expired"):
        result.get(timeout=60)
    assert result.state == "REVOKED"
    assert project.began("late") == 0


def test_expiry_wins_over_an_eta_that_is_still_to_come(project: Project):
    project.start()

    result = project.call("noted", "late", countdown=0.4, expires=0.2)

    with pytest.raises(TaskRevokedError):
        result.get(timeout=60)
    assert project.began("late") == 0


def test_a_retry_runs_again_under_the_same_id_and_not_before_its_time(project: Project):
    node = project.start()
    result = project.call("flaky", 2)

    assert result.get(timeout=60) == 2

    attempts = [(int(words[1]), float(words[2])) for words in project.notes if words[0] == "attempt"]
    assert [number for number, _ in attempts] == [0, 1, 2]
    assert all(later - earlier >= 0.199 for (_, earlier), (_, later) in pairwise(attempts))
    assert node.stop() == 0
    project.assert_clean()


def test_retries_end_with_the_error_that_caused_them(project: Project):
    project.start()
    result = project.call("flaky", 100)

    with pytest.raises(ValueError, match="not yet"):
        result.get(timeout=60)

    assert sum(1 for words in project.notes if words[0] == "attempt") == 4


# -- results ------------------------------------------------------------------------------------------------------


def test_an_ignored_result_is_not_kept(project: Project):
    project.start()
    project.call("forgotten")
    project.wait_begun("forgotten")
    wait_until(project.is_empty)

    assert project.store.records() == {}


def test_a_call_may_ignore_its_result(project: Project):
    project.start()
    project.call("noted", "x", ignore_result=True)
    project.wait_begun("x")
    wait_until(project.is_empty)

    assert project.store.records() == {}


def test_a_result_that_json_cannot_carry_is_a_failure(project: Project):
    project.use_also("@app.task\ndef odd():\n    return object()\n")
    project.start()

    with pytest.raises(Exception, match="cannot be stored"):
        project.call("odd").get(timeout=60)


# -- queues -------------------------------------------------------------------------------------------------------


def test_a_node_takes_from_its_queues_only(project: Project):
    project.start("-Q", "a,b")
    others = project.call("add", 1, 2, queue="c")

    assert project.call("add", 1, 2, queue="a").get(timeout=60) == 3
    assert project.call("add", 1, 3, queue="b").get(timeout=60) == 4
    assert others.state == "PENDING"
    assert [(kept.queue, kept.held) for kept in project.kept()] == [("c", False)]


def test_routes_send_tasks_to_queues(project: Project):
    routes = 'app.conf.update(task_routes={"tasks.call_*": "callers", "tasks.add": {"queue": "sums"}})'
    project.use_also(routes)
    project.start("-Q", "callers", name="w1")
    called = project.call("call_add", 2, 3, queue="callers").get(timeout=60)

    assert [kept.queue for kept in project.kept()] == ["sums"]
    project.start("-Q", "sums", name="w2")
    assert project.app.AsyncResult(called).get(timeout=60) == 5


def test_a_lower_priority_number_runs_first(project: Project):
    for number in range(3):
        for priority in (9, 5, 0):
            project.call("noted", f"{priority}-{number}", priority=priority)

    project.start("-O", "fair", "--prefetch-multiplier", "1", concurrency=1)
    wait_until(lambda: project.runs().total() == 9)

    order = [words[1] for words in project.notes]
    assert order == [f"{priority}-{number}" for priority in (0, 5, 9) for number in range(3)]


def test_a_full_queue_does_not_starve_another(project: Project):
    for number in range(500):
        project.call("noted", f"full-{number}", 0.005, queue="full")
    project.call("noted", "alone", queue="other")

    project.start("-Q", "full,other")
    project.wait_begun("alone")

    assert sum(count for name, count in project.runs().items() if name.startswith("full")) < 500


def test_a_thousand_queues_are_served(project: Project):
    queues = [f"queue-{number}" for number in range(1_000)]
    project.start("-Q", ",".join(queues))

    results = [project.call("add", number, 0, queue=queue) for number, queue in enumerate(queues) if number % 50 == 0]

    assert [result.get(timeout=60) for result in results] == list(range(0, 1_000, 50))


# -- unknown tasks ------------------------------------------------------------------------------------------------


def test_an_unknown_task_is_left_to_a_node_that_knows_it(project: Project):
    stranger = project.start(name="stranger")
    result = project.app.send_task("news.tell", ["good"])
    wait_until(lambda: [kept for kept in project.kept() if kept.releases and not kept.held])
    assert "is not registered here" in stranger.log

    (project.folder / "news.py").write_text("from tasks import app\n\n@app.task\ndef tell(what):\n    return what\n")
    project.start("-I", "news", name="knower")
    stranger.stop()  # it would go on drawing lots with the other for the message each time that it is due

    assert result.get(timeout=60) == "good"
    assert project.dead_reasons() == []


def test_a_task_that_nobody_ever_knows_is_a_dead_letter_that_answers(project: Project):
    node = project.start("task_unknown_release_for=1")

    result = project.app.send_task("news.tell", ["good"])

    with pytest.raises(NotRegistered):
        result.get(timeout=60)
    (reason,) = project.dead_reasons()
    assert "news.tell" in reason
    assert node.stop() == 0
    project.assert_clean()


@pytest.mark.engines("sqlite")
def test_a_result_that_the_store_refuses_is_a_failure_and_holds_nobody_up(project: Project):
    project.start()
    project.call("add", 1, 2).get(timeout=60)
    project.sqlite.change(
        "CREATE TRIGGER refuse BEFORE INSERT ON result WHEN instr(NEW.record, CAST('unwelcome' AS BLOB))"
        " BEGIN SELECT RAISE(ABORT, 'no such thing here'); END"
    )

    calls = [project.call("echo", f"welcome-{number}") for number in range(20)]
    refused = project.call("echo", "unwelcome")
    calls += [project.call("echo", f"welcome-{number}") for number in range(20, 40)]

    assert [call.get(timeout=60) for call in calls] == [f"welcome-{number}" for number in range(40)]
    with pytest.raises(Exception, match="could not be stored"):
        refused.get(timeout=60)
