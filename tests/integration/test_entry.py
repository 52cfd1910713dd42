"""Workers that a program starts itself: ``app.worker_main([...])``."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from celeriac import Celery
from celeriac.exceptions import ImproperlyConfigured
from tests.integration.project import Project, wait_until

PROGRAM = """
import sys

from celeriac import Celery

app = Celery("program", broker="sqlite:///work.db")


@app.task
def add(x, y):
    return x + y


if __name__ == "__main__":
    sys.exit(app.worker_main(["worker", "-c", "1", "-l", "INFO"]))
"""


@pytest.mark.engines("sqlite")
def test_a_program_can_be_a_worker(project: Project):
    (project.folder / "program.py").write_text(PROGRAM)
    log_path = project.folder / "program.log"
    with log_path.open("wb") as log:
        program = subprocess.Popen([sys.executable, "program.py"], cwd=project.folder, stdout=log, stderr=log)
    try:
        result = project.app.send_task("program.add", (2, 3))

        assert result.get(timeout=60) == 5
        program.send_signal(signal.SIGTERM)
        assert program.wait(30) == 0, log_path.read_text()
    finally:
        if program.poll() is None:
            os.kill(program.pid, signal.SIGKILL)
            program.wait(30)
    wait_until(lambda: " ready." in log_path.read_text(), what="the line that says it is ready")


def test_the_command_must_be_said():
    app = Celery("shop", broker="memory://entry", set_as_current=False)

    with pytest.raises(ValueError, match="worker_main runs the command 'worker'"):
        app.worker_main(["-c", "2"])


def test_an_app_that_no_module_holds_cannot_be_found_by_a_worker():
    app = Celery("shop", broker="memory://entry", set_as_current=False)

    with pytest.raises(ImproperlyConfigured, match="assign it to a name at the top of a module"):
        app.start(["worker"])
