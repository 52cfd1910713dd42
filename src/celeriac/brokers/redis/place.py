"""What a URL of Redis names: addresses, who logs in, and a database. Pure.

    redis://[user:password@]host[:6379][/0]        valkey:// is the same
    rediss://…?ssl_cert_reqs=required              encrypted; valkeys:// is the same
    redis+socket:///path?virtual_host=0            a unix socket; unix:// is the same
    sentinel://host[:26379][/0];sentinel://other   sentinels, which know where the master is; `master_name` names it
    redis://one;redis://other                      one that takes writes is used

User, password, path and query are percent-encoded. In a list, what a later URL does not say is as in the first.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl, quote, unquote

import msgspec

from celeriac.brokers.urls import host_and_port, split_query, user_and_password
from celeriac.exceptions import ImproperlyConfigured
from celeriac.masking import MASK, masked_url

SCHEMES: Final = frozenset(
    ("redis", "rediss", "valkey", "valkeys", "redis+socket", "rediss+socket", "valkey+socket", "unix", "sentinel")
)
"""Schemes that `read_place` knows."""

_ENCRYPTED: Final = frozenset(("rediss", "valkeys"))
_SOCKETS: Final = frozenset(("redis+socket", "rediss+socket", "valkey+socket", "unix"))
_PORT: Final = 6379
_SENTINEL_PORT: Final = 26379


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """Say where one server listens, and who logs in there.

    Attributes:
        path: of a unix socket; "" for TCP.
        username, password: None where the URL says nothing.
    """

    host: str = "localhost"
    port: int = _PORT
    path: str = ""
    username: str | None = None
    password: str | None = None

    @property
    def address(self) -> str:
        """Name it for people."""
        if self.path:
            return self.path
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __repr__(self) -> str:
        return f"<Endpoint {self.address}>"


class RedisPlace(msgspec.Struct, frozen=True, kw_only=True):
    """Say what a URL of Redis names.

    Attributes:
        endpoints: where to connect, the first first; sentinels when `sentinel` is on.
        database: its number.
        encrypted: the scheme asks for TLS.
        sentinel: the endpoints are sentinels, who are asked for the master.
        master_name: what the master is called among sentinels.
        shard: the hash tag that all keys have, which puts them on one shard of a cluster; "" for none.
        said: the queries of the URLs, in order, decoded, without `virtual_host`.
    """

    endpoints: tuple[Endpoint, ...]
    database: int = 0
    encrypted: bool = False
    sentinel: bool = False
    master_name: str | None = None
    shard: str = ""
    said: tuple[tuple[str, str], ...] = ()

    @property
    def server(self) -> tuple[object, ...]:
        """Identify the server, without its database: equal for two places whose data one script can reach."""
        where = sorted((one.path, "" if one.path else one.host.lower(), one.port) for one in self.endpoints)
        return (self.sentinel, self.master_name, self.shard, *where, self.endpoints[0].username or "default")

    @property
    def url(self) -> str:
        """Show the place to people, without a password."""
        return ";".join(self._shown(endpoint) for endpoint in self.endpoints)

    @property
    def address(self) -> str:
        """Name the place in a sentence: addresses and database, nobody's name."""
        where = ", ".join(endpoint.address for endpoint in self.endpoints)
        if self.sentinel:
            return f"master {self.master_name!r} of sentinels {where}, database {self.database}"
        return f"{where}/{self.database}"

    def _shown(self, endpoint: Endpoint) -> str:
        user = quote(endpoint.username or "", safe="")
        password = f":{MASK}" if endpoint.password is not None else ""
        who = f"{user}{password}@" if user or password else ""
        if endpoint.path:
            return f"redis+socket://{who}{endpoint.path}?virtual_host={self.database}"
        scheme = "sentinel" if self.sentinel else "rediss" if self.encrypted else "redis"
        return f"{scheme}://{who}{endpoint.address}/{self.database}"


class Unsaid(msgspec.Struct, frozen=True, kw_only=True):
    """Say what holds where a URL says nothing; None: as the file's table has it."""

    host: str | None = None
    port: int | None = None
    username: str | None = None
    password: str | None = None
    database: int | None = None

    def __repr__(self) -> str:
        return "<Unsaid>"


def read_place(url: str, setting: str, unsaid: Unsaid = Unsaid()) -> RedisPlace:  # noqa: B008 - frozen
    """Read a URL, or several with ``;`` between them.

    Args:
        url: its scheme is one of `SCHEMES`.
        setting: where it stands, for errors.
        unsaid: what the parts are that it does not have.

    Raises:
        ImproperlyConfigured: it names no place, or its parts do not fit each other; the text says what to change.
    """
    first, *others = (part.strip() for part in url.split(";") if part.strip())
    places = [_read_one(first, setting, unsaid)]
    scheme = first.partition("://")[0]
    places += [_read_one(part if "://" in part else f"{scheme}://{part}", setting, unsaid) for part in others]
    return _joined(places, setting, unsaid)


def _joined(parsed: list[tuple[RedisPlace, bool]], setting: str, unsaid: Unsaid) -> RedisPlace:
    places = [place for place, _ in parsed]
    head = places[0]
    if any((one.sentinel, one.encrypted) != (head.sentinel, head.encrypted) for one in places):
        raise ImproperlyConfigured(f"the URLs of {setting} must all have one scheme; {_all_shown(places)} do not")
    databases = {place.database for place, says in parsed if says} or {unsaid.database or 0}
    if len(databases) > 1:
        raise ImproperlyConfigured(
            f"the URLs of {setting} must name one database, for what is in another is not found after a failover; "
            f"{_all_shown(places)} do not"
        )
    return msgspec.structs.replace(
        head,
        database=databases.pop(),
        endpoints=tuple(
            _with_login(endpoint, head.endpoints[0], unsaid) for place in places for endpoint in place.endpoints
        ),
        said=tuple(dict.fromkeys(pair for place in places for pair in place.said)),
    )


def _with_login(endpoint: Endpoint, first: Endpoint, unsaid: Unsaid) -> Endpoint:
    own = first if endpoint.username is None and endpoint.password is None else endpoint
    username = unsaid.username if own.username is None else own.username
    password = unsaid.password if own.password is None else own.password
    return msgspec.structs.replace(endpoint, username=username, password=password)


def _all_shown(places: list[RedisPlace]) -> str:
    return " and ".join(place.url for place in places)


def _read_one(url: str, setting: str, unsaid: Unsaid) -> tuple[RedisPlace, bool]:
    """Read one URL; say besides whether it names a database."""
    scheme, _, rest = url.partition("://")
    scheme = scheme.lower()
    rest = rest.partition("#")[0] if "@" not in rest.partition("#")[2] else rest
    before, _, query = split_query(rest)
    said = tuple(parse_qsl(query, keep_blank_values=True))
    named = dict(said)
    who, at, where = before.rpartition("@")
    username, password = user_and_password(who) if at else (None, None)
    if scheme in _SOCKETS:
        endpoint = Endpoint(path=_socket_path(where, url, setting), username=username, password=password)
        text = named.get("virtual_host", named.get("db"))
    else:
        host, slash, text = where.partition("/")
        text = text if slash and text else named.get("db", named.get("virtual_host"))
        address = host_and_port(host, url, setting)
        endpoint = Endpoint(
            host=address[0] or unsaid.host or "localhost",
            port=address[1] or unsaid.port or (_SENTINEL_PORT if scheme == "sentinel" else _PORT),
            username=username,
            password=password,
        )
    database = _database(text, url, setting)
    place = RedisPlace(
        endpoints=(endpoint,),
        database=database or 0,
        encrypted=scheme in _ENCRYPTED,
        sentinel=scheme == "sentinel",
        said=tuple((name, value) for name, value in said if name not in ("virtual_host", "db")),
    )
    return place, database is not None


def hash_tag(key: str) -> str:
    """Return the part of a key that says where in a cluster it is kept; "" when all of it does."""
    inside = key.partition("{")[2]
    return inside.partition("}")[0] if "}" in inside else ""


def _socket_path(where: str, url: str, setting: str) -> str:
    path = unquote(where)
    if not path.startswith("/"):
        raise ImproperlyConfigured(
            f"{setting} {masked_url(url)!r} names no socket; three slashes begin its path: redis+socket:///run/redis.sock"
        )
    return path


def _database(text: str | None, url: str, setting: str) -> int | None:
    number = (text or "").strip("/")
    if not number:
        return None
    if not (number.isascii() and number.isdigit()):
        raise ImproperlyConfigured(
            f"{setting} {masked_url(url)!r} must end in the number of a database, such as /0, and not in {number!r}"
        )
    return int(number)
