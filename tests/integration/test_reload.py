"""`--reload`: a node that starts again with what somebody has just written."""

from __future__ import annotations

import pytest

from tests.integration.project import Project, wait_until

pytestmark = pytest.mark.engines("sqlite")

VERSIONED = """
@app.task
def version():
    return {}


@app.task
def slow(gate):
    note("began", gate)
    wait_at(gate)
    return {}
"""


def versioned(project: Project, version: int) -> str:
    return f"{(project.folder / 'tasks.py').read_text().partition('# version')[0]}# version\n" + VERSIONED.format(
        version, version
    )


@pytest.mark.parametrize("pool", ["prefork", "solo"])
def test_a_node_starts_again_with_what_was_written_and_lets_running_tasks_end(project: Project, pool: str):
    project.use(versioned(project, 1))
    node = project.start("--reload", "-P", pool)
    pid, first = node.pid, project.call("version").get(timeout=60)
    running = project.call("slow", "gate")
    project.wait_begun("gate")

    project.use(versioned(project, 2))
    node.wait_for_log("tasks.py has changed: restarting")
    project.open_gate("gate")

    assert (first, running.get(timeout=60)) == (1, 1)
    assert project.call("version").get(timeout=60) == 2
    assert node.pid == pid
    assert node.stop() == 0
    project.assert_clean()


def test_a_module_that_cannot_be_imported_is_waited_for(project: Project):
    node = project.start("--reload")
    good = (project.folder / "tasks.py").read_text()

    project.use("this is no Python")
    node.wait_for_log("Waiting for a source to change")
    project.use(good)
    wait_until(lambda: node.log.count("ready.") == 2, what=f"a second start\n{node.log_end}")

    assert project.call("add", 1, 2).get(timeout=60) == 3
    assert node.stop() == 0
