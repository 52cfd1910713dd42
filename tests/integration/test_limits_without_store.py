"""Limits over all nodes need a store, and RabbitMQ has none: who relies on them is told so before anything runs."""

from __future__ import annotations

import pytest

from celeriac.exceptions import ImproperlyConfigured
from tests.integration.project import Project

pytestmark = [pytest.mark.engines("rabbitmq"), pytest.mark.timeout(300)]

LIMITED = """
@app.task(unique_for=60)
def once():
    pass


@app.task(rate_limit="1/s", rate_limit_scope="global")
def slowly():
    pass


@app.task(concurrency_limit=1)
def alone():
    pass


@app.task(rate_limit="100/s")
def by_node():
    return "ran"
"""


@pytest.mark.parametrize("pool", ["prefork", "solo"])
def test_a_worker_of_such_tasks_does_not_start_and_names_them(project: Project, pool: str) -> None:
    project.use_also(LIMITED)

    node = project.start("-P", pool, ready=False)

    assert node.wait_exit() != 0
    _, _, said = " ".join(node.log.split()).partition("Error: ")  # what comes before may be the list of all tasks
    assert (
        "these tasks have some: tasks.alone (concurrency_limit), tasks.once (unique_for), "
        "tasks.slowly (rate_limit_scope='global')"
    ) in said
    assert "Use redis:// or sqlite://" in said
    assert "tasks.by_node" not in said
    assert "Traceback" not in node.log


def test_limits_of_a_node_work(project: Project) -> None:
    project.use_also(LIMITED.rpartition('@app.task(rate_limit="100/s")')[1] + "\ndef by_node():\n    return 'ran'\n")
    node = project.start()

    assert project.call("by_node").get(timeout=60) == "ran"
    assert node.stop() == 0


def test_a_call_of_a_unique_task_is_refused(project: Project) -> None:
    with pytest.raises(ImproperlyConfigured, match="is unique, which needs a broker that keeps a store"):
        project.call("add", 1, 2, unique_for=60)
