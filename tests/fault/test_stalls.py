"""A child that runs nothing and does not read either is replaced, and nothing that it was sent is lost or blamed."""

from __future__ import annotations

import os
import signal

import psutil
import pytest

from celeriac.exceptions import TimeoutError
from tests.integration.project import Project, wait_until
from tests.size import late_after

pytestmark = [pytest.mark.fault, pytest.mark.waits]

REPLACED_WITHIN = late_after(5.0)

STALLING = """
import threading


@app.task
def stop_after_this():
    '''Have this process stop as soon as it is between two runs.'''
    pid = os.getpid()
    note('began', 'stopper', pid)
    threading.Timer(0.2, os.kill, (pid, signal.SIGSTOP)).start()
"""


def test_a_stopped_child_is_replaced_and_what_it_had_not_read_runs_once_uncounted(project: Project):
    project.use_also(STALLING)
    node = project.start(concurrency=1)
    project.call("stop_after_this").get(timeout=60)
    child = int(project.notes[0][2])
    wait_until(lambda: psutil.Process(child).status() == psutil.STATUS_STOPPED)

    calls = [project.call("noted", f"call-{number}", 0.0) for number in range(20)]

    for call in calls:
        call.get(timeout=REPLACED_WITHIN)
    assert set(project.runs().values()) == {1}
    assert f"child {child} runs nothing, and has not read its next message" in node.log
    assert "that ran task" not in node.log, "it is no crash of any of them"
    assert node.stop() == 0
    project.assert_clean()


def test_a_child_that_stops_while_it_runs_is_left_alone(project: Project):
    """Whether a body that is stopped goes on is for its time limit to say."""
    node = project.start(concurrency=1)
    project.call("gated", "body", "gate")
    project.wait_begun("body")
    (child,) = {int(words[2]) for words in project.notes}
    os.kill(child, signal.SIGSTOP)
    later = project.call("add", 1, 2)

    with pytest.raises(TimeoutError):
        later.get(timeout=8)

    os.kill(child, signal.SIGCONT)
    project.open_gate("gate")
    assert later.get(timeout=60) == 3
    assert project.began("body") == 1
    assert node.stop() == 0
