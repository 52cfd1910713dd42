"""Every call ends by its deadline, whatever the server does, and says in one exception what that was."""

from __future__ import annotations

import contextlib
import socket
import time

import pytest

from celeriac.brokers import resolving
from celeriac.brokers.redis.async_link import AsyncLink
from celeriac.brokers.redis.link import Link
from celeriac.brokers.redis.options import read_options
from celeriac.brokers.redis.place import read_place
from celeriac.exceptions import BrokerFull, BrokerUnavailable, OperationalError
from tests.servers.fakes import OK, black_hole, fake_redis, logged_in, silence

WITHIN = 0.6
ANSWERED_WITHIN = 3.0  # where a server answers at first, on a busy machine
SLACK = 10.0  # for a busy machine; without a deadline all of these take longer, or never end


@pytest.fixture(params=["blocking", "asyncio"])
async def fails(request):
    """Give a function that sends a command which must fail by its deadline, and returns the error."""
    async with contextlib.AsyncExitStack() as closing:

        async def by_thread(url, *words, within, **settings):
            reading = read_options(read_place(url, "broker_url"), settings, setting="options")
            link = Link(reading.place, reading.options)
            closing.callback(link.close)
            with pytest.raises(OperationalError) as caught:
                link.call(*(words or ("LPUSH", "q", "x")), deadline_at=time.monotonic() + within)
            return caught.value

        async def by_loop(url, *words, within, **settings):
            reading = read_options(read_place(url, "broker_url"), settings, setting="options")
            link = AsyncLink(reading.place, reading.options, name="w1")
            closing.push_async_callback(link.close)
            with pytest.raises(OperationalError) as caught:
                await link.call(*(words or ("LPUSH", "q", "x")), timeout=within)
            return caught.value

        async def timed(*args, within=WITHIN, **settings):
            began = time.monotonic()
            error = await (by_thread if request.param == "blocking" else by_loop)(*args, within=within, **settings)
            took = time.monotonic() - began
            assert took < within + SLACK, f"it took {took:.1f} s"
            return error

        yield timed


def is_unavailable(error: OperationalError, text: str, *, maybe_published: bool) -> None:
    assert type(error) is BrokerUnavailable
    assert text in str(error)
    assert error.maybe_published is maybe_published


async def test_nobody_listens(fails):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

    error = await fails(f"redis://127.0.0.1:{port}")

    is_unavailable(error, f"redis at 127.0.0.1:{port} refused the connection", maybe_published=False)


async def test_packets_are_dropped(fails):
    with black_hole() as port:
        error = await fails(f"redis://127.0.0.1:{port}")

    is_unavailable(error, "drop packets", maybe_published=False)


async def test_the_server_takes_connections_and_says_nothing(fails):
    with fake_redis(silence) as port:
        error = await fails(f"redis://127.0.0.1:{port}")

    is_unavailable(error, "did not let this program log in", maybe_published=False)


async def test_each_step_of_the_login_is_answered_slowly(fails):
    def slow(words):
        time.sleep(0.4)
        return OK

    with fake_redis(slow) as port:
        error = await fails(f"redis://ann:word@127.0.0.1:{port}/3")

    is_unavailable(error, "did not let this program log in", maybe_published=False)


@pytest.mark.parametrize("protocol", [2, 3])
async def test_the_login_is_answered_drop_by_drop(fails, protocol):
    with fake_redis(logged_in(silence), pause=0.1) as port:
        error = await fails(f"redis://127.0.0.1:{port}/1", protocol=protocol)

    is_unavailable(error, "did not let this program log in", maybe_published=False)


async def test_a_greeting_in_tls_is_not_answered(fails):
    with fake_redis(silence) as port:
        error = await fails(f"rediss://127.0.0.1:{port}")

    is_unavailable(error, "greeting in TLS", maybe_published=False)


async def test_a_command_is_not_answered(fails):
    with fake_redis(logged_in(silence)) as port:
        error = await fails(f"redis://127.0.0.1:{port}", within=ANSWERED_WITHIN)

    is_unavailable(error, "did not answer LPUSH within", maybe_published=True)


async def test_a_command_is_answered_drop_by_drop(fails):
    slowly = b"$800\r\n" + b"x" * 800 + b"\r\n"

    with fake_redis(logged_in(lambda words: slowly), pause=0.015) as port:
        error = await fails(f"redis://127.0.0.1:{port}", within=ANSWERED_WITHIN)

    is_unavailable(error, "did not answer LPUSH", maybe_published=True)


async def test_the_server_does_not_read_what_is_sent(fails):
    """More than all buffers between here and there hold, to a server that takes the login and stops reading."""
    with fake_redis(logged_in(silence)) as port:
        error = await fails(f"redis://127.0.0.1:{port}", "SET", "key", b"x" * 40_000_000, within=ANSWERED_WITHIN)

    is_unavailable(error, "did not answer SET", maybe_published=True)


async def test_the_connection_is_closed_in_place_of_an_answer(fails):
    def close(words):
        raise ConnectionResetError

    with fake_redis(logged_in(close)) as port:
        error = await fails(f"redis://127.0.0.1:{port}", within=ANSWERED_WITHIN)

    is_unavailable(error, "closed the connection before it answered LPUSH", maybe_published=True)


async def test_the_answer_is_no_redis(fails):
    with fake_redis(logged_in(lambda words: b"HTTP/1.1 400 Bad Request\r\n\r\n")) as port:
        error = await fails(f"redis://127.0.0.1:{port}", within=ANSWERED_WITHIN)

    assert type(error) is BrokerUnavailable


async def test_the_name_server_is_silent(fails, monkeypatch):
    def never(*args):
        time.sleep(3)
        raise socket.gaierror(socket.EAI_AGAIN, "too late")

    monkeypatch.setattr(resolving, "_look_up", never)
    monkeypatch.setattr(resolving, "_numeric", lambda host, port: [])

    error = await fails("redis://nowhere.example")

    assert type(error) is BrokerUnavailable
    assert not error.maybe_published


async def test_there_is_no_such_host(fails):
    error = await fails("redis://no-such-host.invalid")

    is_unavailable(error, "has no address", maybe_published=False)


# -- answers ------------------------------------------------------------------------------------------------------


def answering(text: str):
    return fake_redis(logged_in(lambda words: f"-{text}\r\n".encode()))


@pytest.mark.parametrize(
    "text",
    [
        "OOM command not allowed when used memory > 'maxmemory'.",
        "ERR Error running script (call to f_x): @user_script:1: @user_script: 1: -OOM command not allowed",
    ],
)
async def test_the_memory_is_used_up(fails, text):
    with answering(text) as port:
        error = await fails(f"redis://127.0.0.1:{port}", within=ANSWERED_WITHIN)

    assert type(error) is BrokerFull
    assert "maxmemory" in str(error)
    assert not error.maybe_published


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("READONLY You can't write against a read only replica.", "a failover is under way"),
        ("LOADING Redis is loading the dataset in memory", "is loading its data"),
    ],
)
async def test_a_state_that_passes_is_named_when_it_does_not_pass(fails, text, said):
    with answering(text) as port:
        error = await fails(f"redis://127.0.0.1:{port}", within=ANSWERED_WITHIN)

    is_unavailable(error, said, maybe_published=False)


async def test_disk_errors_and_limits_of_clients_are_named(fails):
    with answering("MISCONF Redis is configured to save RDB snapshots") as port:
        error = await fails(f"redis://127.0.0.1:{port}", within=ANSWERED_WITHIN)
    is_unavailable(error, "cannot save its data", maybe_published=False)

    with fake_redis(lambda words: b"-ERR max number of clients reached\r\n") as port:
        error = await fails(f"redis://127.0.0.1:{port}", within=ANSWERED_WITHIN)
    is_unavailable(error, "max number of clients", maybe_published=False)


def test_a_state_that_passes_in_time_is_waited_for():
    until = time.monotonic() + 0.3

    def loading(words):
        return b":1\r\n" if time.monotonic() > until else b"-LOADING Redis is loading the dataset in memory\r\n"

    with fake_redis(logged_in(loading)) as port:
        link = Link(read_place(f"redis://127.0.0.1:{port}", "broker_url"), read_options_of())
        assert link.call("LPUSH", "q", "x", deadline_at=time.monotonic() + 3) == 1


def test_what_may_be_repeated_is_repeated_until_the_deadline():
    asked = []

    def unreliable(words):
        asked.append(words)
        if len(asked) < 4:
            raise ConnectionResetError
        return b":1\r\n"

    with fake_redis(logged_in(unreliable)) as port:
        link = Link(read_place(f"redis://127.0.0.1:{port}", "broker_url"), read_options_of())
        assert link.call("LPUSH", "q", "x", deadline_at=time.monotonic() + 3, repeatable=True) == 1

    assert asked == [[b"LPUSH", b"q", b"x"]] * 4


def test_a_deadline_that_has_passed_sends_nothing():
    asked = []

    def note(words):
        asked.append(words)
        return OK

    with fake_redis(logged_in(note)) as port:
        link = Link(read_place(f"redis://127.0.0.1:{port}", "broker_url"), read_options_of())
        link.call("PING", deadline_at=time.monotonic() + 3)
        with pytest.raises(BrokerUnavailable) as caught:
            link.call("LPUSH", "q", "x", deadline_at=time.monotonic() - 1)

    assert not caught.value.maybe_published
    assert asked == [[b"PING"]]


def read_options_of(**settings):
    return read_options(read_place("redis://h", "broker_url"), settings, setting="options").options
