from __future__ import annotations

import socket
import ssl
import warnings

import pytest

from celeriac import Celery
from celeriac.app.config import Settings
from celeriac.app.stores import make_broker
from celeriac.brokers.amqp.broker import AmqpBroker
from celeriac.exceptions import ImproperlyConfigured, SettingWithoutEffect


def broker_of(url="amqp://h//", **settings) -> AmqpBroker:
    conf = Settings({"broker_url": url, **settings}, environ={})
    broker = make_broker(conf.broker_url, conf, None)
    assert isinstance(broker, AmqpBroker)
    return broker


def test_a_list_of_urls_is_one_place():
    assert [one.host for one in broker_of(["amqp://one//", "amqp://two//"]).place.endpoints] == ["one", "two"]


def test_a_list_may_be_shuffled_or_ordered_by_a_function():
    urls = [f"amqp://h{number}//" for number in range(8)]

    orders = {broker_of(urls, broker_failover_strategy="shuffle").place.endpoints for _ in range(10)}
    backwards = broker_of(urls, broker_failover_strategy=lambda addresses: iter(addresses[::-1]))

    assert len(orders) > 1
    assert len({frozenset(order) for order in orders}) == 1
    assert [one.host for one in backwards.place.endpoints] == [f"h{number}" for number in range(7, -1, -1)]


def test_settings_reach_the_connections():
    options = broker_of(
        broker_connection_timeout=2,
        broker_heartbeat=9.5,
        broker_login_method="AMQPLAIN",
        broker_pool_limit=7,
        broker_pool_acquire_timeout=0.5,
        task_create_missing_queue_type="quorum",
        broker_native_delayed_delivery_queue_type="classic",
    ).options

    assert (options.connect_timeout, options.heartbeat, options.login_method) == (2, 10, "AMQPLAIN")
    assert (options.max_connections, options.acquire_timeout) == (7, 0.5)
    assert (options.queue_type, options.delayed_queue_type) == ("quorum", "classic")


def test_callers_and_nodes_declare_alike_what_is_not_listed():
    app = Celery("app", broker="amqp://h//", set_as_current=False)
    app.conf.task_default_queue_type = "quorum"
    assert isinstance(app.broker, AmqpBroker)
    by_caller = app.broker._routes.needs_of("not listed")

    app.select_queues(["not listed"])

    assert app.broker._routes.needs_of("not listed") == by_caller
    assert app.broker._routes.is_quorum("celery")


def test_a_silent_node_is_noticed_soon_unless_somebody_says_otherwise():
    assert broker_of().options.heartbeat == 4
    assert broker_of(broker_heartbeat=120).options.heartbeat == 120
    assert broker_of(broker_heartbeat=None).options.heartbeat == 0


@pytest.mark.parametrize("none", [None, 0])
def test_a_pool_without_limit_has_none(none):
    assert broker_of(broker_pool_limit=none).options.max_connections is None


def test_transport_options_reach_the_connections_and_those_of_the_url_win():
    options = broker_of(
        "amqp://h//?heartbeat=7",
        broker_transport_options={
            "client_properties": {"connection_name": "shop"},
            "confirm_publish": True,
            "heartbeat": 5,
            "interval_max": 1,
            "interval_start": 0.1,
            "interval_step": 0.5,
            "login_method": "PLAIN",
            "max_retries": 3,
            "socket_settings": {socket.TCP_KEEPIDLE: 30},
        },
    ).options

    assert dict(options.client_properties) == {"connection_name": "shop"}
    assert options.socket_settings == ((socket.TCP_KEEPIDLE, 30),)
    assert (options.heartbeat, options.login_method) == (7, "PLAIN")
    assert list(options.naps()) == [0.1, 0.6, 1]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"confirm_publish": False}, "confirm_publish.*always"),
        ({"read_timeout": 5}, "read_timeout.*one deadline"),
        ({"visibility_timeout": 5}, "visibility_timeout.*when its connection ends"),
        ({"confirm_publsh": True}, "confirm_publsh.*no such option"),
    ],
)
def test_what_has_no_effect_is_warned_of_where_the_app_is_used(options, text):
    app = Celery("shop", broker="amqp://h//", broker_transport_options=options, set_as_current=False)

    with pytest.warns(SettingWithoutEffect, match=text) as caught:
        _ = app.broker

    assert {one.filename for one in caught} == {__file__}


def test_what_has_an_effect_is_not():
    with warnings.catch_warnings(action="error"):
        broker_of(broker_transport_options={"confirm_publish": True, "max_retries": 3})


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"broker_transport_options": {"max_retries": -1}}, r"'max_retries' of broker_transport_options"),
        ({"broker_transport_options": {"client_properties": "x"}}, r"'client_properties'.*dict"),
        ({"broker_transport_options": {"heartbeat": "soon"}}, r"'heartbeat'.*seconds"),
        ({"broker_use_ssl": {"ca_certs": "/no/such.pem"}}, r"broker_use_ssl cannot be used.*No such file"),
        ({"broker_use_ssl": {"cert_reqs": 77}}, r"cert_reqs"),
        ({"broker_use_ssl": {"certs": "x"}}, r"says certs.*it knows ca_certs"),
    ],
)
def test_what_cannot_be_is_an_error_that_names_it(settings, text):
    with pytest.raises(ImproperlyConfigured, match=text):
        broker_of(**settings)


def test_a_url_that_asks_for_no_encryption_says_nothing_of_it():
    with pytest.raises(ImproperlyConfigured, match="amqps://"):
        broker_of("amqp://h//?ssl_ca_certs=/ca.pem")


@pytest.mark.parametrize(
    ("url", "settings"),
    [
        ("amqps://h//", {}),
        ("amqp://h//", {"broker_use_ssl": True}),
        ("amqp://h//", {"broker_use_ssl": {"ssl_cert_reqs": "CERT_REQUIRED"}}),
        ("amqp://h//?ssl=true", {}),
        ("amqp://h//", {"broker_transport_options": {"ssl": True}}),
    ],
)
def test_encryption_is_asked_for_in_several_ways_and_checks_whom_it_talks_to(url, settings):
    tls = broker_of(url, **settings).options.tls

    assert tls is not None
    assert tls.verify_mode == ssl.CERT_REQUIRED
    assert tls.check_hostname


def test_whom_it_talks_to_may_be_left_unchecked():
    options = broker_of("amqps://h//", broker_use_ssl={"cert_reqs": ssl.CERT_NONE, "server_hostname": "other"}).options

    assert options.tls is not None
    assert options.tls.verify_mode == ssl.CERT_NONE
    assert options.tls_hostname == "other"
