"""What Celery has in `celery.utils.nodenames`: names of nodes, ``name@host``."""

from __future__ import annotations

import os
import socket
from functools import cache

from celeriac.compat.text import simple_format


@cache
def gethostname() -> str:
    """Return the name of this host."""
    return socket.gethostname()


def nodename(name: str, hostname: str) -> str:
    """Make the name of a node of its two parts."""
    return f"{name}@{hostname}"


def anon_nodename(hostname: str | None = None, prefix: str = "gen") -> str:
    """Return what a process that is no node calls itself in messages: ``gen4711@host``."""
    return nodename(f"{prefix}{os.getpid()}", hostname or gethostname())


def nodesplit(name: str) -> tuple[str | None, str]:
    """Split the name of a node into name and host; the name is None when there is only a host."""
    before, at, after = name.partition("@")
    return (before, after) if at else (None, before)


def default_nodename(hostname: str | None, default_name: str = "celery") -> str:
    """Return the full name of a node of which only the host, or nothing, is given."""
    name, host = nodesplit(hostname or "")
    return nodename(name or default_name, host or gethostname())


def node_format(text: str, name: str, **extra: str) -> str:
    """Replace in `text` what `host_format` does, and ``%p`` by the full name of the node."""
    short, host = nodesplit(name)
    return host_format(text, host, short or "celery", p=name, **extra)


def host_format(text: str, host: str | None = None, name: str | None = None, **extra: str) -> str:
    """Replace ``%h`` by the host, ``%n`` by the name, ``%d`` by the domain, and the keys of `extra`."""
    host = host or gethostname()
    short, _, domain = host.partition(".")
    return simple_format(text, {"h": host, "n": name or short, "d": domain, "i": "0", "I": "", **extra})
