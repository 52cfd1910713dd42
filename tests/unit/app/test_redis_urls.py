from __future__ import annotations

import json
import subprocess
import sys

import pytest
import redis

from celeriac import Celery
from celeriac.app.stores import REDIS_SCHEMES
from celeriac.backends.redis import RedisBackend
from celeriac.brokers.redis.broker import RedisBroker
from celeriac.brokers.redis.place import SCHEMES


def test_every_scheme_of_redis_is_known_where_urls_are_read():
    assert REDIS_SCHEMES == SCHEMES


@pytest.mark.parametrize("url", ["redis://cache/3", "valkey://cache:6380", "rediss://cache", "unix:///run/redis.sock"])
def test_a_url_of_redis_makes_a_broker_and_a_backend(url: str):
    app = Celery(broker=url, backend=url, set_as_current=False)

    assert isinstance(app.broker, RedisBroker)
    assert isinstance(app.backend, RedisBackend)
    assert app.backend.place.server == app.broker.place.server


def test_a_broker_on_redis_alone_keeps_no_results():
    app = Celery(broker="redis://cache/3", set_as_current=False)

    assert app.backend is None


def test_who_does_not_use_redis_does_not_import_it():
    program = "import sys, celeriac; celeriac.Celery(broker='memory://').broker; print(*sys.modules)"

    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)

    assert not [name for name in said.stdout.split() if name.startswith(("redis", "celeriac.brokers.redis"))]


def test_messages_for_redis_name_a_queue_for_answers_as_celerys_do(redis_db: str):
    app = Celery(broker=redis_db, set_as_current=False)

    app.send_task("shop.pay", reply_to="mine")
    app.send_task("shop.pay")

    with redis.Redis.from_url(redis_db) as client:
        answered, usual = (json.loads(text)["properties"] for text in client.lrange("celery", 0, -1)[::-1])
    assert answered["reply_to"] == "mine"
    assert list(usual)[:3] == ["correlation_id", "reply_to", "delivery_mode"]
    assert usual["reply_to"] == app.thread_oid
