from __future__ import annotations

import time

import pytest

from celeriac.brokers.redis.keys import Keys
from celeriac.brokers.redis.wakes import Wakes
from celeriac.exceptions import BrokerUnavailable
from celeriac.testing.brokers.suite import publish
from celeriac.testing.worlds import ANSWER_WITHIN, a_message, task_ids
from tests.unit.brokers.redis_world import RedisWorld

KEYS = Keys()


@pytest.fixture(params=[2, 3], ids=["RESP2", "RESP3"])
def world(redis_db, request):
    world = RedisWorld(redis_db, protocol=request.param)
    yield world
    world.end()


def waiting(node, *queues, wait=10 * ANSWER_WITHIN):
    """Leave a claim under way, and return when it sleeps."""
    claim = node.start(node.consumer.claim(queues or ["q"], limit=1, wait=wait))
    wakes = node.consumer._wakes
    _until(lambda: wakes._armed and wakes._sleeper is not None and not wakes._sleeper.done() and not claim.done())
    return claim


def calls(client, *commands) -> int:
    stats = client.info("commandstats")
    return sum(stats.get(f"cmdstat_{command}", {"calls": 0})["calls"] for command in commands)


def test_an_idle_node_asks_for_nothing_until_it_is_told(world, client):
    """A5: it does not poll."""
    node = world.node()
    claim = waiting(node, wait=60)
    before = calls(client, "evalsha", "exists", "ping", "zrange")

    time.sleep(1.5)
    assert calls(client, "evalsha", "exists", "ping", "zrange") == before

    publish(world.broker(), a_message())
    assert len(claim.result(ANSWER_WITHIN).deliveries) == 1


@pytest.mark.parametrize("push", ["lpush", "rpush"])
def test_a_push_by_anybody_wakes_a_node(world, client, push):
    node = world.node()
    claim = waiting(node)

    getattr(client, push)("q", "anything")

    assert len(claim.result(ANSWER_WITHIN).deliveries) == 1


def test_every_step_of_every_queue_is_watched(world, client):
    node = world.node()
    for queue, priority in [("a", 0), ("b", 9), ("a", 6), ("b", 3)]:
        claim = waiting(node, "a", "b")

        publish(world.broker(), a_message(f"{queue}-{priority}", queue=queue, priority=priority))

        assert task_ids(claim.result(ANSWER_WITHIN).deliveries) == [f"{queue}-{priority}"]


def test_a_message_that_becomes_due_sooner_than_all_others_wakes_a_node_in_time(world, client):
    node = world.node()
    now = node.look().now
    publish(world.broker(), a_message("late", eta_at=now + 60))
    claim = waiting(node)

    publish(world.broker(), a_message("soon", eta_at=time.time() + 0.3))

    began = time.monotonic()
    assert task_ids(claim.result(ANSWER_WITHIN).deliveries) == ["soon"]
    assert time.monotonic() - began < 3.0, "before it looks by itself"


def test_a_busy_node_does_not_track(world, client):
    publish(world.broker(), *(a_message(f"id-{number}") for number in range(20)))
    node = world.node()

    for _ in range(4):
        node.claim(limit=5, wait=1.0)

    assert client.info("clients")["tracking_clients"] == 0


def test_what_was_claimed_to_the_last_is_not_looked_at_again_before_there_is_news(world, client):
    node = world.node()
    publish(world.broker(), a_message())
    node.claim(wait=1.0)
    before = calls(client, "zrangebyscore")  # each claim asks so for what is due

    claim = waiting(node)

    assert calls(client, "zrangebyscore") == before
    publish(world.broker(), a_message("news"))
    assert task_ids(claim.result(ANSWER_WITHIN).deliveries) == ["news"]


def test_a_node_that_was_woken_watches_again_with_the_claim_itself(world, client):
    node = world.node()
    claim = waiting(node)
    publish(world.broker(), a_message("first"))
    claim.result(ANSWER_WITHIN)
    claim = waiting(node)
    claims, pings = calls(client, "zrangebyscore"), calls(client, "ping")
    publish(world.broker(), a_message("second"))
    claim.result(ANSWER_WITHIN)

    claim = waiting(node)

    assert calls(client, "zrangebyscore") == claims + 1
    assert calls(client, "ping") == pings
    publish(world.broker(), a_message("third"))
    assert task_ids(claim.result(ANSWER_WITHIN).deliveries) == ["third"]


def test_scripts_that_redis_has_forgotten_keep_nobody_asleep(world, client):
    node = world.node()
    publish(world.broker(), a_message("first"))
    node.claim(wait=1.0)
    claim = waiting(node)

    client.script_flush()
    for name in ("second", "third"):
        publish(world.broker(), a_message(name))
        assert task_ids(claim.result(ANSWER_WITHIN).deliveries) == [name]
        claim = waiting(node)
    publish(world.broker(), a_message("last"))
    assert task_ids(claim.result(ANSWER_WITHIN).deliveries) == ["last"]


def test_a_connection_for_notices_that_has_gone_silent_is_replaced(world, client, monkeypatch):
    """A broken one says nothing of its own accord."""
    node = world.node()
    claim = waiting(node, wait=0.2)
    wakes = node.consumer._wakes
    silent = wakes._listening
    assert claim.result(ANSWER_WITHIN).deliveries == []

    async def never(*args, **options):
        raise TimeoutError

    monkeypatch.setattr(silent, "exchange", never)
    wakes._heard_at -= 60.0
    claim = node.start(node.consumer.claim(["q"], limit=1, wait=10 * ANSWER_WITHIN))
    _until(lambda: wakes._listening not in (None, silent) and wakes._armed)

    publish(world.broker(), a_message())
    assert len(claim.result(ANSWER_WITHIN).deliveries) == 1


def test_where_no_notice_comes_a_node_polls_and_says_so(world, client, monkeypatch, caplog):
    """Something in between accepts the commands, or leads the two connections to two servers."""
    monkeypatch.setattr(Wakes, "_hear", lambda wakes, message: None)
    node = world.node()
    claim = node.start(node.consumer.claim(["q"], limit=1, wait=10 * ANSWER_WITHIN))
    _until(lambda: "no notice comes" in caplog.text)

    publish(world.broker(), a_message())

    assert len(claim.result(ANSWER_WITHIN).deliveries) == 1


def test_a_connection_that_is_lost_while_a_node_begins_to_watch_is_made_again(world, client, monkeypatch, caplog):
    """What the server says of it then (it is tracked no more) is no refusal."""
    node = world.node()
    prove = Wakes._prove
    lost: list[bool] = []

    async def lose_first(wakes):
        if not lost:
            lost.append(True)
            await wakes._link.close()
        await prove(wakes)

    monkeypatch.setattr(Wakes, "_prove", lose_first)
    claim = node.start(node.consumer.claim(["q"], limit=1, wait=10 * ANSWER_WITHIN))
    _until(lambda: lost and node.consumer._wakes._listening is not None)

    publish(world.broker(), a_message())

    assert len(claim.result(ANSWER_WITHIN).deliveries) == 1
    assert "does not tell" not in caplog.text


def test_what_came_between_two_claims_is_not_slept_over(world, client):
    node = world.node()
    for number in range(20):
        publish(world.broker(), a_message(f"id-{number}"))

        assert len(node.claim(limit=1, wait=ANSWER_WITHIN)) == 1


def test_another_choice_of_queues_is_looked_at_at_once(world, client):
    node = world.node()
    publish(world.broker(), a_message("a"))
    node.claim("q", limit=5, wait=1.0)
    publish(world.broker(), a_message("b", queue="other"))

    assert task_ids(node.claim("other", wait=ANSWER_WITHIN)) == ["b"]


def test_a_key_of_another_type_does_not_keep_a_node_awake(world, client):
    client.set("q", "of another program")
    node = world.node()
    claim = waiting(node, "q", "good")
    before = calls(client, "evalsha")

    time.sleep(0.5)

    assert calls(client, "evalsha") - before <= 1
    publish(world.broker(), a_message(queue="good"))
    assert len(claim.result(ANSWER_WITHIN).deliveries) == 1


def test_a_node_whose_notices_were_cut_off_is_woken_within_seconds(world, client):
    node = world.node()
    claim = waiting(node, wait=60)

    for kind in ("pubsub", "normal"):
        client.client_kill_filter(_type=kind, skipme=True)
    publish(world.broker(), a_message())

    try:
        found = claim.result(ANSWER_WITHIN).deliveries
    except BrokerUnavailable:  # the connection that it looked over was killed, too: the loop of a node tries again
        found = node.claim(wait=5.0)
    assert len(found) == 1


def test_without_tracking_a_node_polls(world, client):
    """Proxies and old servers have none."""
    client.execute_command("ACL", "SETUSER", "default", "-client|tracking")
    try:
        node = world.node()
        before = calls(client, "evalsha")
        claim = node.start(node.consumer.claim(["q"], limit=1, wait=10 * ANSWER_WITHIN))
        _until(lambda: calls(client, "evalsha") >= before + 10)  # by then it asks every 200 ms
        before, began = calls(client, "evalsha"), time.monotonic()
        _until(lambda: calls(client, "evalsha") >= before + 4)
        assert time.monotonic() - began > 0.4, "and not in a hot loop"

        publish(world.broker(), a_message())
        assert len(claim.result(ANSWER_WITHIN).deliveries) == 1
    finally:
        client.execute_command("ACL", "SETUSER", "default", "+client|tracking")


def test_a_closed_node_leaves_no_connection_behind(world, client):
    node = world.node()
    waiting(node, wait=0.3)
    node.close()

    _until(lambda: not [one for one in client.client_list() if one["name"].startswith("w1@host")])


def _until(claim) -> None:
    until = time.monotonic() + ANSWER_WITHIN
    while not claim():
        assert time.monotonic() < until, "it never came to be"
        time.sleep(0.01)
