from __future__ import annotations

import socket
import ssl

import pytest

from celeriac.brokers.redis.options import RedisOptions, Tls, read_options
from celeriac.brokers.redis.place import read_place
from celeriac.exceptions import ImproperlyConfigured


class Provider:
    def get_credentials(self):
        return ("secret",)


def read(url="redis://h", said=None, **more):
    return read_options(read_place(url, "broker_url"), said or {}, setting="broker_transport_options", **more)


def test_saying_nothing_leaves_celerys_keys_and_protocol_2():
    assert read().options == RedisOptions()
    assert read().without_effect == ()


@pytest.mark.parametrize(
    ("name", "value", "field", "kept"),
    [
        ("global_keyprefix", "shop:", "global_keyprefix", "shop:"),
        ("sep", ":", "sep", ":"),
        ("priority_steps", [9, 0, 5], "priority_steps", (0, 5, 9)),
        ("priority_steps", range(10), "priority_steps", tuple(range(10))),
        ("queue_order_strategy", "sorted", "queue_order_strategy", "sorted"),
        ("visibility_timeout", 43_200, "visibility_timeout", 43_200.0),
        ("unacked_key", "mine", "unacked_key", "mine"),
        ("unacked_mutex_expire", 60, "unacked_mutex_expire", 60.0),
        ("fanout_prefix", True, "fanout_prefix", "/{db}."),
        ("fanout_prefix", False, "fanout_prefix", ""),
        ("fanout_prefix", "/mine.", "fanout_prefix", "/mine."),
        ("fanout_patterns", False, "fanout_patterns", False),
        ("body_encoding", None, "body_encoding", "utf-8"),
        ("deadletter_queue", "lost", "deadletter_queue", "lost"),
        ("socket_connect_timeout", 2, "connect_timeout", 2.0),
        ("socket_connect_timeout", None, "connect_timeout", None),
        ("socket_keepalive", False, "keepalive", False),
        ("socket_keepalive_options", {socket.TCP_KEEPIDLE: 5}, "keepalive_options", ((socket.TCP_KEEPIDLE, 5),)),
        ("health_check_interval", 0, "check_after", 0.0),
        ("max_connections", 3, "max_connections", 3),
        ("client_name", "shop", "client_name", "shop"),
        ("protocol", 3, "protocol", 3),
        ("publish_wait_replicas", 1, "publish_wait_replicas", 1),
    ],
)
def test_every_option_that_has_an_effect_comes_to_its_field(name, value, field, kept):
    reading = read(said={name: value})

    assert getattr(reading.options, field) == kept
    assert reading.without_effect == ()


@pytest.mark.parametrize(
    ("query", "field", "kept"),
    [
        ("protocol=3", "protocol", 3),
        ("health_check_interval=5", "check_after", 5.0),
        ("socket_keepalive=false", "keepalive", False),
        ("priority_steps=0,5", "priority_steps", (0, 5)),
        ("global_keyprefix=%7Btag%7D%3A", "global_keyprefix", "{tag}:"),
    ],
)
def test_the_query_of_the_url_wins_over_the_settings(query, field, kept):
    reading = read(f"redis://h/0?{query}", {"protocol": 2, "health_check_interval": 9})

    assert getattr(reading.options, field) == kept


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("polling_interval", "do not poll"),
        ("brpop_timeout", "do not poll"),
        ("socket_timeout", "one deadline"),
        ("retry_on_timeout", "repeated"),
        ("ack_emulation", "settled"),
        ("unacked_restore_interval", "steady"),
        ("max_retries", "task_publish_retry_policy"),
        ("visibility_timout", "no such option"),
    ],
)
def test_an_option_without_effect_is_named_with_the_reason(name, reason):
    (sentence,) = read(said={name: 1}).without_effect

    assert f"{name!r} of broker_transport_options has no effect" in sentence
    assert reason in sentence


@pytest.mark.parametrize(
    ("said", "text"),
    [
        ({"protocol": 4}, "'protocol' of broker_transport_options must be 2 or 3, got 4"),
        ({"visibility_timeout": "soon"}, "a number of seconds"),
        ({"visibility_timeout": float("nan")}, "a number of seconds"),
        ({"priority_steps": []}, "whole numbers"),
        ({"queue_order_strategy": "random"}, "'round_robin'"),
        ({"max_connections": -1}, "whole number"),
        ({"socket_keepalive": "maybe"}, "True or False"),
        ({"credential_provider": object()}, "get_credentials"),
        ({"credential_provider": "no.such.module"}, "can be imported"),
        ({"global_keyprefix": 7}, "a text"),
    ],
)
def test_a_value_that_cannot_be_is_refused_by_name(said, text):
    with pytest.raises(ImproperlyConfigured, match=text):
        read(said=said)


def test_a_credential_provider_may_be_an_object_its_class_or_the_path_of_that():
    provider = Provider()

    assert read(said={"credential_provider": provider}).options.credential_provider is provider
    assert isinstance(read(said={"credential_provider": Provider}).options.credential_provider, Provider)
    path = "redis.credentials.UsernamePasswordCredentialProvider"
    assert type(read(said={"credential_provider": path}).options.credential_provider).__module__ == "redis.credentials"


# -- TLS ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spelled", "meant"),
    [
        ("required", "required"),
        ("CERT_REQUIRED", "required"),
        ("optional", "optional"),
        ("CERT_OPTIONAL", "optional"),
        ("none", "none"),
        ("CERT_NONE", "none"),
        ("ssl.CERT_NONE", "none"),
        (ssl.CERT_NONE, "none"),
        (ssl.CERT_OPTIONAL, "optional"),
        (ssl.CERT_REQUIRED, "required"),
        (None, "none"),
    ],
)
def test_certificates_are_asked_for_in_every_spelling(spelled, meant):
    tls = read(use_ssl={"ssl_cert_reqs": spelled}).options.tls

    assert tls is not None
    assert tls.verify == meant
    assert tls.check_hostname is (meant != "none")


def test_the_scheme_encrypts_and_the_query_says_how():
    tls = read(
        "rediss://h?ssl_ca_certs=/ca.pem&ssl_certfile=/c.pem&ssl_keyfile=/k.pem&ssl_cert_reqs=optional"
    ).options.tls

    assert tls == Tls(verify="optional", ca_certs="/ca.pem", certfile="/c.pem", keyfile="/k.pem")


def test_without_a_word_certificates_are_checked():
    assert read("rediss://h").options.tls == Tls()
    assert read("redis://h", use_ssl=True).options.tls == Tls()
    assert read("redis://h", use_ssl=False).options.tls is None


def test_names_that_other_brokers_have_for_files_are_understood():
    tls = read(
        use_ssl={"ca_certs": "/ca.pem", "keyfile": "/k", "certfile": "/c", "cert_reqs": ssl.CERT_NONE}
    ).options.tls

    assert tls == Tls(verify="none", check_hostname=False, ca_certs="/ca.pem", keyfile="/k", certfile="/c")


def test_what_is_said_about_tls_in_vain_is_named():
    assert "'ssl_sni' of broker_use_ssl has no effect" in read(use_ssl={"ssl_sni": 1}).without_effect[0]
    assert "rediss://" in read("redis://h?ssl_cert_reqs=none").without_effect[0]


def test_wrong_requirements_are_refused():
    with pytest.raises(ImproperlyConfigured, match="CERT_REQUIRED"):
        read("rediss://h?ssl_cert_reqs=maybe")


# -- sentinels ----------------------------------------------------------------------------------------------------


def test_a_master_has_a_name_or_is_asked_for():
    reading = read("sentinel://a;b", {"master_name": "mymaster", "min_other_sentinels": 1})

    assert reading.place.master_name == "mymaster"
    assert reading.options.sentinel.min_other_sentinels == 1
    with pytest.raises(ImproperlyConfigured, match="'master_name'"):
        read("sentinel://a;b")


def test_places_with_masters_of_different_names_are_different_servers():
    one, two = (read("sentinel://a", {"master_name": name}).place for name in ("one", "two"))

    assert one.server != two.server


def test_sentinels_have_passwords_and_tls_of_their_own():
    kwargs = {"password": "sesame", "ssl": True, "ssl_cert_reqs": "none", "socket_timeout": 1}
    reading = read("sentinel://a", {"master_name": "m", "sentinel_kwargs": kwargs})

    assert (reading.options.sentinel.password, reading.options.tls) == ("sesame", None)
    assert reading.options.sentinel.tls == Tls(verify="none", check_hostname=False)
    assert "'socket_timeout' of sentinel_kwargs has no effect" in reading.without_effect[0]
    assert "sesame" not in repr(reading)


def test_a_hash_tag_in_the_prefix_says_on_which_shard_everything_is():
    assert read(said={"global_keyprefix": "{shop}:"}).place.shard == "shop"
    assert read(said={"global_keyprefix": "shop:"}).place.shard == ""
    assert read(said={"global_keyprefix": "{}:"}).place.shard == ""
