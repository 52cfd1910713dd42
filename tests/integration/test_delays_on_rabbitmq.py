"""Queues that are bound to everything do not run what is delayed for another queue."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.integration.project import Project, wait_until

pytestmark = [pytest.mark.engines("rabbitmq"), pytest.mark.timeout(300)]

QUEUES = """
from celeriac import Exchange, Queue

logs = Exchange("logs", type="topic")
app.conf.task_queues = [
    Queue("celery", Exchange("celery"), "celery"),
    Queue("archive", logs, "#", queue_arguments={"x-queue-type": "quorum"}),
]
"""


def test_what_is_delayed_for_one_queue_runs_once_beside_a_queue_that_gets_everything(project: Project) -> None:
    project.use_also(QUEUES)
    node = project.start()
    source: dict[str, object] = {"app": project.app}
    exec(QUEUES, source)

    for number in range(4):
        project.call("noted", f"direct-{number}", countdown=1.2)
    project.call("noted", "topic", exchange="logs", exchange_type="topic", routing_key="a.b", countdown=1.2)
    wanted = Counter([*(f"direct-{number}" for number in range(4)), "topic"])
    wait_until(lambda: project.runs() >= wanted, what=f"{project.runs()}\n{node.log_end}")

    last = project.call("noted", "last", queue="archive", routing_key="x")
    last.get(timeout=60)
    assert project.runs() == wanted + Counter(["last"])
    assert node.stop() == 0
