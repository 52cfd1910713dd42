"""What a Redis server is and how it is configured: whether it can be used at all, and what should be otherwise.

`refuse` says what cannot work, at the first connection of a process. `concerns` says what works until something goes
wrong: a server that evicts or forgets. A node warns of it at its start, and `celeriac doctor` shows it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

import msgspec

from celeriac.brokers.base import Checkup, Concern
from celeriac.brokers.redis.options import RedisOptions
from celeriac.brokers.redis.place import hash_tag
from celeriac.exceptions import ImproperlyConfigured, OperationalError

OLDEST_SERVER: Final = (6, 2)
"""The first version with all the commands that scripts and connections use."""


class Answering(Protocol):
    """Be a link."""

    def call(self, *words: str, deadline_at: float, repeatable: bool) -> Any: ...


class ServerFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Say what a server told about itself; None or "" for what it would not tell.

    Attributes:
        software: ``redis``, ``valkey`` or another name it gives itself.
        version: of that software.
        compatible: version of Redis that it behaves as.
        mode: ``standalone``, ``cluster`` or ``sentinel``.
        run_id: another one after each start.
        maxmemory: bytes that it may use; 0: all there are.
        policy: what it does when that is used up (`maxmemory-policy`).
        appendonly: it writes a log of all changes.
        fsync: when that log reaches the disk (`appendfsync`).
        saves: it writes snapshots by itself.
    """

    software: str = "redis"
    version: str = ""
    compatible: tuple[int, ...] = ()
    mode: str = "standalone"
    run_id: str = ""
    maxmemory: int = 0
    policy: str = ""
    appendonly: bool | None = None
    fsync: str = ""
    saves: bool | None = None


def read_facts(link: Answering, *, deadline_at: float) -> ServerFacts:
    """Ask a server about itself.

    Raises:
        BrokerUnavailable: it does not answer.
    """
    return facts_of(
        _ask(link, deadline_at, "INFO"),
        _ask(link, deadline_at, "CONFIG", "GET", "appendfsync"),
        _ask(link, deadline_at, "CONFIG", "GET", "save"),
    )


def facts_of(info: object, *config: object) -> ServerFacts:
    """Read what a server answered; what it refused to answer is None.

    Args:
        info: answer to ``INFO``.
        config: answers to ``CONFIG GET``, each a list of names and values in turn.
    """
    said = _fields(info)
    settings: dict[str, str] = {}
    for answer in config:
        words = [_text(word) for word in answer] if isinstance(answer, Sequence) else []
        settings.update(zip(words[::2], words[1::2], strict=False))
    software = "valkey" if "valkey_version" in said else said.get("server_name", "redis")
    appendonly = said.get("aof_enabled")
    return ServerFacts(
        software=software,
        version=said.get("valkey_version") or said.get("redis_version", ""),
        compatible=_numbers(said.get("redis_version", "")),
        mode=said.get("redis_mode") or said.get("server_mode", "standalone"),
        run_id=said.get("run_id", ""),
        maxmemory=_number(said.get("maxmemory", "")),
        policy=said.get("maxmemory_policy", ""),
        appendonly=None if appendonly is None else appendonly == "1",
        fsync=settings.get("appendfsync", ""),
        saves=bool(settings["save"].strip()) if "save" in settings else None,
    )


def refuse(facts: ServerFacts, where: str, options: RedisOptions) -> None:
    """Raise what makes a server of no use here.

    Args:
        facts: `version` and `mode` are looked at.
        where: the server, for people.
        options: the key prefix is looked at.

    Raises:
        ImproperlyConfigured: the server is too old, a sentinel, or a cluster over which the keys would be spread.
    """
    if facts.mode == "sentinel":
        raise ImproperlyConfigured(
            f"at {where} is a sentinel and no server; its URL begins with sentinel://, "
            "and master_name among the transport options says which master is meant"
        )
    if facts.compatible and facts.compatible < OLDEST_SERVER:
        needed = ".".join(map(str, OLDEST_SERVER))
        raise ImproperlyConfigured(f"redis at {where} is version {facts.version}; celeriac needs {needed} or newer")
    if facts.mode == "cluster" and not hash_tag(options.global_keyprefix):
        raise ImproperlyConfigured(
            f"redis at {where} is a cluster, over which the keys of one queue would be spread; keep them on one shard "
            "by a prefix with a hash tag: broker_transport_options = {'global_keyprefix': '{celeriac}:'} "
            "(result_backend_transport_options likewise)"
        )


def concerns(facts: ServerFacts, *, keeps_messages: bool) -> list[Concern]:
    """Say what about a server endangers what it keeps.

    Args:
        facts: from `read_facts`; of what is not known nothing is said.
        keeps_messages: it is a broker, or both; else only results, which may be lost sooner.
    """
    what = "messages" if keeps_messages else "results"
    found = []
    if facts.policy not in ("", "noeviction"):
        unlimited = "" if facts.maxmemory else " (once maxmemory is set)"
        found.append(
            Concern(
                f"maxmemory-policy is {facts.policy}: a full server deletes {what}{unlimited}",
                "set it: redis-cli CONFIG SET maxmemory-policy noeviction, and the same in redis.conf",
            )
        )
    if facts.appendonly is False and facts.saves is False:
        found.append(
            Concern(
                f"it writes nothing to disk: a restart loses all {what}",
                "set appendonly yes in redis.conf, or: redis-cli CONFIG SET appendonly yes",
            )
        )
    elif facts.appendonly is False and keeps_messages:
        found.append(
            Concern(
                "it writes snapshots only: a crash loses the messages since the last one",
                "set appendonly yes in redis.conf, or: redis-cli CONFIG SET appendonly yes",
            )
        )
    elif facts.fsync == "no" and keeps_messages:
        found.append(
            Concern(
                "appendfsync is no: a crash of its machine loses what the system had not written yet",
                "set appendfsync everysec in redis.conf (or always, which loses nothing)",
            )
        )
    return found


def check_up(link: Answering, *, deadline_at: float, keeps_messages: bool) -> Checkup:
    """Ask a server about itself, and say what that means for what it keeps.

    Raises:
        BrokerUnavailable: it does not answer.
    """
    facts = read_facts(link, deadline_at=deadline_at)
    return Checkup("redis", described(facts), tuple(concerns(facts, keeps_messages=keeps_messages)))


def described(facts: ServerFacts) -> str:
    """Describe a server in a line."""
    if facts.appendonly:
        kept = f"appendonly, fsync {facts.fsync or 'unknown'}"
    elif facts.saves:
        kept = "snapshots"
    else:
        kept = "persistence unknown" if facts.saves is None else "no persistence"
    policy = f", {facts.policy}" if facts.policy else ""
    return f"{facts.software} {facts.version or 'of unknown version'}, {facts.mode}, {kept}{policy}"


def _ask(link: Answering, deadline_at: float, *words: str) -> Any:
    """Return an answer, or None where the server does not let this user, or anybody, ask that."""
    try:
        return link.call(*words, deadline_at=deadline_at, repeatable=True)
    except OperationalError as error:
        if type(error) is not OperationalError:
            raise
        return None


def _fields(info: object) -> Mapping[str, str]:
    """Read an answer to INFO."""
    lines = _text(info).splitlines() if isinstance(info, (bytes, str)) else []
    pairs = (line.partition(":") for line in lines if not line.startswith("#"))
    return {name: value.strip() for name, colon, value in pairs if colon}


def _text(word: object) -> str:
    return word.decode(errors="replace") if isinstance(word, bytes) else str(word)


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else 0


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(_number(part) for part in version.split(".")) if version else ()
