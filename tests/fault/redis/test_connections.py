"""What stands between a program and Redis fails in every way it can: nothing is lost or doubled, and nobody hangs."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from celeriac import signature
from celeriac.exceptions import BrokerUnavailable
from tests.fault.redis.streams import (
    Stream,
    assert_all_work,
    repeated,
    start_nodes,
    succeeded,
    wait_done,
    wait_for_progress,
)
from tests.integration.project import Project, wait_until
from tests.servers.proxy import Proxy, Way
from tests.servers.redis import DURABLE
from tests.size import SIZE, late_after, scaled

pytestmark = [pytest.mark.fault, pytest.mark.timeout(600), pytest.mark.waits]

LASTS = 5.0 if SIZE == "full" else 1.0
"""Seconds for which a fault lasts. What lasts longer than a lease is in `test_stopped_nodes.py`."""

RESUMES_WITHIN = late_after(3.0)
"""Seconds after a fault is healed; three are what is promised."""

DEADLINE = 3.0
"""`task_publish_timeout`."""

CALLS = scaled(1_000)
WARM = 3

FAULTS: dict[str, Callable[[Proxy], None]] = {
    "black hole": lambda proxy: proxy.black_hole(),
    "black hole for requests": lambda proxy: proxy.black_hole(Way.UP),
    "black hole for answers": lambda proxy: proxy.black_hole(Way.DOWN),
    "reset": lambda proxy: proxy.reset(),
    "reset of the client alone": lambda proxy: proxy.reset(server=False),
    "reset of the server alone": lambda proxy: proxy.reset(client=False),
    "refusal": lambda proxy: proxy.refuse(),
    "delay": lambda proxy: proxy.delay(0.3),
    "delay of answers": lambda proxy: proxy.delay(0.5, Way.DOWN),
    "delay beyond deadlines": lambda proxy: proxy.delay(6.0),
    "cuts amid requests": lambda proxy: proxy.cut(Way.UP, times=50),
    "cuts amid answers": lambda proxy: proxy.cut(Way.DOWN, times=50),
    "cuts before answers": lambda proxy: proxy.cut(Way.DOWN, keep=0, times=50),
}

each_fault = pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())


@each_fault
def test_nodes_go_on_when_what_lay_between_them_and_the_server_is_healed(
    redis_server, project_on, proxy_to, tell, fault
):
    server = redis_server(*DURABLE)
    proxy = proxy_to(server.port)
    project = project_on(server)
    nodes = start_nodes(project, 2, BROKER=proxy.url(0), BACKEND=proxy.url(1))

    with Stream(project) as stream:
        wait_for_progress(project)
        fault(proxy)
        time.sleep(LASTS)
        proxy.heal()
        resumed = wait_for_progress(project)
        assert_all_work(project, nodes, within=RESUMES_WITHIN)

    wait_done(project)
    told = (
        f"{len(stream.accepted)} tasks, resumed after {resumed:.2f} s, {repeated(project)} runs repeated, "
        f"{proxy.accepted} connections, {proxy.cut_off} cut"
    )
    tell(told)
    for node in nodes:
        assert node.stop() == 0, node.log_end
    assert stream.accepted <= succeeded(project), told
    assert not stream.refused, "calls went to the server directly"
    assert project.dead_reasons() == []
    assert resumed <= RESUMES_WITHIN, told
    project.assert_clean()


@each_fault
def test_calls_end_within_their_deadline_and_work_again_when_it_is_healed(
    redis_server, project_on, proxy_to, tell, fault
):
    server = redis_server(*DURABLE)
    proxy = proxy_to(server.port)
    project = project_on(server, through=proxy)
    node = project.start(BROKER=server.url(0), BACKEND=server.url(1))

    with Stream(project) as stream:
        wait_until(lambda: stream.accepted)
        fault(proxy)
        time.sleep(LASTS)
        proxy.heal()
        healed_at, accepted = time.monotonic(), len(stream.accepted)
        wait_until(lambda: len(stream.accepted) > accepted, within=RESUMES_WITHIN, what="a call that is accepted")
        resumed = time.monotonic() - healed_at

    wait_done(project)
    runs = project.runs()
    told = (
        f"{len(stream.accepted)} accepted, {stream.refused} refused, {len(stream.unsure)} unsure, the slowest took "
        f"{stream.slowest:.2f} s, resumed after {resumed:.2f} s"
    )
    tell(told)
    assert node.stop() == 0
    done = succeeded(project)
    assert stream.accepted <= done <= stream.accepted | stream.unsure, told
    assert runs.total() == len(runs), f"{runs.most_common(3)}: no call was published twice"
    assert stream.slowest <= late_after(DEADLINE), told
    project.assert_clean()


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("keep", [0, 0.5], ids=["before the answer", "amid the answer"])
def test_a_call_whose_answer_is_cut_off_is_published_once(redis_server, project_on, proxy_to, keep, times):
    server = redis_server()
    proxy = proxy_to(server.port)
    project = project_on(server, through=proxy)
    warm_up(project)

    for number in range(20):
        proxy.cut(Way.DOWN, keep=keep, times=times, after=b"EVALSHA")
        project.call("noted", f"call-{number}", task_id=f"call-{number}")

    assert proxy.cut_off == 20 * times
    kept = [one.task_id for one in project.kept() if one.task_id.startswith("call")]
    assert sorted(kept) == sorted(f"call-{number}" for number in range(20))


def test_a_batch_whose_answer_is_cut_off_is_published_once(redis_server, project_on, proxy_to):
    server = redis_server()
    proxy = proxy_to(server.port)
    project = project_on(server, through=proxy)
    project.app.conf.update(task_publish_timeout=60)  # ten megabytes go three times through the proxy
    warm_up(project)
    count = scaled(100_000)
    project.app.conf.task_publish_timeout = 30  # megabytes, three times, through a proxy on a busy machine

    proxy.cut(Way.DOWN, keep=0, times=2, after=b"EVALSHA")
    ids = project.app.sender.send_many("tasks.noted", [((str(n),), {}) for n in range(count)])

    assert proxy.cut_off == 2
    kept = [one.task_id for one in project.kept()]
    assert len(kept) == count + WARM
    assert set(ids) < set(kept)


def test_what_was_sent_on_its_way_before_its_repeat_changes_nothing_when_it_arrives(redis_server, project_on, proxy_to):
    """The call gives up on a connection whose bytes are still on their way, and repeats itself over another."""
    server = redis_server()
    proxy = proxy_to(server.port)
    project = project_on(server, through=proxy)
    warm_up(project)

    proxy.black_hole(Way.UP)
    with pytest.raises(BrokerUnavailable) as raised:
        project.call("noted", "late", task_id="late")
    proxy.heal()
    wait_until(lambda: len(project.kept()) == WARM + 1, what="what was on its way")
    project.call("noted", "after")

    assert raised.value.maybe_published
    texts = [one.headers["argsrepr"] for one in project.kept()]
    assert sorted(texts) == ["('after',)", *["('before',)"] * WARM, "('late',)"]


def test_no_cut_answer_of_a_settlement_doubles_or_loses_what_follows(redis_server, project_on, proxy_to, tell):
    server = redis_server(*DURABLE)
    proxy = proxy_to(server.port)
    project = project_on(server)
    nodes = start_nodes(project, 2, BROKER=proxy.url(0), BACKEND=proxy.url(1))

    for number in range(CALLS):
        then = signature("tasks.noted", (f"then-{number}",), immutable=True, task_id=f"then-{number}")
        project.call("noted", f"first-{number}", 0.002, task_id=f"first-{number}", link=then)
        if number % 5 == 0:
            proxy.cut(Way.DOWN, keep=0.5 * (number % 2), after=b"EVALSHA")

    wait_done(project)
    told = f"{CALLS} tasks and their callbacks, {proxy.cut_off} answers cut off, {repeated(project)} runs repeated"
    tell(told)
    for node in nodes:
        assert node.stop() == 0, node.log_end
    assert proxy.cut_off > CALLS // 20, told
    assert succeeded(project) == {f"{name}-{number}" for name in ("first", "then") for number in range(CALLS)}
    assert {count for name, count in project.runs().items() if name.startswith("then")} == {1}, told
    project.assert_clean()


def warm_up(project: Project) -> None:
    """Call until the server knows the scripts by their digests: an unknown one does nothing when it arrives late."""
    for _ in range(WARM):
        project.call("noted", "before")
