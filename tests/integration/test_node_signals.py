"""The signals of a node's life: which processes send them, in which order, and what receivers may do."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from tests.integration.project import Project, wait_until

pytestmark = pytest.mark.engines("sqlite")

RECEIVERS = """
from celeriac import signals

LIFE = (
    "celeryd_init worker_init celeryd_after_setup worker_before_create_process worker_process_init worker_ready "
    "worker_shutting_down worker_process_shutdown worker_shutdown heartbeat_sent"
)


def noting(name):
    def receive(signal, sender, **provided):
        told = ",".join(f"{key}={value}" for key, value in sorted(provided.items()) if isinstance(value, (str, int)))
        note("told", name, os.getpid(), getattr(sender, "hostname", sender), told)
    return receive


for name in LIFE.split():
    getattr(signals, name).connect(noting(name), weak=False)


@app.task
def whereabouts():
    return os.getpid(), os.getppid()
"""


def told(project: Project, name: str) -> list[list[Any]]:
    """Return process, sender and arguments of each time that a signal was sent."""
    return [[int(words[2]), *words[3:]] for words in project.notes if words[:2] == ["told", name]]


def names_told(project: Project, pid: int) -> list[str]:
    """Return what one process sent, in order, without the beats."""
    found = [words[1] for words in project.notes if words[0] == "told" and int(words[2]) == pid]
    return [name for name in found if name != "heartbeat_sent"]


def test_each_process_tells_of_its_own_life_in_order(project: Project):
    project.use_also(RECEIVERS)
    node = project.start(concurrency=1)
    child, forkserver = project.call("whereabouts").get(timeout=60)
    wait_until(lambda: told(project, "heartbeat_sent"), what="a beat")

    assert node.stop() == 0
    name = told(project, "worker_init")[0][1]
    begins = ["celeryd_init", "worker_init"]
    assert names_told(project, node.pid) == [
        *(*begins, "celeryd_after_setup", "worker_ready", "worker_shutting_down", "worker_shutdown"),
    ]
    assert names_told(project, forkserver) == [*begins, "worker_before_create_process"]
    assert names_told(project, child) == ["worker_process_init", "worker_process_shutdown"]
    assert {words[1] for words in [*told(project, "worker_process_init"), *told(project, "worker_ready")]} == {name}
    assert told(project, "worker_shutting_down") == [[node.pid, name, "exitcode=0,how=Warm,sig=SIGTERM"]]
    assert told(project, "worker_process_shutdown") == [[child, name, f"exitcode=0,pid={child}"]]


def test_a_cold_stop_is_told_as_such(project: Project):
    project.use_also(RECEIVERS)
    node = project.start(concurrency=1)

    node.signal(signal.SIGQUIT)

    assert node.wait_exit() == 1
    assert told(project, "worker_shutting_down")[0][2] == "exitcode=1,how=Cold,sig=SIGQUIT"


def test_solo_tells_of_bodies_in_the_process_that_was_started(project: Project):
    project.use_also(RECEIVERS)
    node = project.start("-P", "solo")

    assert project.call("whereabouts").get(timeout=60)[0] == node.pid
    assert node.stop() == 0
    assert names_told(project, node.pid) == ["celeryd_init", "worker_init", "worker_process_init"]
    assert told(project, "worker_shutdown")[0][0] != node.pid


CHANGING = """
from celeriac import signals

app.conf.worker_redirect_stdouts = False
prepared = None


@signals.celeryd_init.connect
def configure(sender, instance, conf, **_):
    conf.worker_concurrency = 2
    conf.task_default_queue = "celery"


@signals.worker_init.connect
def prepare(sender, **_):
    global prepared
    prepared = f"for {sender.hostname}"
    if not sender.runs_tasks:
        note("once")


@signals.celeryd_after_setup.connect
def add(sender, instance, **_):
    instance.add_queue(f"{sender}.direct")


@signals.worker_ready.connect
def broken(sender, **_):
    raise ZeroDivisionError("of a receiver")


@app.task
def look():
    return prepared
"""


def test_receivers_may_change_settings_add_queues_and_prepare_children(project: Project):
    project.use_also(CHANGING)
    node = project.start("-n", "w1@here")
    node.wait_for_log("ZeroDivisionError: of a receiver")

    assert project.call("look", queue="w1@here.direct").get(timeout=60) == "for w1@here"
    assert [words for words in project.notes if words == ["once"]] == [["once"]]
    assert node.stop() == 0


SLOW = """
from celeriac import signals


@signals.task_received.connect
def dawdle(request, **_):
    time.sleep(3600)
"""


def test_a_receiver_that_hangs_holds_up_no_work(project: Project):
    project.use_also(SLOW)
    project.start()

    assert [project.call("add", number, 1).get(timeout=60) for number in range(5)] == [1, 2, 3, 4, 5]


def test_a_child_tells_the_exit_code_that_it_has(project: Project):
    project.use_also(RECEIVERS)
    node = project.start("--max-tasks-per-child", "1", concurrency=1)
    spent, _ = project.call("whereabouts").get(timeout=60)
    wait_until(lambda: len(told(project, "worker_process_init")) == 2)

    assert node.stop() == 0

    codes = {pid: words[-1] for pid, *words in told(project, "worker_process_shutdown")}
    assert len(codes) == 2
    assert codes.pop(spent) == f"exitcode=155,pid={spent}", "it has done its share"
    assert all(code.startswith("exitcode=0,") for code in codes.values())
