"""Run by a test, in a process of its own, by `gevent.monkey`, which patches the standard library first."""

from __future__ import annotations

import os
import sys
import time

import gevent  # type: ignore[import-untyped]  # it has no types
from gevent.monkey import is_module_patched  # type: ignore[import-untyped]  # likewise

from celeriac.brokers.redis.link import Link
from celeriac.brokers.redis.options import RedisOptions
from celeriac.brokers.redis.place import read_place
from celeriac.exceptions import BrokerUnavailable
from tests.servers.fakes import fake_redis, logged_in, silence


def soon(seconds: float = 30.0) -> float:
    return time.monotonic() + seconds


def many_greenlets_share_few_connections(url: str) -> None:
    link = Link(read_place(url, "broker_url"), RedisOptions(max_connections=5, client_name="greenlets"))

    def count() -> None:
        for _ in range(10):
            link.call("INCR", "n", deadline_at=soon())

    gevent.joinall([gevent.spawn(count) for _ in range(50)], raise_error=True)
    assert link.call("GET", "n", deadline_at=soon()) == b"500"
    assert link.call("CLIENT", "LIST", deadline_at=soon()).count(b"name=greenlets ") == 5


def a_silent_server_holds_up_only_its_own_callers(url: str) -> None:
    link = Link(read_place(url, "broker_url"), RedisOptions())

    def fail(port: int) -> float:
        silent = Link(read_place(f"redis://127.0.0.1:{port}", "broker_url"), RedisOptions())
        began = time.monotonic()
        try:
            silent.call("PING", deadline_at=soon(2.0))
        except BrokerUnavailable:
            return time.monotonic() - began
        raise AssertionError("a silent server has answered")

    with fake_redis(logged_in(silence)) as port:
        failing = [gevent.spawn(fail, port) for _ in range(5)]
        for _ in range(100):
            link.call("PING", deadline_at=soon())
        assert not any(one.ready() for one in failing)
        assert all(1.9 < one.get() < 6.0 for one in failing)


def a_killed_greenlet_leaves_nobody_its_answer(url: str) -> None:
    link = Link(read_place(url, "broker_url"), RedisOptions(max_connections=1))

    waiting = gevent.spawn(link.call, "BLPOP", "never", 3, deadline_at=soon())
    gevent.sleep(0.05)
    waiting.kill()

    assert link.call("ECHO", "mine", deadline_at=soon()) == b"mine"


def a_forked_child_has_connections_of_its_own(url: str) -> None:
    link = Link(read_place(url, "broker_url"), RedisOptions())
    own = link.call("CLIENT", "ID", deadline_at=soon())
    child = os.fork()
    if child == 0:
        other = link.call("CLIENT", "ID", deadline_at=soon())
        os._exit(0 if other != own else 3)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert link.call("CLIENT", "ID", deadline_at=soon()) == own


assert is_module_patched("socket"), "run this by gevent.monkey"
for case in (
    many_greenlets_share_few_connections,
    a_silent_server_holds_up_only_its_own_callers,
    a_killed_greenlet_leaves_nobody_its_answer,
    a_forked_child_has_connections_of_its_own,
):
    case(sys.argv[1])
print("all is well")
