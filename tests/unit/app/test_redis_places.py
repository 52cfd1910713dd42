from __future__ import annotations

import warnings

import pytest

from celeriac import Celery
from celeriac.app.config import Settings
from celeriac.app.stores import InRedis, make_backend, make_broker, read_url
from celeriac.backends.redis import RedisBackend
from celeriac.brokers.redis.broker import RedisBroker
from celeriac.brokers.redis.options import Tls
from celeriac.brokers.redis.place import Endpoint, RedisPlace
from celeriac.exceptions import ImproperlyConfigured, SettingWithoutEffect


def broker_of(url="redis://h/0", **settings) -> RedisBroker:
    conf = Settings({"broker_url": url, **settings} if url else settings, environ={})
    broker = make_broker(conf.broker_url, conf, None)
    assert isinstance(broker, RedisBroker)
    return broker


def backend_of(url="redis://h/1", **settings) -> RedisBackend:
    conf = Settings({"result_backend": url, **settings}, environ={})
    backend = make_backend(conf.result_backend, conf.broker_url, conf, None)
    assert isinstance(backend, RedisBackend)
    return backend


def options_of(backend: RedisBackend):
    return backend._link.options


@pytest.mark.parametrize("scheme", ["redis", "rediss", "valkey", "valkeys", "REDIS"])
def test_urls_of_redis_and_of_valkey_name_places(scheme):
    assert isinstance(read_url(f"{scheme}://h:1/2", "broker_url"), InRedis)


def test_a_list_of_urls_is_one_place():
    place = broker_of(["redis://one/0", "redis://two/0"]).place

    assert [one.host for one in place.endpoints] == ["one", "two"]


def test_messages_and_results_in_two_databases_are_in_one_store():
    broker = broker_of("redis://h/0")
    backend = backend_of("redis://h/1")

    assert broker.place != backend.place
    assert broker.place.server == backend.place.server


def test_settings_of_the_broker_reach_its_connections():
    options = broker_of(
        broker_connection_timeout=2,
        broker_pool_limit=7,
        broker_pool_acquire_timeout=0.5,
        broker_use_ssl=True,
        broker_transport_options={"global_keyprefix": "shop:", "visibility_timeout": 60},
    ).options

    assert (options.connect_timeout, options.max_connections, options.acquire_timeout) == (2, 7, 0.5)
    assert (options.tls, options.global_keyprefix, options.visibility_timeout) == (Tls(), "shop:", 60)


@pytest.mark.parametrize("none", [None, 0])
def test_a_pool_without_limit_has_none(none):
    assert broker_of(broker_pool_limit=none).options.max_connections is None


def test_settings_of_results_reach_their_connections():
    backend = backend_of(
        redis_socket_connect_timeout=2,
        redis_max_connections=3,
        redis_socket_keepalive=True,
        redis_client_name="shop",
        redis_backend_health_check_interval=9,
        redis_backend_use_ssl={"ssl_cert_reqs": "CERT_NONE"},
        redis_backend_credential_provider="redis.credentials.UsernamePasswordCredentialProvider",
        result_backend_transport_options={"global_keyprefix": "shop"},
    )

    options = options_of(backend)
    assert (options.connect_timeout, options.max_connections, options.keepalive) == (2, 3, True)
    assert (options.client_name, options.check_after, options.tls is None) == ("shop", 9, False)
    assert type(options.credential_provider).__name__ == "UsernamePasswordCredentialProvider"
    assert options.global_keyprefix == "shop"


def test_parts_that_a_result_url_does_not_have_come_from_the_settings():
    settings = {"redis_host": "cache", "redis_port": 7, "redis_db": 5, "redis_username": "ann", "redis_password": "pw"}

    assert backend_of("redis://", **settings).place == RedisPlace(
        endpoints=(Endpoint(host="cache", port=7, username="ann", password="pw"),), database=5
    )
    (said,) = backend_of("redis://bob:own@h:8/0", **settings).place.endpoints
    assert (said.host, said.port, said.username, said.password) == ("h", 8, "bob", "own")
    assert backend_of("redis://bob:own@h:8/0", **settings).place.database == 0


def test_the_broker_may_be_said_part_by_part():
    parts = {"broker_host": "h", "broker_port": 7, "broker_user": "u", "broker_password": b"p", "broker_vhost": "/2"}
    broker = broker_of(None, broker_transport="redis", **parts)

    assert broker.place == RedisPlace(endpoints=(Endpoint(host="h", port=7, username="u", password="p"),), database=2)
    conf = Settings({**parts, "broker_vhost": "v"}, environ={})
    assert make_broker(None, conf, None).url == "amqp://u:********@h:7/v", "as with Celery, where no technology is said"


def test_the_names_of_technologies_are_results_there():
    assert backend_of("redis").place == backend_of("redis://localhost:6379/0").place


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"broker_transport_options": {"polling_interval": 1}}, "polling_interval.*do not poll"),
        ({"broker_transport_options": {"visibility_timout": 1}}, "visibility_timout.*no such option"),
    ],
)
def test_what_has_no_effect_is_warned_of_where_the_app_is_used(settings, text):
    app = Celery("shop", broker="redis://h/0", set_as_current=False, **settings)

    with pytest.warns(SettingWithoutEffect, match=text) as caught:
        _ = app.broker

    assert {one.filename for one in caught} == {__file__}


def test_what_has_an_effect_is_not():
    with warnings.catch_warnings(action="error"):
        broker_of(broker_transport_options={"global_keyprefix": "x", "socket_connect_timeout": 1})


def test_a_list_may_be_shuffled_or_ordered_by_a_function():
    urls = [f"redis://h{number}/0" for number in range(8)]

    orders = {broker_of(urls, broker_failover_strategy="shuffle").place.endpoints for _ in range(10)}
    backwards = broker_of(urls, broker_failover_strategy=lambda urls: iter(urls[::-1]))

    assert len(orders) > 1
    assert len({frozenset(order) for order in orders}) == 1
    assert [one.host for one in backwards.place.endpoints] == [f"h{number}" for number in range(7, -1, -1)]
    assert backwards.place.server == broker_of(urls).place.server


def test_a_function_that_cannot_be_found_is_named():
    with pytest.raises(ImproperlyConfigured, match=r"broker_failover_strategy.*'no\.such'"):
        broker_of(["redis://a", "redis://b"], broker_failover_strategy="no.such")


def test_changed_options_make_a_new_broker():
    app = Celery("shop", broker="redis://h/0", set_as_current=False)
    first = app.broker

    app.conf.broker_transport_options = {"global_keyprefix": "shop:"}

    assert app.broker is not first
    assert isinstance(app.broker, RedisBroker)
    assert app.broker.options.global_keyprefix == "shop:"
