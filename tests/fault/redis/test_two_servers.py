"""Messages on one server, results on another: no script spans both, and still nothing is lost."""

from __future__ import annotations

import pytest

from tests.fault.redis.streams import publish_many, repeated, succeeded, wait_done
from tests.integration.project import wait_until
from tests.servers.redis import DURABLE

pytestmark = [pytest.mark.fault, pytest.mark.waits]

MORE_THAN_IS_HELD = 4_000


def test_results_arrive_where_they_are_looked_for(redis_server, project_on):
    project = project_on(redis_server(), results_on=redis_server())
    node = project.start()

    assert [project.call("add", number, 1).get(timeout=60) for number in range(20)] == list(range(1, 21))

    assert not project.store.client.keys("celery-task-meta-*")
    assert len(project.store.records()) == 20
    assert node.stop() == 0
    project.assert_clean()


def test_a_node_whose_results_cannot_be_stored_keeps_their_messages_and_stops_claiming(redis_server, project_on):
    results = redis_server(*DURABLE)
    project = project_on(redis_server(), results_on=results)
    node = project.start()
    project.call("add", 1, 1).get(timeout=60)

    results.kill()
    ids = publish_many(project, MORE_THAN_IS_HELD, work=0)
    node.wait_for_log("cannot settle")
    wait_until(lambda: 0 < project.held_by(node) <= project.runs().total(), what="the end of all that it holds")
    begun = project.runs().total()
    results.start()

    assert begun < MORE_THAN_IS_HELD, "it never acks what it could not store"
    wait_done(project)
    assert repeated(project) == 0
    assert ids <= succeeded(project)
    assert node.stop() == 0
    project.assert_clean()


@pytest.mark.timeout(300)
def test_what_was_stored_before_a_crash_is_recognised_and_not_run_again(redis_server, project_on, proxy_to):
    """The node dies after it has stored a result and before it has acked: its way to the broker is cut just then."""
    broker = redis_server()
    proxy = proxy_to(broker.port)
    project = project_on(broker, results_on=redis_server())
    node = project.start(BROKER=proxy.url(0))
    result = project.call("gated", "once", "gate")
    project.wait_begun("once")

    proxy.black_hole()
    project.open_gate("gate")
    wait_until(result.ready, what="the result")
    node.kill()
    proxy.reset()  # what the dead node had said is not to arrive
    assert len(project.kept()) == 1
    second = project.start(name="w2")

    wait_done(project, within=45)
    assert project.began("once") == 1
    assert second.stop() == 0
    project.assert_clean()


def test_a_record_is_not_stored_before_what_follows_is_published(redis_server, project_on, proxy_to):
    """Else a crash between the two would lose what follows: who sees the record takes the message for finished."""
    broker = redis_server()
    proxy = proxy_to(broker.port)
    project = project_on(broker, results_on=redis_server())
    project.use_also(
        "@app.task(bind=True)\n"
        "def again(self):\n"
        "    if not self.request.retries:\n"
        "        note('began', 'again')\n"
        "        wait_at('gate')\n"
        "        raise self.retry(countdown=0)\n"
        "    return 'done'\n"
    )
    node = project.start(BROKER=proxy.url(0))
    result = project.call("again")
    project.wait_begun("again")

    proxy.black_hole()
    project.open_gate("gate")
    node.wait_for_log("cannot settle")
    state = result.state
    proxy.heal()

    assert state == "PENDING"
    assert result.get(timeout=60) == "done"
