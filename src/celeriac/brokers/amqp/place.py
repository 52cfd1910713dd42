"""What a URL of RabbitMQ names: addresses, who logs in, and a virtual host. Pure.

    amqp://[user:password@]host[:5672][/vhost]     pyamqp:// and librabbitmq:// are the same
    amqps://…                                      encrypted, port 5671
    amqp://one;amqp://other                        the first that answers is used

User, password, virtual host and query are percent-encoded. In a list, what a later URL does not say is as in the first.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl, quote, unquote

import msgspec

from celeriac.brokers.urls import host_and_port, split_query, user_and_password
from celeriac.exceptions import ImproperlyConfigured
from celeriac.masking import MASK

SCHEMES: Final = frozenset(("amqp", "amqps", "pyamqp", "librabbitmq"))
"""Schemes that `read_place` knows."""

_PORT: Final = 5672
_ENCRYPTED_PORT: Final = 5671


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """Say where one server listens, and who logs in there."""

    host: str
    port: int
    username: str
    password: str

    @property
    def address(self) -> str:
        """Name it for people."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __repr__(self) -> str:
        return f"<Endpoint {self.address}>"


class AmqpPlace(msgspec.Struct, frozen=True, kw_only=True):
    """Say what a URL of RabbitMQ names.

    Attributes:
        endpoints: where to connect, the first first.
        virtual_host: in which exchanges and queues are.
        encrypted: the scheme asks for TLS.
        said: the queries of the URLs, in order, decoded.
    """

    endpoints: tuple[Endpoint, ...]
    virtual_host: str = "/"
    encrypted: bool = False
    said: tuple[tuple[str, str], ...] = ()

    @property
    def url(self) -> str:
        """Show the place to people, without a password."""
        scheme = "amqps" if self.encrypted else "amqp"
        where = quote(self.virtual_host, safe="")
        return ";".join(f"{scheme}://{quote(one.username)}:{MASK}@{one.address}/{where}" for one in self.endpoints)

    @property
    def address(self) -> str:
        """Name the place in a sentence: addresses and virtual host, nobody's name."""
        where = ", ".join(endpoint.address for endpoint in self.endpoints)
        return f"{where}, virtual host {self.virtual_host!r}"


class Unsaid(msgspec.Struct, frozen=True, kw_only=True):
    """Say what holds where a URL says nothing."""

    host: str = "localhost"
    port: int | None = None
    username: str = "guest"
    password: str = "guest"
    virtual_host: str = "/"

    def __repr__(self) -> str:
        return "<Unsaid>"


class _Read(msgspec.Struct, frozen=True, kw_only=True):
    """Hold what one URL says; None is what it does not say."""

    host: str
    port: int
    username: str | None
    password: str | None
    virtual_host: str | None
    encrypted: bool
    said: tuple[tuple[str, str], ...]


def read_place(url: str, setting: str, unsaid: Unsaid = Unsaid()) -> AmqpPlace:  # noqa: B008 - frozen
    """Read a URL, or several with ``;`` between them.

    Args:
        url: its scheme is one of `SCHEMES`.
        setting: where it stands, for errors.
        unsaid: what the parts are that it does not have.

    Raises:
        ImproperlyConfigured: it names no place, or its parts do not fit each other; the text says what to change.
    """
    first, *others = (part.strip() for part in url.split(";") if part.strip())
    scheme = first.partition("://")[0]
    read = [_read(first, setting)]
    read += [_read(part if "://" in part else f"{scheme}://{part}", setting) for part in others]
    head = read[0]
    hosts = {one.virtual_host for one in read if one.virtual_host is not None} or {unsaid.virtual_host}
    if len(hosts) > 1 or len({one.encrypted for one in read}) > 1:
        raise ImproperlyConfigured(
            f"the URLs of {setting} must all have one scheme and one virtual host, for what is in another is not "
            f"found after a failover; these have {sorted(hosts)}"
        )
    port = unsaid.port or (_ENCRYPTED_PORT if head.encrypted else _PORT)
    return AmqpPlace(
        endpoints=tuple(
            Endpoint(
                host=one.host or unsaid.host,
                port=one.port or port,
                username=_first(one.username, head.username, unsaid.username),
                password=_first(one.password, head.password, unsaid.password),
            )
            for one in read
        ),
        virtual_host=hosts.pop(),
        encrypted=head.encrypted,
        said=tuple(dict.fromkeys(pair for one in read for pair in one.said)),
    )


def _first(*said: str | None) -> str:
    return next(one for one in said if one is not None)


def _read(url: str, setting: str) -> _Read:
    scheme, _, rest = url.partition("://")
    before, _, query = split_query(rest)
    who, at, where = before.rpartition("@")
    username, password = user_and_password(who) if at else (None, None)
    address, slash, path = where.partition("/")
    host, port = host_and_port(address, url, setting)
    return _Read(
        host=host,
        port=port,
        username=username,
        password=password,
        virtual_host=(unquote(path) or "/") if slash and path else None,
        encrypted=scheme.lower() == "amqps",
        said=tuple(parse_qsl(query, keep_blank_values=True)),
    )
