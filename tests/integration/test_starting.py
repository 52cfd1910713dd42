"""How a node begins: names, threads that importing an app starts, and what it says about itself."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.integration.project import Node, Project, wait_until

pytestmark = pytest.mark.waits

UMASK = """
@app.task
def umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask
"""

THREADED = """
import threading

stopped = threading.Event()
threading.Thread(target=stopped.wait, name="reporter-of-a-library", daemon=True).start()


@app.task
def program():
    return sys.modules["__main__"].__spec__.name
"""


def test_an_app_that_starts_threads_on_import_gets_fresh_children_and_a_warning(project: Project):
    project.use_also(THREADED)
    node = project.start()

    assert "celeriac.worker.fresh_child" in project.call("program").get(timeout=60)
    assert [project.call("add", number, 1).get(timeout=60) for number in range(20)] == list(range(1, 21))
    assert "reporter-of-a-library" in node.log
    assert node.stop() == 0
    project.assert_clean()


def test_fresh_children_die_and_come_back_as_forked_ones_do(project: Project):
    project.use_also(THREADED)
    node = project.start("task_max_crashes=1")
    project.call("die", "poison").get(timeout=60, propagate=False)

    assert [project.call("add", number, 1).get(timeout=60) for number in range(20)] == list(range(1, 21))
    node.kill_supervisor()
    node.wait_gone()


STOPPED_AT_ONCE = """
import os, signal, sys
from celeriac.cli.main import program

os.register_at_fork(after_in_child=lambda: signal.raise_signal(signal.SIGTERM))
sys.argv = ["celeriac", "-A", "tasks", "worker", "-P", "solo"]
sys.exit(program())
"""


def test_a_signal_to_stop_amid_the_fork_stops_the_node(project: Project):
    done = subprocess.run(
        [sys.executable, "-c", STOPPED_AT_ONCE], cwd=project.folder, capture_output=True, text=True, timeout=60
    )

    assert (done.returncode, done.stderr.count("Exception ignored")) == (0, 0), done.stderr
    assert "SIGTERM: stopped before this node took work" in done.stdout + done.stderr


def test_children_are_forks_where_nothing_started_a_thread(project: Project):
    project.use_also(THREADED.replace(".start()", ""))
    project.start()

    assert "celeriac.worker.fresh_child" not in project.call("program").get(timeout=60)


def test_an_app_that_calls_tasks_on_import_works(project: Project):
    """The store that this opens is left behind by each process that is forked off."""
    project.use_also("noted.delay('on-import')\n")
    node = project.start()

    assert [project.call("call_add", number, 1).get(timeout=60) for number in range(3)]
    wait_until(project.is_empty)
    assert project.began("on-import") == 2  # supervisor and forkserver import the app, each once
    assert node.stop() == 0
    project.assert_clean()


@pytest.mark.parametrize("pool", ["prefork", "solo"])
def test_two_nodes_of_one_name_both_work_and_both_warn(project: Project, pool):
    nodes = [project.start("-P", pool, name="twin"), project.start("-P", pool, name="twin")]

    for node, other in (nodes, reversed(nodes)):
        node.wait_for_log("another node is named twin@")
        assert f"pid {supervisor_of(other, pool)}" in node.log
    for number in range(100):
        project.call("noted", f"run-{number}", 0.005)
    wait_until(lambda: project.runs().total() == 100)
    assert len(project.runs()) == 100


def supervisor_of(node: Node, pool: str) -> int:
    return node.pid if pool == "prefork" else psutil.Process(node.pid).children()[0].pid


def test_a_node_does_not_take_its_dead_predecessor_for_a_namesake(project: Project):
    project.start().kill()

    node = project.start()
    wait_until(lambda: len(project.store.owners()) == 1, what="the recovery of the dead one")
    beat = project.store.beats()
    wait_until(lambda: project.store.beats() > beat + 1)

    assert "another node is named" not in node.log


def test_the_banner_says_where_and_what(project: Project):
    node = project.start("-Q", "a,b")

    for text in (project.store.urls["broker"], "concurrency: 2 (prefork", ".> a", ".> b", ". tasks.add"):
        assert text in node.log


@pytest.mark.engines("sqlite")
def test_files_are_for_their_owner_alone(project: Project):
    project.start()
    project.call("add", 1, 2).get(timeout=60)

    files = [path for path in project.folder.rglob("work.db*") if path.is_file()]
    files += list(Path(f"{project.sqlite.path}-owners").iterdir())

    assert len(files) > 3
    assert {stat.S_IMODE(os.stat(path).st_mode) & 0o077 for path in files} == {0}


def test_a_purge_at_the_start_deletes_what_waits(project: Project):
    for number in range(5):
        project.call("noted", f"old-{number}")

    node = project.start("--purge")

    assert "5 messages were purged" in node.log
    project.call("noted", "new").get(timeout=60)
    assert set(project.runs()) == {"new"}


@pytest.mark.engines("sqlite")
def test_no_url_at_all_means_the_file_of_the_app(project: Project, tmp_path_factory: pytest.TempPathFactory):
    home = tmp_path_factory.mktemp("home")
    project.use((project.folder / "tasks.py").read_text().replace(', broker="sqlite:///work.db"', ""))

    project.start(CELERIAC_HOME=str(home))

    assert (home / "tasks.sqlite3").exists()


@pytest.mark.engines("sqlite")
@pytest.mark.parametrize("asked", [("-f", "%n%I.log"), ("worker_logfile=%n%I.log",)])
def test_every_process_of_a_node_logs_into_a_file_of_its_own_when_asked_to(project: Project, asked: tuple[str, ...]):
    node = project.start("-l", "INFO", *asked, ready=False)
    own = project.folder / "w1.log"
    wait_until(lambda: own.exists() and "MainProcess] w1@" in own.read_text(), what="the line that says ready")
    assert project.call("add", 1, 2).get(timeout=60) == 3
    assert node.stop() == 0

    logs = {path.name: path.read_text() for path in project.folder.glob("w1*.log") if path != node.log_path}
    assert sorted(logs) == ["w1-1.log", "w1-2.log", "w1.log"]
    assert "succeeded" in logs["w1-1.log"] + logs["w1-2.log"]
    assert "succeeded" not in logs["w1.log"]


@pytest.mark.engines("sqlite")
@pytest.mark.parametrize("pool", ["prefork", "solo"])
def test_a_node_keeps_its_pid_in_a_file_and_a_second_one_does_not_start(project: Project, pool: str):
    options = ("-P", pool, "--pidfile", "%n.pid", "--umask", "077")
    project.use_also(UMASK)
    node = project.start(*options)
    second = project.start(*options, ready=False)

    assert second.wait_exit() == 2
    assert f"belongs to a node that runs, process {node.pid}" in second.log
    assert (project.folder / "w1.pid").read_text() == f"{node.pid}\n"
    assert project.call("umask").get(timeout=60) == 0o077
    assert node.stop() == 0
    assert not (project.folder / "w1.pid").exists()
