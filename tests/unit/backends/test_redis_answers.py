"""How long results in Redis are waited for: `redis_socket_timeout` and `redis_retry_on_timeout`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from celeriac import Celery
from celeriac.exceptions import BrokerUnavailable
from tests.servers.proxy import Proxy, Way, proxy_to

__all__ = ["proxy_to"]

WITHIN = 0.3


@pytest.fixture
def proxy(redis_db: str, proxy_to: Callable[[int], Proxy]) -> Proxy:
    return proxy_to(int(redis_db.rpartition(":")[2].partition("/")[0]))


def app_behind(proxy: Proxy, **settings: object) -> Celery:
    said = {"redis_socket_timeout": WITHIN, **settings}
    return Celery("answers", broker="memory://", backend=proxy.url(), set_as_current=False, config_source=said)


def test_a_result_is_asked_for_as_long_as_the_setting_says(proxy: Proxy):
    with app_behind(proxy) as app:
        assert app.backend is not None
        assert app.backend.get("x") is None
        proxy.black_hole(Way.DOWN)

        began = time.monotonic()
        with pytest.raises(BrokerUnavailable):
            app.backend.get("x")

        assert WITHIN <= time.monotonic() - began < 10 * WITHIN


def test_what_had_no_answer_in_time_is_asked_once_more_where_that_is_wanted(proxy: Proxy):
    with app_behind(proxy, redis_retry_on_timeout=True) as app:
        assert app.backend is not None
        assert app.backend.get("x") is None
        proxy.black_hole(Way.DOWN)
        later = threading.Timer(1.3 * WITHIN, proxy.heal)
        later.start()

        assert app.backend.get("x") is None

        later.join()
