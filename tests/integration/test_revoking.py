"""Revoked runs do not begin: whenever the node starts, wherever the message is, and however the node gets to know."""

from __future__ import annotations

import time
from typing import Any

import pytest

from celeriac.exceptions import TaskCancelled, TaskRevokedError
from celeriac.wire.notices import Notice
from tests.integration.project import PATIENCE, Project, wait_until

SIGNALS = """
from celeriac.signals import task_revoked


@task_revoked.connect
def tell(sender, request, terminated, signum, expired, **more):
    note("revoked", sender.name, request.id, request.args, terminated, signum, expired, *sorted(more))
"""


def assert_revoked(*results) -> None:
    for result in results:
        with pytest.raises(TaskRevokedError, match="revoked"):
            result.get(timeout=PATIENCE)
        assert result.state == "REVOKED"


def test_what_is_revoked_before_a_node_starts_never_begins(project: Project) -> None:
    waiting, running = project.call("noted", "waiting"), project.call("noted", "kept")
    delayed = project.app.send_task("tasks.noted", ("delayed",), countdown=0.5)

    project.app.control.revoke([waiting, delayed])

    assert_revoked(waiting, delayed)
    for _ in range(2):
        node = project.start()
        assert running.get(timeout=PATIENCE) == "kept"
        wait_until(project.is_empty)
        node.stop()
    again = project.app.send_task("tasks.noted", ("again",), task_id=waiting.id)
    project.start()
    wait_until(project.is_empty)
    assert again.state == "REVOKED"
    assert project.runs() == {"kept": 1}


def test_what_waits_in_a_node_is_taken_back_and_never_begins(project: Project) -> None:
    node = project.start("-l", "INFO", "--prefetch-multiplier", "10", concurrency=1)
    running = project.call("gated", "running", "gate")
    project.wait_begun("running")
    others = [project.call("noted", f"n{number}") for number in range(6)]
    wait_until(lambda: project.held_by(node) == 7)

    others[1].cancel("no need", by="ann")
    running.revoke()  # it has begun, so it goes on
    assert project.app.control.revoke(others[::2], reply=True, timeout=PATIENCE, limit=1)
    project.open_gate("gate")  # not later: what waits for more than a second is given back, and ends when it is claimed

    assert_revoked(*others[::2])
    with pytest.raises(TaskCancelled) as told:
        others[1].get(timeout=PATIENCE)
    assert told.value.args == ("no need", "ann")
    assert running.get(timeout=PATIENCE)
    assert [one.get(timeout=PATIENCE) for one in (others[3], others[5])] == ["n3", "n5"]
    assert project.runs() == {"running": 1, "n3": 1, "n5": 1}
    node.wait_for_log(f"Discarding revoked task: tasks.noted[{others[0].id}]")
    assert project.app.AsyncResult(running.id).state == "SUCCESS"


def test_a_node_that_hears_nothing_notices_within_seconds(project: Project) -> None:
    project.use_also("app.conf.worker_enable_remote_control = False")
    project.start(concurrency=1)
    running = project.call("gated", "running", "gate")
    project.wait_begun("running")
    waiting, later = project.call("noted", "waiting"), project.call("noted", "kept")

    project.app.control.revoke(waiting)
    project.app.control.revoke(running, terminate=True)

    with pytest.raises(TaskRevokedError, match="terminated"):
        running.get(timeout=PATIENCE)
    assert_revoked(waiting)
    assert later.get(timeout=PATIENCE) == "kept"
    assert project.runs() == {"running": 1, "kept": 1}


def test_the_next_attempt_of_a_revoked_run_does_not_begin(project: Project) -> None:
    node = project.start("-l", "INFO")
    result = project.call("flaky", 3)
    wait_until(lambda: project.notes)

    result.revoke()

    assert_revoked(result)
    wait_until(project.is_empty)
    assert 1 <= len(project.notes) <= 2  # the second may have begun before
    node.wait_for_log(f"Discarding revoked task: tasks.flaky[{result.id}]")


def test_receivers_are_told_as_celery_tells_them(project: Project) -> None:
    project.use_also(SIGNALS)
    revoked = project.call("noted", "revoked")
    expired = project.app.send_task("tasks.noted", ("expired",), expires=0.01)
    revoked.revoke()
    time.sleep(0.05)

    node = project.start("-l", "INFO")

    wait_until(lambda: len(project.notes) == 2)
    assert sorted(project.notes, key=lambda words: words[-1]) == [
        ["revoked", "tasks.noted", revoked.id, "['revoked']", "False", "None", "False", "signal"],
        ["revoked", "tasks.noted", expired.id, "['expired']", "False", "None", "True", "signal"],
    ]
    for one in (revoked, expired):
        node.wait_for_log(f"Discarding revoked task: tasks.noted[{one.id}]")


def test_nodes_answer_and_ignore_what_they_cannot_read(project: Project) -> None:
    node = project.start("-l", "INFO", concurrency=1)
    control = project.app.control
    [[name]] = wait_until(lambda: control.revoke("id-1", reply=True, limit=1))

    def error_of(**arguments: Any) -> str:
        [answer] = control.broadcast("revoke", arguments, reply=True, limit=1) or []
        return str(answer[name]["error"])

    assert control.revoke(["a", "b"], reply=True, limit=1) == [{name: {"ok": "tasks {'a', 'b'} flagged as revoked"}}]
    assert control.terminate("id-1", reply=True, limit=1) == [{name: {"ok": "terminate: tasks unknown"}}]
    unknown = control.broadcast("nonesuch", reply=True, limit=1)
    assert unknown == [{name: {"error": "KeyError('nonesuch')"}}]
    assert "task_id must be an id" in error_of(task_id=7)
    assert "no signal 'NO'" in error_of(task_id="x", signal="NO")

    junk = [b"", b"{", b"[]", b'{"method": 5}', b'{"method": "revoke", "arguments": 5}', b"\xff", b"[" * 100_000]
    notices = [Notice(exchange="celery.pidbox", body=body) for body in junk]
    project.app.bus.broadcast(notices, deadline_at=time.monotonic() + 5)

    assert control.revoke("id-2", reply=True, limit=1, timeout=5) == [
        {name: {"ok": "tasks {'id-2'} flagged as revoked"}}
    ]
    assert node.log.count("is no control command") == 1
    assert project.call("add", 1, 2).get(timeout=PATIENCE) == 3


def test_named_nodes_alone_leave_out_what_is_revoked_for_them(project: Project) -> None:
    control = project.app.control
    node = project.start("-Q", "first")
    [[node_name]] = wait_until(lambda: control.revoke("id-0", reply=True, limit=1))

    answers = control.revoke("here", destination=[node_name], reply=True, timeout=PATIENCE)

    assert answers == [{node_name: {"ok": "tasks {'here'} flagged as revoked"}}]
    project.start("-Q", "second", name="w2")
    here = project.app.send_task("tasks.noted", ("first",), task_id="here", queue="first")
    assert_revoked(here)
    here.forget()
    there = project.app.send_task("tasks.noted", ("second",), task_id="here", queue="second")
    assert there.get(timeout=PATIENCE) == "second"
    assert node.process.poll() is None
