"""Commands about the memory of the supervisor."""

from __future__ import annotations

import os
import time
from collections import deque
from typing import Any, Final

from celeriac.worker.commands.panel import built_in, not_ok
from celeriac.worker.commands.state import State
from celeriac.worker.recycling import memory_kib

_KEPT_SAMPLES: Final = 1_000

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
def objgraph(state: State, num: int = 200, max_depth: int = 10, type: str = "Request") -> dict[str, str]:
    """Say that it is not available here."""
    return not_ok("objgraph is not available in celeriac; attach py-spy or memray to the process that grows")
