from __future__ import annotations

import pytest

from celeriac.brokers.amqp.place import Unsaid, read_place
from celeriac.exceptions import ImproperlyConfigured


def test_what_a_url_does_not_say_is_as_rabbitmq_comes():
    place = read_place("amqp://", "broker_url")

    [endpoint] = place.endpoints
    assert (endpoint.host, endpoint.port, endpoint.username, endpoint.password) == ("localhost", 5672, "guest", "guest")
    assert place.virtual_host == "/"
    assert not place.encrypted


@pytest.mark.parametrize(
    ("url", "virtual_host"),
    [("amqp://h", "/"), ("amqp://h/", "/"), ("amqp://h//", "/"), ("amqp://h/%2F", "/"), ("amqp://h/shop", "shop")],
)
def test_the_virtual_host_is_the_path(url, virtual_host):
    assert read_place(url, "broker_url").virtual_host == virtual_host


def test_who_logs_in_is_decoded_and_never_shown():
    place = read_place("amqps://me%40home:p%2Fw@h:1234/v?heartbeat=10", "broker_url")

    [endpoint] = place.endpoints
    assert (endpoint.username, endpoint.password, endpoint.port) == ("me@home", "p/w", 1234)
    assert place.encrypted
    assert place.said == (("heartbeat", "10"),)
    assert place.url == "amqps://me%40home:********@h:1234/v"
    assert "p/w" not in repr(place)


def test_a_list_takes_what_it_does_not_say_from_its_first_url():
    place = read_place("amqp://u:p@one/v;two:99;amqp://x:y@three/v", "broker_url")

    assert [(one.address, one.username) for one in place.endpoints] == [
        ("one:5672", "u"),
        ("two:99", "u"),
        ("three:5672", "x"),
    ]
    assert place.virtual_host == "v"


@pytest.mark.parametrize("url", ["amqp://one/a;amqp://two/b", "amqp://one;amqps://two", "amqp://one:port"])
def test_what_does_not_fit_is_refused(url):
    with pytest.raises(ImproperlyConfigured, match="broker_url"):
        read_place(url, "broker_url")


def test_settings_say_what_the_url_does_not():
    unsaid = Unsaid(host="h", port=1, username="u", password="p", virtual_host="v")

    place = read_place("amqp://", "broker_url", unsaid)

    assert place.endpoints[0].address == "h:1"
    assert place.virtual_host == "v"
