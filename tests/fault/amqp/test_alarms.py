"""RabbitMQ is short of memory or disk: calls end in time and say why, nodes live through it, and work goes on after."""

from __future__ import annotations

import time

import pytest

from bench.rabbitmq_server import RabbitServer
from celeriac.exceptions import BrokerFull
from tests.integration.project import wait_until
from tests.size import late_after

pytestmark = [pytest.mark.fault, pytest.mark.timeout(240)]

DEADLINE = 3.0

ALARMS = {
    "memory": ("set_vm_memory_high_watermark", "0.00001", "0.8"),
    "disk": ("set_disk_free_limit", "100000GB", "1MB"),
}


@pytest.fixture
def server(rabbitmq_server) -> RabbitServer:
    return rabbitmq_server("vm_memory_high_watermark.relative = 0.8", "disk_free_limit.absolute = 1MB")


@pytest.mark.parametrize("name", ALARMS)
def test_an_alarm_is_told_to_callers_and_outlived_by_nodes(server, redis_server, project_on, name):
    command, tight, loose = ALARMS[name]
    project = project_on(server, results_on=redis_server())
    node = project.start()
    plain = project.call("gated", "plain", "plain-gate")
    follower = project.app.signature("tasks.noted", ("follower",), immutable=True)
    followed = project.call("gated", "followed", "followed-gate", link=follower)
    for begun in ("plain", "followed"):
        project.wait_begun(begun)
    server.ctl(command, tight)
    wait_until(lambda: alarms(server), what="an alarm")

    began_at = time.monotonic()
    with pytest.raises(BrokerFull, match=f"takes no messages now, it says: low on {name}"):
        project.call("add", 1, 2)
    took = time.monotonic() - began_at
    project.open_gate("plain-gate")
    assert plain.get(timeout=60), "what has no followers ends as usual"
    project.open_gate("followed-gate")
    node.wait_for_log("takes no messages now", within=60)
    server.ctl(command, loose)
    wait_until(lambda: not alarms(server), what="its end")

    assert took <= late_after(DEADLINE)
    assert followed.get(timeout=60)
    project.wait_begun("follower")
    assert project.call("add", 3, 4).get(timeout=60) == 7
    assert node.stop() == 0, node.log_end


def alarms(server: RabbitServer) -> bool:
    return "resource_limit" in server.ctl("eval", "rabbit_alarm:get_alarms().")
