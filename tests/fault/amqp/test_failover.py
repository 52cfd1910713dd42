"""A server of a list dies: callers and nodes go on with the next one."""

from __future__ import annotations

import pytest

from celeriac.app.result import AsyncResult
from celeriac.exceptions import OperationalError, TaskRevokedError
from tests.integration.project import Project, wait_until

pytestmark = [pytest.mark.fault, pytest.mark.timeout(240)]


def test_callers_and_nodes_go_on_with_the_next_server_of_a_list(rabbitmq_server, redis_server, project_on):
    first, second = rabbitmq_server(), rabbitmq_server()
    urls = f"{first.url()};{second.url()}"
    project = project_on(first, results_on=redis_server())
    project.app.conf.broker_url = urls
    project.use_also(f"app.conf.broker_url = {urls!r}")
    node = project.start()
    assert project.call("add", 1, 2).get(timeout=60) == 3
    project.app.control.revoke(["of the first server"])

    first.kill()

    later = wait_until(lambda: called(project), within=60, what="a call that the second server takes")
    assert later.get(timeout=60) == 7
    unwanted = project.call("add", 5, 6, countdown=3)
    unwanted.revoke()
    with pytest.raises(TaskRevokedError):
        unwanted.get(timeout=60)
    assert node.stop() == 0, node.log_end


def called(project: Project) -> AsyncResult | None:
    try:
        return project.call("add", 3, 4)
    except OperationalError:
        return None
