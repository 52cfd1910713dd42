"""Queues, exchanges and broadcasts with real nodes: who works on what, and what reaches whom."""

from __future__ import annotations

from collections import Counter
from typing import Final

from celeriac.brokers.topology import worker_direct
from tests.integration.project import Project, wait_until

ROUTED: Final = """
from celeriac import Broadcast, Exchange, Queue

logs = Exchange("logs", type="topic")
app.conf.task_queues = [
    Queue("celery", Exchange("celery"), "celery"),
    Queue("errors", logs, "#.error", alias="faults"),
    Queue("archive", logs, "#", no_ack=True),
    Broadcast("everybody"),
]
app.conf.worker_direct = True


@app.task(bind=True, ignore_result=True, max_retries=1)
def seen(self, what, *, fails=False):
    where = self.request.delivery_info
    note("seen", what, self.request.hostname, where["exchange"] or "-", where["routing_key"], self.request.retries)
    if fails and not self.request.retries:
        raise self.retry(countdown=0)
"""


def seen(project: Project, what: str) -> Counter[tuple[str, ...]]:
    """Count the runs of that name, by node, exchange, routing key and attempt."""
    return Counter(tuple(words[2:]) for words in project.notes if words[:2] == ["seen", what])


def test_each_queue_behind_a_topic_exchange_has_its_run_and_its_own_retries(project: Project):
    project.use_also(ROUTED)
    node = project.start(name="w1@here")

    project.call("seen", "one", exchange="logs", routing_key="shop.error", kwargs={"fails": True})

    wait_until(lambda: sum(seen(project, "one").values()) == 4, what=project.logs())
    assert seen(project, "one") == {
        ("w1@here", "logs", "shop.error", "0"): 2,
        ("w1@here", "-", "errors", "1"): 1,
        ("w1@here", "-", "archive", "1"): 1,
    }
    assert node.stop() == 0
    project.assert_clean()


def test_nodes_work_on_what_they_are_told_and_each_hears_what_is_for_everybody(project: Project):
    project.use_also(ROUTED)
    errors = project.start("-Q", "faults,everybody", name="errors@here")
    rest = project.start("-X", "errors", name="rest@here")
    for queue in ("errors", "archive", "celery"):
        project.call("seen", f"in-{queue}", queue=queue)
    project.call("seen", "direct", queue=worker_direct("errors@here"))

    project.call("seen", "all", exchange="everybody", exchange_type="fanout")

    names = ("in-errors", "in-archive", "in-celery", "direct")
    wait_until(lambda: sum(seen(project, "all").values()) == 2, what=project.logs())
    wait_until(lambda: all(seen(project, name) for name in names), what=project.logs())
    nodes = {name: [words[0] for words in seen(project, name).elements()] for name in names}
    assert nodes == {
        "in-errors": ["errors@here"],
        "in-archive": ["rest@here"],
        "in-celery": ["rest@here"],
        "direct": ["errors@here"],
    }
    assert sorted(words[0] for words in seen(project, "all")) == ["errors@here", "rest@here"]
    assert "no_ack=True has no effect, and these queues say it: archive." in rest.log
    assert "no_ack" not in errors.log
    assert [errors.stop(), rest.stop()] == [0, 0]
    project.assert_clean()
