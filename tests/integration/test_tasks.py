"""Tasks in a real worker: hooks, what they print, retries by themselves, states of their own, how messages end."""

from __future__ import annotations

import re

import pytest

from celeriac.exceptions import Reject, WorkerLostError
from tests.integration.project import Project, wait_until

# The class and the task are those of the survey that this project started from.
CUSTOM_TASK = """
from celeriac import Task


class CustomTask(Task):
    def on_success(self, retval, task_id, args, kwargs):
        print('异步任务成功')
        return super(CustomTask, self).on_success(retval, task_id, args, kwargs)

    def on_failure(self, exc, task_id, args, kwargs, einfo):
        print('异步任务失败', exc)
        return super(CustomTask, self).on_failure(exc, task_id, args, kwargs, einfo)

    def after_return(self, status, retval, task_id, args, kwargs, einfo):
        print(retval)
        return super(CustomTask, self).after_return(status, retval, task_id, args, kwargs, einfo)


@app.task(base=CustomTask)
def send_email():
    print('开始执行发送邮件异步任务')
    return {'message': '成功'}
"""

ENDINGS = """
from celeriac.exceptions import Ignore, Reject


@app.task(bind=True)
def rejects(self, requeue):
    note("began", "rejects")
    if not self.request.delivery_info["redelivered"] or not requeue:
        raise Reject("not here", requeue=requeue)
    return "at last"


@app.task
def ignores():
    note("began", "ignores")
    raise Ignore()


@app.task(acks_on_failure_or_timeout=False)
def fails_for_good():
    raise ValueError("look at this")


@app.task(reject_on_worker_lost=False)
def dies_for_good():
    note("began", "dies")
    os.kill(os.getpid(), 9)


@app.task(bind=True, retry_on_worker_lost=True, max_retries=2, default_retry_delay=0, acks_late=False)
def dies_again(self, until):
    note("began", "dies_again")
    if self.request.retries < until:
        os.kill(os.getpid(), 9)
    return self.request.retries


@app.task(bind=True)
def tells(self, gate):
    self.update_state(state="PROGRESS", meta={"done": 1, "of": 2})
    wait_at(gate)
    return "done"


@app.task(autoretry_for=(ValueError,), retry_kwargs={"countdown": 0, "max_retries": 2})
def stubborn():
    note("began", "stubborn")
    raise ValueError("no")


@app.task(ignore_result=True, store_errors_even_if_ignored=True)
def quiet(fails):
    if fails:
        raise KeyError("x")


@app.task
def undo(task_id):
    note("undo", task_id)
"""


def lines_of(project: Project, task: str) -> list[str]:
    """Return what the log says of the runs of a task, without times and ids."""
    lines = project.nodes[0].log_path.read_text().splitlines()
    plain = [re.sub(r"^\[[^:]*:[^:]*:[^:]*: |\[[0-9a-f-]{36}\]", "", line) for line in lines]
    return [re.sub(r"in [0-9.e-]+s", "in 0s", line) for line in plain if task in line]


def test_the_hooks_of_a_class_print_as_the_survey_shows(project: Project):
    project.use_also(CUSTOM_TASK)
    node = project.start("-l", "INFO", concurrency=1)

    assert project.call("send_email").get(timeout=60) == {"message": "成功"}

    assert node.stop() == 0
    assert lines_of(project, "tasks.send_email")[1:] == [
        "INFO/MainProcess] Task tasks.send_email received",
        "WARNING/ForkPoolWorker-1] tasks.send_email: 开始执行发送邮件异步任务",
        "WARNING/ForkPoolWorker-1] tasks.send_email: 异步任务成功",
        "INFO/ForkPoolWorker-1] Task tasks.send_email succeeded in 0s: {'message': '成功'}",
        "WARNING/ForkPoolWorker-1] tasks.send_email: {'message': '成功'}",
    ]


def test_a_line_without_an_end_is_of_its_task_too(project: Project):
    project.use_also("@app.task\ndef begins():\n    print('begun', end='')\n")
    node = project.start(concurrency=1)

    project.call("begins").get(timeout=60)

    assert node.stop() == 0
    assert lines_of(project, "begun") == ["WARNING/ForkPoolWorker-1] tasks.begins: begun"]


def test_a_package_that_is_not_there_is_one_line(project: Project):
    project.use_also("app.autodiscover_tasks(['no_such_shop'])")
    node = project.start(ready=False)

    assert node.wait_exit() == 2
    log = node.log_path.read_text()
    assert "there is no package 'no_such_shop'" in log
    assert "Traceback" not in log


def test_printing_is_left_alone_when_the_settings_say_so(project: Project):
    project.use_also(CUSTOM_TASK + "\n\napp.conf.worker_redirect_stdouts = False\n")
    node = project.start("-l", "INFO", concurrency=1)

    project.call("send_email").get(timeout=60)

    assert node.stop() == 0
    assert "\n开始执行发送邮件异步任务\n" in node.log_path.read_text()


def test_a_message_that_is_rejected_is_a_dead_letter_or_comes_again(project: Project):
    project.use_also(ENDINGS)
    project.start()

    for_good, again = project.call("rejects", False), project.call("rejects", True)

    with pytest.raises(Reject, match="not here"):
        for_good.get(timeout=60)
    assert project.dead_reasons() == ["Reject: not here"]
    assert again.get(timeout=60) == "at last"
    assert project.began("rejects") == 3


def test_a_run_that_is_ignored_leaves_nothing(project: Project):
    project.use_also(ENDINGS)
    node = project.start()

    result = project.call("ignores")

    project.wait_begun("ignores")
    assert node.stop() == 0
    assert result.state == "PENDING"
    project.assert_clean()


def test_a_failure_that_is_not_acknowledged_is_a_dead_letter(project: Project):
    project.use_also(ENDINGS)
    project.start()

    with pytest.raises(ValueError, match="look at this"):
        project.call("fails_for_good").get(timeout=60)

    assert project.dead_reasons() == ["ValueError: look at this"]


def test_a_task_may_fail_at_its_first_crash(project: Project):
    project.use_also(ENDINGS)
    project.start()

    with pytest.raises(WorkerLostError, match="SIGKILL"):
        project.call("dies_for_good").get(timeout=60)

    assert (project.began("dies"), project.dead_reasons()) == (1, [])


def test_a_crash_may_count_as_a_retry(project: Project):
    project.use_also(ENDINGS)
    project.start()

    survives, dies = project.call("dies_again", 1), project.call("dies_again", 9)

    assert survives.get(timeout=60) == 1
    with pytest.raises(WorkerLostError, match="SIGKILL"):
        dies.get(timeout=60)
    assert (project.began("dies_again"), project.dead_reasons()) == (2 + 3, [])


def test_a_dead_letter_calls_the_errbacks_that_it_carries(project: Project):
    project.use_also(ENDINGS)
    project.start()

    result = project.call("dies_for_good", link_error={"task": "tasks.undo", "args": [], "kwargs": {}, "options": {}})

    wait_until(lambda: ["undo", result.id] in project.notes, what="the errback")


def test_a_run_tells_how_far_it_has_come(project: Project):
    project.use_also(ENDINGS)
    project.start()

    result = project.call("tells", "gate")

    wait_until(lambda: result.state == "PROGRESS", what="progress")
    assert result.info == {"done": 1, "of": 2}
    project.open_gate("gate")
    assert result.get(timeout=60) == "done"


def test_a_task_that_retries_by_itself_ends_with_its_last_exception(project: Project):
    project.use_also(ENDINGS)
    project.start()

    with pytest.raises(ValueError, match="no"):
        project.call("stubborn").get(timeout=60)

    assert project.began("stubborn") == 3


def test_errors_of_a_task_without_results_are_kept_when_it_asks_for_that(project: Project):
    project.use_also(ENDINGS)
    node = project.start()

    failed, returned = project.call("quiet", True), project.call("quiet", False)

    wait_until(lambda: failed.state == "FAILURE", what="the failure")
    assert node.stop() == 0
    assert returned.state == "PENDING"


def test_extended_results_tell_what_ran_where(project: Project):
    project.use_also("app.conf.result_extended = True")
    project.start()

    result = project.call("add", 2, 3)

    assert result.get(timeout=60) == 5
    told = project.store.results()[result.id]
    assert (told["name"], told["args"], told["kwargs"], told["retries"], told["queue"]) == (
        "tasks.add", [2, 3], {}, 0, "celery",
    )  # fmt: skip
    assert told["worker"].startswith("w1@")
