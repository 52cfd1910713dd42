"""Commands about the memory of the supervisor."""

from __future__ import annotations

import logging
import os
import tempfile
import time
from collections import deque
from importlib import import_module
from typing import Any, Final

from celeriac.worker.commands.panel import built_in, not_ok
from celeriac.worker.commands.state import State
from celeriac.worker.daemons import in_daemon
from celeriac.worker.recycling import memory_kib

logger: Final = logging.getLogger("celeriac.worker")

_KEPT_SAMPLES: Final = 1_000
_OBJECTS_MAX: Final = 10_000
_DEPTH_MAX: Final = 100
_SHOWN_MAX: Final = 200
_NO_OBJGRAPH: Final = (
    "objgraph needs the package of that name where this node runs: pip install objgraph, and Graphviz for pictures; "
    "without it, attach py-spy or memray to the process that grows"
)

_samples: Final[deque[tuple[float, str]]] = deque(maxlen=_KEPT_SAMPLES)


@built_in("inspect")
def memsample(state: State, **more: Any) -> str:
    """Show the resident memory of the supervisor now."""
    text = f"{memory_kib(os.getpid()) / 1024:.2f}MB"
    _samples.append((time.time(), text))
    return text


@built_in("inspect", args=[("samples", int)], signature="[n_samples=10]")
def memdump(state: State, samples: int = 10, **more: Any) -> str:
    """Show what `memsample` has found so far."""
    count = max(1, min(int(samples), _KEPT_SAMPLES))
    lines = [f"- rss (sample): {text}." for _, text in list(_samples)[-count:]]
    return "\n".join([*lines, f"- rss (end): {memory_kib(os.getpid()) / 1024:.2f}MB.\n"])


@built_in(
    "inspect",
    default_timeout=60.0,
    args=[("type", str), ("num", int), ("max_depth", int)],
    signature="[object_type=Request] [num=200 [max_depth=10]]",
)
async def objgraph(state: State, num: int = 200, max_depth: int = 10, type: str = "Request") -> dict[str, str]:
    """Draw what keeps objects of a type alive in the supervisor; needs the package objgraph."""
    try:
        drawer = import_module("objgraph")
    except ImportError:
        return not_ok(_NO_OBJGRAPH)
    count, depth = (max(1, min(int(number), most)) for number, most in ((num, _OBJECTS_MAX), (max_depth, _DEPTH_MAX)))
    logger.info("Dumping graph for type %r", str(type)[:_SHOWN_MAX])
    return {"filename": await in_daemon(lambda: _drawn(drawer, str(type), count, depth))}


def _drawn(drawer: Any, kind: str, count: int, depth: int) -> str:
    """Draw objects and what refers to them; return the file."""
    objects = drawer.by_type(kind)[:count]
    chosen = set(map(id, objects))
    with tempfile.NamedTemporaryFile(prefix="cobjg", suffix=".png", delete=False) as file:
        drawer.show_backrefs(objects, max_depth=depth, highlight=lambda one: id(one) in chosen, filename=file.name)
    return file.name
