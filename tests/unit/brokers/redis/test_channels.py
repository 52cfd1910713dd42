from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.brokers.redis.channels import Channels, Inboxes
from celeriac.brokers.redis.keys import Keys
from celeriac.brokers.redis.options import RedisOptions
from celeriac.brokers.redis.place import read_place
from celeriac.brokers.topics import Topic

NAMES = st.sampled_from(["a", "b.c", "worker", "x[y]", "*", "q?", "back\\slash"])
SENTINELS = "sentinel://one;sentinel://two"


def channels(url="redis://localhost/2", **options):
    place = read_place(url, "broker_url")
    return Channels(place, RedisOptions(**options))


def matches(pattern, channel):
    """Redis's glob, of which the patterns here use the star and backslashes."""
    parts = re.findall(r"\\(.)|(.)", pattern)
    regex = "".join(".*" if plain == "*" else re.escape(escaped or plain) for escaped, plain in parts)
    return re.fullmatch(regex, channel) is not None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, ["/2.celeryev/task.sent"]),
        ({"fanout_prefix": ""}, ["celeryev/task.sent"]),
        ({"fanout_prefix": "/shop-{db}."}, ["/shop-2.celeryev/task.sent"]),
        ({"fanout_patterns": False}, ["/2.celeryev"]),
        ({"global_keyprefix": "pfx:"}, ["pfx:/2.celeryev/task.sent"]),
        ({"sentinel_fanout_compat": True}, ["/2.celeryev/task.sent"]),
        (
            {"url": f"{SENTINELS}/2", "sentinel_fanout_compat": True, "global_keyprefix": "p"},
            ["p/2.celeryev/task.sent", "p/{db}.celeryev/task.sent"],
        ),
        ({"url": f"{SENTINELS}/2", "sentinel_fanout_compat": True, "fanout_prefix": "/x."}, ["/x.celeryev/task.sent"]),
    ],
)
def test_options_say_what_channels_are_called(options, said):
    assert channels(**options).of("celeryev", "task.sent") == said


@pytest.mark.parametrize(
    ("topic", "heard"),
    [
        (Topic("celery.pidbox", ""), ["/2.celery.pidbox"]),
        (Topic("celeryev", "#"), ["/2.celeryev", "/2.celeryev/*"]),
        (Topic("celeryev", "worker.#"), ["/2.celeryev/worker*"]),
        (Topic("celeryev", "*.sent"), ["/2.celeryev/*.sent"]),
        (Topic("celeryev", "#.sent.x?"), ["/2.celeryev/*sent.x\\?"]),
    ],
)
def test_topics_become_patterns(topic, heard):
    assert channels().patterns([topic]) == heard


def test_topics_of_one_pattern_are_heard_once():
    assert channels().patterns([Topic("x", ""), Topic("x", "")]) == ["/2.x"]
    assert channels(fanout_patterns=False).patterns([Topic("x", "a.#"), Topic("x")]) == ["/2.x"]


@given(
    pattern=st.lists(st.sampled_from(["a", "b", "[", "?", "\\", "*", "#"]), max_size=4).map(".".join),
    key=st.lists(st.sampled_from(["a", "b", "[", "?", "\\"]), max_size=4).map(".".join),
    exchange=NAMES,
    prefix=NAMES,
    with_keys=st.booleans(),
)
def test_what_a_topic_includes_is_said_where_it_is_heard(pattern, key, exchange, prefix, with_keys):
    topic = Topic(exchange, pattern)
    if not topic.includes(exchange, key):
        return
    names = channels(global_keyprefix=prefix, fanout_patterns=with_keys)

    heard = [one for one in names.patterns([topic]) if any(matches(one, said) for said in names.of(exchange, key))]

    assert heard


def test_only_members_for_the_routing_key_lead_to_lists():
    inboxes = Inboxes(Keys("p:", separator="S"))

    members = [b"oneSSone.reply", b"oneS^x$Sother", b"twoSStwo.reply", b"nonsense", b"SS", b"aSbScSd"]

    assert inboxes.lists_for(members, "one") == [b"p:one.reply", b"p:other"]
    assert inboxes.lists_for(members, "three") == []
    assert inboxes.member("reply", "one") == members[0]
    assert inboxes.table("reply") == b"p:_kombu.binding.reply"
    assert inboxes.lists("reply", "one") == [b"p:one.reply", b"p:one.replyS3", b"p:one.replyS6", b"p:one.replyS9"]


@given(st.text(st.characters(exclude_characters="\0", codec="utf-8")), st.text(st.characters(codec="utf-8")))
def test_an_inbox_is_found_by_its_entry(exchange, routing_key):
    inboxes = Inboxes(Keys())

    assert inboxes.address(inboxes.entry(exchange, routing_key).encode()) == (exchange, routing_key)
