from __future__ import annotations

import pytest

from celeriac.brokers.redis.place import Endpoint, read_place
from celeriac.exceptions import ImproperlyConfigured


def read(url):
    return read_place(url, "broker_url")


@pytest.mark.parametrize("scheme", ["redis", "valkey"])
def test_a_bare_url_is_database_0_of_the_standard_port(scheme):
    place = read(f"{scheme}://")

    assert place.endpoints == (Endpoint(host="localhost", port=6379),)
    assert (place.database, place.encrypted, place.sentinel) == (0, False, False)


def test_every_part_of_a_url_is_read():
    place = read("rediss://ann:p%40ss%2Fw@cache.example:7000/3?ssl_cert_reqs=none&protocol=3")

    assert place.endpoints == (Endpoint(host="cache.example", port=7000, username="ann", password="p@ss/w"),)
    assert (place.database, place.encrypted) == (3, True)
    assert place.said == (("ssl_cert_reqs", "none"), ("protocol", "3"))


@pytest.mark.parametrize(
    ("url", "username", "password"),
    [
        ("redis://:secret@h", None, "secret"),
        ("redis://ann@h", "ann", None),
        ("redis://ann:@h", "ann", None),
        ("redis://ann:a@b:c@h", "ann", "a@b:c"),
        ("redis://:with/slashes@h", None, "with/slashes"),
        ("redis://:se?cret#x@h/1", None, "se?cret#x"),
    ],
)
def test_a_password_may_be_alone_missing_or_hard_to_read(url, username, password):
    (endpoint,) = read(url).endpoints

    assert (endpoint.host, endpoint.username, endpoint.password) == ("h", username, password)


def test_a_host_may_be_an_address_of_ipv6():
    assert read("redis://[::1]:7000/2").endpoints == (Endpoint(host="::1", port=7000),)
    assert read("redis://[fe80::1]").endpoints == (Endpoint(host="fe80::1"),)
    assert read("redis://[::1]:7000/2").url == "redis://[::1]:7000/2"


@pytest.mark.parametrize("scheme", ["redis+socket", "unix"])
def test_a_socket_has_its_database_in_the_query(scheme):
    place = read(f"{scheme}://:pw@/run/redis/my%20one.sock?virtual_host=4")

    assert place.endpoints == (Endpoint(path="/run/redis/my one.sock", password="pw"),)
    assert (place.database, place.said) == (4, ())


def test_sentinels_share_what_the_first_url_says():
    place = read("sentinel://:pw@one:26380/2;sentinel://two;three:1")

    assert place.sentinel
    assert [(one.host, one.port, one.password) for one in place.endpoints] == [
        ("one", 26380, "pw"),
        ("two", 26379, "pw"),
        ("three", 1, "pw"),
    ]
    assert place.database == 2


def test_a_failover_list_keeps_users_of_its_own():
    place = read("redis://a:1@one/1; redis://b:2@two/1 ;redis://three")

    assert [(one.host, one.username) for one in place.endpoints] == [("one", "a"), ("two", "b"), ("three", "a")]


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("redis://h:port/0", "port"),
        ("redis://h:70000", "65535"),
        ("redis://h/name", "number of a database"),
        ("redis://h/-1", "number of a database"),
        ("redis+socket://", "names no socket"),
        ("redis://a/0;redis://b/1", "one database"),
        ("redis://a;rediss://b", "one scheme"),
    ],
)
def test_what_names_no_place_is_refused_with_a_cure(url, text):
    with pytest.raises(ImproperlyConfigured, match=text):
        read(url)


@pytest.mark.parametrize("url", ["redis://ann:secret@h/0", "redis://:secret@h:x", "redis://a:secret@h/0;redis://g/1"])
def test_no_password_is_shown(url):
    try:
        place = read(url)
        shown = f"{place!r} {place.url} {place.address} {place.server} {place.endpoints}"
    except ImproperlyConfigured as error:
        shown = str(error)

    assert "secret" not in shown
    assert "h" in shown


@pytest.mark.parametrize(
    "url",
    [
        "redis://ann:********@h:6379/0",
        "rediss://h:1/2",
        "redis+socket:///run/r.sock?virtual_host=1",
        "sentinel://one:26379/0;sentinel://two:26379/0",
    ],
)
def test_a_place_shows_as_a_url_that_names_it(url):
    place = read(url)

    assert place.url == url
    assert read(place.url).server == place.server


def test_databases_of_one_server_are_one_server_and_others_are_not():
    assert read("redis://h/1").server == read("redis://H:6379/2").server
    assert read("redis://h/1").server != read("redis://h:6380/1").server
    assert read("redis://h/1").server != read("redis://ann@h/1").server
    assert read("redis://h").server != read("sentinel://h:6379").server
    assert hash(read("redis://h/1").server) == hash(read("redis://h").server)
