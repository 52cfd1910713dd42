from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.masking import MASK, is_secret, masked, masked_url

URLS = [
    ("redis://cache:6379/0", "redis://cache:6379/0"),
    ("redis://:secret@cache:6379/0", "redis://:********@cache:6379/0"),
    ("amqp://guest:secret@host/v?x=1", "amqp://guest:********@host/v?x=1"),
    ("amqp://guest@host//", "amqp://guest@host//"),
    ("sqlite:////srv/q.sqlite3", "sqlite:////srv/q.sqlite3"),
    ("redis://:p/w?d#x@cache/0", "redis://:********@cache/0"),
    ("redis://u:a@b@cache/0", "redis://u:********@cache/0"),
    (
        "sentinel://:secret@one:26379;sentinel://:secret@two:26379/0",
        "sentinel://:********@one:26379;sentinel://:********@two:26379/0",
    ),
    ("sentinel://one:26379;two:26379/0", "sentinel://one:26379;two:26379/0"),
    ("cache+memcached://u:secret@one:11211;two:11211/", "cache+memcached://u:********@one:11211;two:11211/"),
    ("redis://cache/0?password=secret&x=1", "redis://cache/0?password=********&x=1"),
    ("https://store/box?sv=1&sig=secret", "https://store/box?sv=1&sig=********"),
    (
        "azureblockblob://DefaultEndpointsProtocol=https;AccountName=me;AccountKey=c2Vj/cmV0==;EndpointSuffix=net",
        "azureblockblob://DefaultEndpointsProtocol=https;AccountName=me;AccountKey=********;EndpointSuffix=net",
    ),
    ("rpc", "rpc"),
    ("", ""),
]

WORDS = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=8)


@pytest.mark.parametrize(("url", "shown"), URLS)
def test_a_url_is_shown_without_its_password(url, shown):
    assert masked_url(url) == shown


@given(WORDS, st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1).map("q{}Z9".format), WORDS)
def test_no_part_of_a_url_shows_a_password_whatever_is_in_it(user, password, host):
    url = f"amqp://{user}:{password.replace('://', '')}@{host}:5672//"

    assert masked_url(url) == f"amqp://{user}:********@{host}:5672//"


@given(st.lists(st.tuples(WORDS, WORDS.map("Q1{}z".format)), min_size=1, max_size=4))
def test_of_several_urls_each_is_shown_without_its_password(servers):
    url = ";".join(f"redis://:{password}@{host}" for host, password in servers)

    assert masked_url(url) == ";".join(f"redis://:********@{host}" for host, _ in servers)


@given(st.text())
def test_masking_twice_is_masking_once(url):
    assert masked_url(masked_url(url)) == masked_url(url)


@pytest.mark.parametrize(
    "name",
    [
        "API_x",
        "auth_token",
        "task_default_routing_key",
        "client_secret",
        "redis_password",
        "PROFANITIES_LIST",
        "signature",
        "database_url",
        "beat_dburi",
    ],
)
def test_names_that_celery_hides_are_hidden(name):
    assert is_secret(name)
    assert masked(name, "anything") == MASK
    assert masked(name, 7) == MASK


def test_that_nothing_is_set_is_no_secret():
    assert masked("redis_password", None) is None


def test_what_is_inside_of_dicts_and_lists_is_hidden_too():
    options = {"host": "db", "password": "hunter2", "more": [{"api_key": 1}, "redis://:x@cache"], "pair": ("a", 2)}

    assert masked("mongodb_backend_settings", options) == {
        "host": "db",
        "password": MASK,
        "more": [{"api_key": MASK}, "redis://:********@cache"],
        "pair": ("a", 2),
    }


def test_other_values_stay_as_they_are():
    assert masked("task_time_limit", 3.5) == 3.5
    assert masked("task_default_queue", "mail") == "mail"
