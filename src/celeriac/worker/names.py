"""Names with places that are filled in: those of nodes, and of the files that their processes write."""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from typing import Final

_MARK: Final = re.compile("%[a-zA-Z%]")


def node_name(given: str | None, *, host: str | None = None) -> str:
    """Return a node's name, ``name@host``.

    ``%h`` is the host, ``%n`` its first part, ``%d`` its domain, ``%%`` a per cent sign; ``%i`` is 0 and ``%I``
    nothing, as in Celery, where they number processes.

    Args:
        given: as typed; None is ``celery@%h``.
        host: name of the machine; None asks it.
    """
    host = socket.gethostname() if host is None else host
    short, _, domain = host.partition(".")
    text = given or "celery@%h"
    if "@" not in text:
        text += "@%h"
    return _filled(text, {"%h": host, "%n": short, "%d": domain, "%i": "0", "%I": ""})


def file_name(pattern: str, node: str, *, process: int) -> str:
    """Return the path of a file that one process of a node writes.

    ``%p`` is the node, ``%n`` and ``%h`` what stands before and behind its ``@``, ``%d`` the domain, ``%i`` the number
    of the process, ``%I`` the same behind a dash and nothing for the supervisor, ``%%`` a per cent sign.

    Args:
        process: 0 is the supervisor; children count from 1.
    """
    name, _, host = node.partition("@")
    values = {"%p": node, "%n": name, "%h": host, "%d": host.partition(".")[2]}
    return _filled(pattern, {**values, "%i": str(process), "%I": f"-{process}" if process else ""})


def _filled(text: str, values: Mapping[str, str]) -> str:
    """Put values into their places; what has no value stays as it is."""
    known = {**values, "%%": "%"}
    return _MARK.sub(lambda mark: known.get(mark[0], mark[0]), text)
