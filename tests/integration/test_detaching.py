"""`-D`: a worker in the background, and `--uid`, `--gid`: as somebody else."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import sys

import psutil
import pytest

from tests.integration.project import Project, wait_until

pytestmark = pytest.mark.engines("sqlite")

NOBODY = "nobody"


def typed(project: Project, *args: str) -> subprocess.CompletedProcess[str]:
    """Type a command that starts a worker in the background."""
    command = [sys.executable, "-m", "celeriac", "-A", "tasks", "worker", "-c", "1", "-D", *args]
    return subprocess.run(
        command, cwd=project.folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60
    )


@pytest.mark.usefixtures("hangups_count")
def test_a_worker_works_in_the_background_until_it_is_stopped(project: Project):
    started = typed(project, "-l", "INFO", "-f", "%n.log", "-n", "w1@here", "--pidfile", "%n.pid")

    assert started.returncode == 0, started.stderr
    node = psutil.Process(int((project.folder / "w1.pid").read_text()))
    try:
        assert f"in the background, as process {node.pid}" in started.stderr
        assert os.getsid(node.pid) not in (os.getsid(0), node.pid), "it has no terminal, and gets none"
        assert project.call("add", 2, 3).get(timeout=60) == 5
        node.send_signal(signal.SIGHUP)  # it executes itself anew, and stays where it is
        wait_until(lambda: (project.folder / "w1.log").read_text().count("ready.") == 2)
        assert project.call("add", 3, 4).get(timeout=60) == 7
    finally:
        node.terminate()
        node.wait(30)
    assert not (project.folder / "w1.pid").exists()
    project.assert_clean()


def test_what_keeps_a_worker_from_starting_is_told_to_whoever_started_it(project: Project):
    project.use("import nothing_of_that_name")

    started = typed(project)

    assert started.returncode == 1
    assert "nothing_of_that_name" in started.stderr


@pytest.mark.skipif(os.getuid() != 0, reason="only root may become somebody else")
def test_a_worker_becomes_somebody_else():
    program = (
        "import os, celeriac.worker.privileges as privileges\n"
        "privileges.become('nobody', None)\n"
        "print(os.getuid(), os.geteuid(), os.getgid(), os.environ['USER'])\n"
    )

    shown = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30
    ).stdout

    known = pwd.getpwnam(NOBODY)
    assert shown.split() == [str(known.pw_uid), str(known.pw_uid), str(known.pw_gid), NOBODY]
