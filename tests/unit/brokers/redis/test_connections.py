"""How places of all kinds are reached: TLS, sockets, users, lists, clusters; by threads and by event loops alike."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from bench.redis_server import free_port
from celeriac.brokers.redis.async_link import AsyncLink
from celeriac.brokers.redis.dialing import CLIENT_NAME
from celeriac.brokers.redis.link import Link
from celeriac.brokers.redis.options import read_options
from celeriac.brokers.redis.place import read_place
from celeriac.exceptions import BrokerUnavailable, ImproperlyConfigured, OperationalError
from tests.servers.certificates import make_certificates
from tests.servers.fakes import black_hole

WITHIN = 5.0


@pytest.fixture(params=["blocking", "asyncio"])
async def ask(request):
    """Give a function that sends a command to the place of a URL, once by each kind of link."""
    async with contextlib.AsyncExitStack() as closing:

        async def by_thread(url, *words, within=WITHIN, **settings):
            reading = read_options(read_place(url, "broker_url"), settings, setting="options")
            link = Link(reading.place, reading.options)
            closing.callback(link.close)
            return link.call(*words, deadline_at=time.monotonic() + within)

        async def by_loop(url, *words, within=WITHIN, **settings):
            reading = read_options(read_place(url, "broker_url"), settings, setting="options")
            link = AsyncLink(reading.place, reading.options, name="celeriac")
            closing.push_async_callback(link.close)
            return await link.call(*words, timeout=within)

        yield by_thread if request.param == "blocking" else by_loop


# -- TLS ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def certificates(tmp_path_factory):
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def tls_port(redis_server, certificates):
    return start_with_tls(redis_server, certificates, clients="no")


def start_with_tls(redis_server: Callable, certificates, *, clients: str) -> int:
    port = free_port()
    redis_server(
        *("--tls-port", str(port), "--tls-ca-cert-file", certificates.authority, "--tls-auth-clients", clients),
        *("--tls-cert-file", certificates.certificate("server"), "--tls-key-file", certificates.key("server")),
    )
    return port


async def test_a_certificate_is_accepted_when_its_authority_is_named(ask, tls_port, certificates):
    url = f"rediss://localhost:{tls_port}/1?ssl_ca_certs={certificates.authority}"

    assert await ask(url, "PING") == b"PONG"
    assert await ask(f"{url}&protocol=3", "PING") == b"PONG"


@pytest.mark.parametrize("library", ["asyncio", "uvloop"])
def test_megabytes_go_both_ways_in_tls_whichever_loop_is_used(library, tls_port):
    loops = pytest.importorskip(library)
    place = read_place(f"rediss://127.0.0.1:{tls_port}/1?ssl_cert_reqs=none", "broker_url")
    reading = read_options(place, {}, setting="options")
    sent = b"x" * 4_000_000

    async def echo() -> bytes:
        link = AsyncLink(reading.place, reading.options, name="celeriac")
        answers = [await link.call("ECHO", part, timeout=10) for part in (b"small", sent)]
        await link.close()
        return b"".join(answers)

    with asyncio.Runner(loop_factory=loops.new_event_loop) as runner:
        assert runner.run(echo()) == b"small" + sent


async def test_an_unknown_authority_is_refused_with_the_cure(ask, tls_port):
    with pytest.raises(BrokerUnavailable, match="ssl_ca_certs"):
        await ask(f"rediss://localhost:{tls_port}", "PING")


async def test_a_certificate_of_another_host_is_refused_unless_that_is_not_checked(ask, tls_port, certificates):
    url = f"rediss://localhost.localdomain:{tls_port}?ssl_ca_certs={certificates.authority}"
    with pytest.raises(BrokerUnavailable, match=r"certificate.*|has no address"):
        await ask(url, "PING")

    assert await ask(f"rediss://127.0.0.1:{tls_port}?ssl_cert_reqs=none", "PING") == b"PONG"


async def test_a_server_that_wants_certificates_of_clients_gets_one(ask, redis_server, certificates):
    port = start_with_tls(redis_server, certificates, clients="yes")
    url = f"rediss://localhost:{port}?ssl_ca_certs={certificates.authority}"
    own = f"&ssl_certfile={certificates.certificate('client')}&ssl_keyfile={certificates.key('client')}"

    assert await ask(url + own, "PING") == b"PONG"
    with pytest.raises(BrokerUnavailable):
        await ask(url, "PING")


async def test_a_certificate_that_is_renewed_beside_the_program_is_shown(ask, redis_server, certificates, tmp_path):
    strangers = make_certificates(tmp_path)
    certificate, key = Path(strangers.certificate("client")), Path(strangers.key("client"))
    port = start_with_tls(redis_server, certificates, clients="yes")
    url = f"rediss://localhost:{port}?ssl_ca_certs={certificates.authority}"
    url += f"&ssl_certfile={certificate}&ssl_keyfile={key}"
    with pytest.raises(BrokerUnavailable):
        await ask(url, "PING")

    certificate.write_bytes(Path(certificates.certificate("client")).read_bytes())
    with pytest.raises(BrokerUnavailable):
        await ask(url, "PING")  # the key is another one's still
    key.write_bytes(Path(certificates.key("client")).read_bytes())

    assert await ask(url, "PING") == b"PONG"


async def test_tls_where_there_is_none_and_none_where_it_is_are_told_apart(ask, redis_server, tls_port):
    plain = redis_server()

    with pytest.raises(BrokerUnavailable, match=r"redis://|closed the connection"):
        await ask(f"rediss://127.0.0.1:{plain.port}", "PING", within=2)
    with pytest.raises(BrokerUnavailable, match=r"rediss://"):
        await ask(f"redis://127.0.0.1:{tls_port}", "PING", within=2)


async def test_a_file_that_is_not_there_is_named(ask, tls_port):
    with pytest.raises(ImproperlyConfigured, match=r"ssl_ca_certs /no/such\.pem cannot be used: No such file"):
        await ask(f"rediss://127.0.0.1:{tls_port}?ssl_ca_certs=/no/such.pem", "PING")


# -- sockets, users, names ----------------------------------------------------------------------------------------


async def test_a_unix_socket_is_reached_with_its_database(ask, redis_server, tmp_path):
    path = tmp_path / "redis.sock"
    server = redis_server("--unixsocket", str(path), "--save", "")

    await ask(f"redis+socket://{path}?virtual_host=3", "SET", "key", "value")

    assert await ask(server.url(3), "GET", "key") == b"value"
    with pytest.raises(BrokerUnavailable, match="no such socket"):
        await ask(f"redis+socket://{path}.gone", "PING")


@pytest.mark.parametrize("protocol", [2, 3])
async def test_passwords_and_users_log_in(ask, redis_server, protocol):
    server = redis_server("--requirepass", "p@ss", "--user", "ann", "on", ">word", "~*", "&*", "+@all")
    where = f"127.0.0.1:{server.port}/0"

    assert await ask(f"redis://:p%40ss@{where}", "PING", protocol=protocol) == b"PONG"
    assert await ask(f"redis://ann:word@{where}", "ACL", "WHOAMI", protocol=protocol) == b"ann"
    with pytest.raises(BrokerUnavailable, match="does not accept the user or the password"):
        await ask(f"redis://ann:wrong@{where}", "PING", protocol=protocol)
    with pytest.raises(BrokerUnavailable, match="wants a password"):
        await ask(f"redis://{where}", "PING", protocol=protocol)


async def test_a_credential_provider_is_asked_at_each_connection(ask, redis_server):
    server = redis_server("--requirepass", "first")

    class Rotating:
        password = "first"

        def get_credentials(self):
            return (self.password,)

        async def get_credentials_async(self):
            return self.get_credentials()

    provider = Rotating()
    assert await ask(server.url(), "PING", credential_provider=provider) == b"PONG"

    with redis.Redis.from_url(server.url(), password="first") as control:
        control.config_set("requirepass", "second")
    provider.password = "second"
    assert await ask(server.url(), "PING", credential_provider=provider) == b"PONG"


async def test_what_an_acl_forbids_is_named(ask, redis_server):
    server = redis_server("--user", "ann", "on", ">word", "~mine:*", "&*", "+@all")

    with pytest.raises(OperationalError, match="ACL") as caught:
        await ask(f"redis://ann:word@127.0.0.1:{server.port}", "GET", "theirs")

    assert not isinstance(caught.value, BrokerUnavailable)


async def test_connections_have_a_name_on_the_server(ask, redis_db):
    await ask(redis_db, "PING")
    await ask(redis_db, "PING", client_name="my shop")

    with redis.Redis.from_url(redis_db) as control:
        names = {one["name"] for one in control.client_list()}
    assert CLIENT_NAME in names


# -- lists --------------------------------------------------------------------------------------------------------


async def test_the_next_of_a_list_is_used_when_the_first_is_gone_silent_or_a_replica(ask, redis_server):
    master = redis_server("--save", "", "--shutdown-timeout", "0")
    replica = redis_server("--save", "", "--replicaof", f"127.0.0.1 {master.port}")
    gone = free_port()

    with black_hole() as silent:
        hosts = (gone, silent, replica.port, master.port)
        url = ";".join(f"redis://127.0.0.1:{port}/0" for port in hosts)
        assert await ask(url, "SET", "key", "value", within=4) == b"OK"


async def test_a_list_without_any_that_takes_writes_says_so(ask, redis_server):
    master = redis_server("--save", "", "--shutdown-timeout", "0")
    replica = redis_server("--save", "", "--replicaof", f"127.0.0.1 {master.port}")
    master.stop()

    with pytest.raises(BrokerUnavailable, match="is a replica"):
        await ask(f"redis://127.0.0.1:{master.port};redis://127.0.0.1:{replica.port}", "PING")


# -- clusters -----------------------------------------------------------------------------------------------------


async def test_in_a_cluster_the_node_that_has_the_keys_is_found(ask, redis_server):
    first, second = (
        redis_server("--cluster-enabled", "yes", "--cluster-port", str(free_port()), "--save", "") for _ in range(2)
    )
    form_cluster(first, second)

    for tag in ("a", "b", "c", "d"):
        key = f"{{{tag}}}:key"
        assert await ask(first.url(), "SET", key, tag, global_keyprefix=f"{{{tag}}}:") == b"OK"
        assert await ask(second.url(), "GET", key, global_keyprefix=f"{{{tag}}}:") == tag.encode()


def form_cluster(*servers):
    clients = [redis.Redis(port=server.port) for server in servers]
    share = 16_384 // len(clients)
    for number, client in enumerate(clients):
        client.execute_command("CLUSTER", "ADDSLOTSRANGE", number * share, (number + 1) * share - 1)
        client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
    for other in servers[1:]:
        bus = redis.Redis(port=other.port).config_get("cluster-port")["cluster-port"]
        clients[0].execute_command("CLUSTER", "MEET", "127.0.0.1", other.port, bus)
    until = time.monotonic() + 60
    while any("cluster_state:ok" not in str(client.execute_command("CLUSTER", "INFO")) for client in clients):
        assert time.monotonic() < until, "the cluster did not come up"
        time.sleep(0.05)
