from __future__ import annotations

import time

import pytest

from bench.redis_server import free_port
from celeriac.brokers.redis.link import Link
from celeriac.brokers.redis.options import RedisOptions, read_options
from celeriac.brokers.redis.place import read_place
from celeriac.brokers.redis.server import ServerFacts, concerns, described, facts_of, read_facts, refuse
from celeriac.exceptions import ImproperlyConfigured

GOOD = ServerFacts(version="7.0.15", compatible=(7, 0, 15), policy="noeviction", appendonly=True, fsync="everysec")

VALKEY = b"""# Server\r
redis_version:7.2.4\r
server_name:valkey\r
valkey_version:8.0.1\r
server_mode:standalone\r
run_id:abc\r
\r
# Memory\r
maxmemory:1000\r
maxmemory_policy:allkeys-lru\r
aof_enabled:0\r
"""


def soon():
    return time.monotonic() + 30


def link_to(url, **options):
    return Link(read_place(url, "broker_url"), RedisOptions(**options))


def test_a_server_is_read_as_it_describes_itself():
    facts = facts_of(VALKEY, [b"appendfsync", b"always"], [b"save", b""])

    assert facts == ServerFacts(
        software="valkey",
        version="8.0.1",
        compatible=(7, 2, 4),
        run_id="abc",
        maxmemory=1000,
        policy="allkeys-lru",
        appendonly=False,
        fsync="always",
        saves=False,
    )
    assert described(facts) == "valkey 8.0.1, standalone, no persistence, allkeys-lru"


def test_a_server_that_tells_nothing_is_neither_refused_nor_worried_about():
    facts = facts_of(None, None, None)

    refuse(facts, "h:1", RedisOptions())
    assert concerns(facts, keeps_messages=True) == []


def test_a_real_server_is_read_in_both_protocols(redis_server):
    server = redis_server("--appendonly", "yes", "--appendfsync", "always", "--save", "")

    for protocol in (2, 3):
        facts = read_facts(link_to(server.url(), protocol=protocol), deadline_at=soon())
        assert (facts.appendonly, facts.fsync, facts.saves, facts.mode) == (True, "always", False, "standalone")
        assert facts.compatible >= (6, 2)
        assert concerns(facts, keeps_messages=True) == []


def test_what_a_user_may_not_ask_is_not_known(redis_server):
    server = redis_server(*["--user", "default", "on", "nopass", "~*", "&*", "+@all", "-config", "-info"])
    link = link_to(server.url())

    assert link.call("PING", deadline_at=soon()) == b"PONG"
    assert read_facts(link, deadline_at=soon()) == ServerFacts()


@pytest.mark.parametrize("version", ["6.2.0", "7.0.15", "255.255.255"])
def test_versions_from_6_2_are_taken(version):
    refuse(facts_of(f"redis_version:{version}"), "h:1", RedisOptions())


@pytest.mark.parametrize("version", ["6.0.16", "5.0.7", "2.8"])
def test_an_old_server_is_refused_with_both_versions(version):
    with pytest.raises(ImproperlyConfigured, match=rf"redis at h:1 is version {version}; celeriac needs 6\.2"):
        refuse(facts_of(f"redis_version:{version}"), "h:1", RedisOptions())


def test_a_cluster_is_refused_at_the_first_connection_unless_all_keys_have_one_hash_tag(redis_server):
    server = redis_server("--cluster-enabled", "yes", "--cluster-port", str(free_port()), "--save", "")
    with pytest.raises(ImproperlyConfigured, match="hash tag"):
        link_to(server.url()).call("PING", deadline_at=soon())

    reading = read_options(read_place(server.url(), "broker_url"), {"global_keyprefix": "{shop}:"}, setting="x")
    link = Link(reading.place, reading.options)
    own = link_to(server.url())
    own._checked = True
    own.call("CLUSTER", "ADDSLOTSRANGE", 0, 16383, deadline_at=soon())

    assert link.call("SET", "{shop}:key", 1, deadline_at=soon()) == b"OK"


@pytest.mark.parametrize(
    ("changed", "found", "cure"),
    [
        ({"policy": "allkeys-lru", "maxmemory": 1}, "deletes messages", "maxmemory-policy noeviction"),
        ({"policy": "volatile-ttl"}, "once maxmemory is set", "noeviction"),
        ({"appendonly": False, "saves": False}, "a restart loses all messages", "appendonly yes"),
        ({"appendonly": False, "saves": True}, "snapshots only", "appendonly yes"),
        ({"fsync": "no"}, "appendfsync is no", "everysec"),
    ],
)
def test_what_endangers_messages_is_said_with_its_cure(changed, found, cure):
    facts = ServerFacts(**{**{name: getattr(GOOD, name) for name in GOOD.__struct_fields__}, **changed})

    (concern,) = concerns(facts, keeps_messages=True)

    assert found in concern.found
    assert cure in concern.cure


def test_a_good_server_is_no_concern_and_results_may_be_kept_less_well():
    assert concerns(GOOD, keeps_messages=True) == []
    snapshots = ServerFacts(policy="noeviction", appendonly=False, saves=True)
    assert concerns(snapshots, keeps_messages=False) == []
    nothing = ServerFacts(policy="noeviction", appendonly=False, saves=False)
    assert "loses all results" in concerns(nothing, keeps_messages=False)[0].found
