"""`amqps://` with an authority of one's own: who calls, and who works."""

from __future__ import annotations

import time

import pytest

from bench.redis_server import free_port
from celeriac.app.config import Settings
from celeriac.app.stores import make_broker
from celeriac.brokers.base import Broker, Incarnation
from celeriac.exceptions import BrokerUnavailable
from celeriac.testing.worlds import a_message
from tests.servers.certificates import make_certificates


@pytest.mark.timeout(300)
async def test_callers_and_workers_speak_encrypted_and_know_each_other_by_certificates(tmp_path, rabbitmq_server):
    made, port = make_certificates(tmp_path), free_port()
    rabbitmq_server(
        f"listeners.ssl.1 = 127.0.0.1:{port}",
        f"ssl_options.cacertfile = {made.authority}",
        f"ssl_options.certfile = {made.certificate('server')}",
        f"ssl_options.keyfile = {made.key('server')}",
        "ssl_options.verify = verify_peer",
        "ssl_options.fail_if_no_peer_cert = true",
    )
    ours = {"certfile": made.certificate("client"), "keyfile": made.key("client")}

    def broker(**use_ssl: object) -> Broker:
        url = f"amqps://guest:guest@localhost:{port}//"
        settings = {
            "broker_url": url,
            "broker_use_ssl": use_ssl or True,
            "broker_transport_options": {"max_retries": 0},
        }
        conf = Settings(settings, environ={})
        return make_broker(conf.broker_url, conf, None)

    known = broker(ca_certs=made.authority, **ours)
    known.publish([a_message("id", queue="q")], deadline_at=soon())
    consumer = known.consumer(Incarnation.begin("w"))
    await consumer.open()
    claim = await consumer.claim(["q"], limit=1, wait=60)
    await consumer.close()
    known.close()

    assert [one.message.task_id for one in claim.deliveries] == ["id"]
    with pytest.raises(BrokerUnavailable, match=r"do not agree on TLS.*broker_use_ssl"):
        broker(**ours).publish([a_message("id", queue="q")], deadline_at=soon())
    with pytest.raises(BrokerUnavailable):
        broker(ca_certs=made.authority).publish([a_message("id", queue="q")], deadline_at=soon())
    with pytest.raises(BrokerUnavailable):
        await broker(**ours).consumer(Incarnation.begin("w")).open()


def soon() -> float:
    return time.monotonic() + 60
