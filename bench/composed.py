"""Canvases of one entrant: a group is published, a chord and a chain come to their ends. For `bench.trial`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from bench.processes import cpu_seconds, descendants, private_mb, worker

WITHIN: Final = 100.0


class Composer(Protocol):
    """What a module has to say so that its canvases can be measured.

    Attributes:
        WORKER: command of a worker with two processes, to be run from the root of the checkout.
        canvas: its package's module that has `group`, `chain` and `chord`.
        inc: a task that adds one.
        count: a task that counts what it gets.
    """

    WORKER: Sequence[str]
    canvas: Any
    inc: Any
    count: Any

    def prepare(self) -> None:
        """Remove what an earlier trial left."""


def group(composer: Composer, size: int, log: Path) -> dict[str, float]:
    """Build and publish a group."""
    composer.prepare()
    _group_of(composer, 100).apply_async()
    begun_at = time.perf_counter()
    _group_of(composer, size).apply_async()
    return {"per_s": size / (time.perf_counter() - begun_at)}


def chord(composer: Composer, size: int, log: Path) -> dict[str, float]:
    """Build and publish a chord, and wait for its body."""
    return _to_the_end(composer, log, _chord_of(composer, 100), _chord_of(composer, size), size)


def chain(composer: Composer, size: int, log: Path) -> dict[str, float]:
    """Build and publish a chain, and wait for its last step."""
    return _to_the_end(composer, log, _chain_of(composer, 10), _chain_of(composer, size), size)


def _group_of(composer: Composer, size: int) -> Any:
    return composer.canvas.group(composer.inc.s(number) for number in range(size))


def _chord_of(composer: Composer, size: int) -> Any:
    return composer.canvas.chord([composer.inc.s(number) for number in range(size)], composer.count.s())


def _chain_of(composer: Composer, size: int) -> Any:
    return composer.canvas.chain(composer.inc.s(0), *[composer.inc.s() for _ in range(size - 1)])


def _to_the_end(composer: Composer, log: Path, first: Any, whole: Any, size: int) -> dict[str, float]:
    """Send a small canvas, which waits for the worker to be there, then the one that is measured."""
    composer.prepare()
    with worker(composer.WORKER, log) as process:
        first.apply_async().get(timeout=WITHIN)
        family = [process, *descendants(process.pid)]
        computed, memory = cpu_seconds(family), private_mb([process])
        begun_at = time.perf_counter()
        came_to = whole.apply_async().get(timeout=WITHIN)
        took = time.perf_counter() - begun_at
        assert came_to == size, f"it came to {came_to}, not {size}"
        return {
            "per_s": size / took,
            "cpu_ms_each": (cpu_seconds(family) - computed) / size * 1e3,
            "grown_mb": private_mb([process]) - memory,
        }


PHASES: Final = {"group": group, "chord": chord, "chain": chain}
