"""How a node ends: what runs may finish, what has not begun goes back, and nothing hangs."""

from __future__ import annotations

import os
import signal
from unittest.mock import ANY

import pytest

from tests.integration.project import Project, wait_until
from tests.integration.stores import UNCOUNTED, Accounts

pytestmark = pytest.mark.waits

STOP_WITHIN = 10 * 2.0
"""What a stop may take beyond its grace, on a machine that is busy with other tests."""


def accounts(project: Project) -> list[Accounts]:
    return [kept.accounts for kept in project.kept()]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_warm_stop_finishes_what_runs_and_hands_back_what_has_not_begun(project: Project, number):
    node = project.start("--prefetch-multiplier", "10", concurrency=1)
    running = project.call("gated", "running", "gate")
    project.wait_begun("running")
    for other in range(5):
        project.call("noted", f"other-{other}")

    node.signal(number)
    node.wait_for_log("warm shutdown")
    wait_until(lambda: accounts(project).count(UNCOUNTED) == 5)
    project.open_gate("gate")

    assert node.wait_exit(within=STOP_WITHIN + 30) == 0
    assert running.successful()
    assert accounts(project) == [UNCOUNTED] * 5
    assert set(project.runs()) == {"running"}
    project.start(name="w2")
    wait_until(lambda: project.runs().total() == 6)


def test_an_idle_node_stops_at_once(project: Project):
    node = project.start()

    assert node.stop(within=STOP_WITHIN) == 0
    project.assert_clean()
    node.wait_gone(within=STOP_WITHIN)


def test_a_node_whose_children_never_come_up_stops_after_its_grace(project: Project):
    project.use_also("if os.getsid(0) != os.getpid():  # not in the process that was started\n    wait_at('import')\n")
    node = project.start("--stop-grace", "1", ready=False)
    wait_until(project.store.owners)

    node.signal(signal.SIGTERM)

    node.wait_exit(within=1 + STOP_WITHIN + 5)
    node.wait_gone(within=STOP_WITHIN)
    project.assert_clean()


def test_what_outlasts_the_grace_goes_back_uncounted(project: Project):
    node = project.start("--stop-grace", "1")
    project.call("gated", "long", "gate")
    project.wait_begun("long")
    pid = int(project.notes[0][2])

    node.signal(signal.SIGTERM)

    assert node.wait_exit(within=1 + STOP_WITHIN) == 1
    assert accounts(project) == [UNCOUNTED]
    assert not os.path.exists(f"/proc/{pid}")
    project.open_gate("gate")
    project.start(name="w2")
    project.wait_begun("long", times=2)


def test_no_grace_means_as_long_as_it_takes(project: Project):
    node = project.start("worker_stop_grace=null")
    running = project.call("gated", "running", "gate")
    project.wait_begun("running")

    node.signal(signal.SIGTERM)
    node.wait_for_log("as long as they take")
    project.open_gate("gate")

    assert node.wait_exit() == 0
    assert running.successful()


@pytest.mark.parametrize(
    "signals",
    [
        (signal.SIGTERM, signal.SIGTERM),
        (signal.SIGINT, signal.SIGINT),
        (signal.SIGTERM, signal.SIGINT),
        (signal.SIGQUIT,),
    ],
    ids=["TERM twice", "INT twice", "TERM then INT", "QUIT"],
)
def test_a_cold_stop_kills_what_runs_and_gives_it_back_uncounted(project: Project, signals):
    node = project.start()
    project.call("gated", "long", "gate")
    project.wait_begun("long")
    pid = int(project.notes[0][2])

    for number in signals:
        node.signal(number)
        node.wait_for_log(signal.Signals(number).name)
    node.wait_for_log("cold shutdown")

    assert node.wait_exit(within=STOP_WITHIN) == 1
    assert accounts(project) == [UNCOUNTED]
    assert not os.path.exists(f"/proc/{pid}")
    node.wait_gone(within=STOP_WITHIN)


def test_a_cold_stop_is_cold_for_early_acks_too_and_says_so_in_their_results(project: Project):
    node = project.start()
    result = project.call("gated_after_ack", "long", "gate")
    project.wait_begun("long")

    node.signal(signal.SIGQUIT)

    assert node.wait_exit(within=STOP_WITHIN) == 1
    assert accounts(project) == []
    assert result.state == "FAILURE"
    assert type(result.result).__name__ == "WorkerLostError"


def test_an_early_ack_comes_before_the_run(project: Project):
    project.start()
    result = project.call("gated_after_ack", "long", "gate")
    project.wait_begun("long")

    assert accounts(project) == []
    project.open_gate("gate")
    assert result.get(timeout=60) == "long"


def test_what_was_acked_early_and_has_not_begun_is_not_lost_by_a_warm_stop(project: Project):
    node = project.start("--prefetch-multiplier", "10", concurrency=1)
    running = project.call("gated", "running", "gate")
    project.wait_begun("running")
    calls = [project.call("gated_after_ack", f"early-{number}", "gate") for number in range(5)]
    wait_until(lambda: len(accounts(project)) == 1, what="the acks")

    node.signal(signal.SIGTERM)
    node.wait_for_log("warm shutdown")
    project.open_gate("gate")

    assert node.wait_exit() == 0
    assert running.successful()
    project.start(name="w2")
    for call in calls:
        call.get(timeout=60)


def test_a_stop_loses_nothing_of_a_stream(project: Project):
    """Nodes come and go by warm stops while work streams in; everything runs exactly once."""
    calls = [project.call("noted", f"run-{number}", 0.002) for number in range(1_000)]
    for number in range(4):
        node = project.start(name=f"w{number}")
        wait_for_more_runs(project, 150)
        assert node.stop() == 0, node.log_end
    project.start(name="last")

    for call in calls:
        call.get(timeout=60)

    assert project.runs().total() == 1_000


def wait_for_more_runs(project: Project, count: int) -> None:
    enough = project.runs().total() + count
    wait_until(lambda: project.runs().total() >= enough)


# -- solo ---------------------------------------------------------------------------------------------------------


def test_solo_runs_bodies_in_the_process_that_was_started(project: Project):
    node = project.start("-P", "solo")

    assert project.call("pid").get(timeout=60) == node.pid
    with pytest.raises(ValueError, match="no"):
        project.call("fail", "no").get(timeout=60)
    assert project.call("flaky", 1).get(timeout=60) == 1
    assert node.stop(within=STOP_WITHIN) == 0
    project.assert_clean()


def test_ctrl_c_stops_solo_warmly(project: Project):
    node = project.start("-P", "solo")
    running = project.call("gated", "running", "gate")
    project.wait_begun("running")

    os.killpg(node.pid, signal.SIGINT)
    node.wait_for_log("warm shutdown")
    project.open_gate("gate")

    assert node.wait_exit() == 0
    assert running.successful()
    node.wait_gone(within=STOP_WITHIN)
    project.assert_clean()


def test_ctrl_c_stops_prefork_once_and_not_its_bodies(project: Project):
    node = project.start()
    running = project.call("gated", "running", "gate")
    project.wait_begun("running")

    os.killpg(node.pid, signal.SIGINT)
    node.wait_for_log("warm shutdown")
    project.open_gate("gate")

    assert node.wait_exit() == 0
    assert running.successful()
    assert ": cold shutdown; what" not in node.log


def test_a_second_ctrl_c_stops_solo_cold(project: Project):
    node = project.start("-P", "solo")
    project.call("gated", "long", "gate")
    project.wait_begun("long")

    os.killpg(node.pid, signal.SIGINT)
    node.wait_for_log("warm shutdown")
    os.killpg(node.pid, signal.SIGINT)

    assert node.wait_exit(within=STOP_WITHIN) == 1
    node.wait_gone(within=3 * STOP_WITHIN)
    assert accounts(project) == [UNCOUNTED]


def test_a_body_that_kills_solo_ends_the_node_and_counts(project: Project):
    node = project.start("-P", "solo")
    project.call("die", "poison")

    assert node.wait_exit() == -signal.SIGKILL
    node.wait_gone(within=STOP_WITHIN)
    assert accounts(project) == [(False, ANY, 1, 0, 0)]


def test_solo_outlasts_its_grace_no_longer_than_prefork(project: Project):
    node = project.start("-P", "solo", "--stop-grace", "1")
    project.call("gated", "long", "gate")
    project.wait_begun("long")

    node.signal(signal.SIGTERM)

    node.wait_exit(within=1 + STOP_WITHIN)
    node.wait_gone(within=STOP_WITHIN)
    assert accounts(project) == [UNCOUNTED]


# -- further signals ----------------------------------------------------------------------------------------------


@pytest.mark.engines("sqlite")
def test_a_soft_stop_gives_what_runs_its_time_and_then_kills_it(project: Project):
    node = project.start("worker_soft_shutdown_timeout=1.5", REMAP_SIGTERM="SIGQUIT")
    project.call("gated", "quick", "quick-gate")
    project.call("gated", "long", "never")
    project.wait_begun("quick")
    project.wait_begun("long")

    node.signal(signal.SIGTERM)
    node.wait_for_log("SIGTERM: soft shutdown; running tasks have 1.5 s")
    project.open_gate("quick-gate")

    assert node.wait_exit() == 1
    assert "1 tasks did not end in time" in node.log
    assert ["ended", "quick"] in [words[:2] for words in project.notes]
    assert [kept.accounts for kept in project.kept()] == [UNCOUNTED]


@pytest.mark.engines("sqlite")
@pytest.mark.parametrize("pool", ["prefork", "solo"])
def test_a_third_signal_ends_everything_at_once(project: Project, pool):
    node = project.start("-P", pool, "--stop-grace", "60")
    project.call("gated", "body", "never")
    project.wait_begun("body")

    for text in ("warm shutdown", "cold shutdown"):
        node.signal(signal.SIGTERM)
        node.wait_for_log(text)
    if node.process.poll() is None:
        node.signal(signal.SIGTERM)

    assert node.wait_exit(within=STOP_WITHIN) == 1
    node.wait_gone()


@pytest.mark.engines("sqlite")
@pytest.mark.usefixtures("hangups_count")
def test_a_hangup_restarts_the_node_as_the_same_process(project: Project):
    node = project.start()
    pid = node.pid
    project.use_also("@app.task\ndef fresh():\n    return 'new code'")

    node.signal(signal.SIGHUP)

    assert project.call("fresh").get(timeout=60) == "new code"
    assert node.pid == pid
    assert node.process.poll() is None
    wait_until(lambda: node.log.count("ready.") == 2)  # one child may run tasks before the other is up
    assert node.stop() == 0


@pytest.mark.engines("sqlite")
def test_a_node_tells_where_its_threads_are(project: Project):
    node = project.start()

    os.kill(node.pid, signal.SIGUSR1)

    node.wait_for_log("Current thread 0x")
    node.wait_for_log('worker/processes.py", line')
    assert project.call("add", 1, 2).get(timeout=60) == 3
    assert node.stop() == 0


@pytest.mark.engines("sqlite")
@pytest.mark.parametrize("pool", ["prefork", "solo"])
@pytest.mark.parametrize("late", ["its first process", "the one forked from it"])
def test_a_node_that_is_stopped_while_it_imports_its_app_ends_cleanly(project: Project, pool, late):
    """Whichever of its processes is the slower one."""
    project.call("noted", "run")
    compared = "==" if late == "its first process" else "!="
    project.use_also(f"(HERE / 'importing').touch()\nif os.getsid(0) {compared} os.getpid():\n    wait_at('import')\n")
    node = project.start("-P", pool, concurrency=1, ready=False)
    wait_until(lambda: (project.folder / "importing").exists())

    node.signal(signal.SIGTERM)
    project.open_gate("import")

    assert node.wait_exit() == 0
    node.wait_gone(within=STOP_WITHIN)
    assert accounts(project) == [UNCOUNTED]
