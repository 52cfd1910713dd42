"""Have a node run more or fewer bodies at once, or all of its processes start anew, while it works."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Final

from celeriac.exceptions import ImproperlyConfigured
from celeriac.worker.children import Child
from celeriac.worker.options import BODIES_MAX
from celeriac.worker.slots import Slots

logger: Final = logging.getLogger("celeriac.worker")


class Resizing:
    """Change the children of a node. What runs in those that leave ends first; what waits there runs elsewhere.

    Args:
        slots: where they are.
        layout: returns how many bodies each child is to run, for so many at once in the node.
    """

    def __init__(self, slots: Slots, layout: Callable[[int], tuple[int, ...]]) -> None:
        self._slots = slots
        self._layout = layout

    def grow(self, count: int) -> None:
        """Run more bodies at once.

        Raises:
            ValueError: this pool cannot.
        """
        self._resize(sum(self._slots.capacities) + count)

    def shrink(self, count: int) -> None:
        """Run fewer bodies at once.

        Raises:
            ValueError: this pool cannot, or none would be left.
        """
        self._resize(sum(self._slots.capacities) - count)

    def replace(self) -> None:
        """Start all children anew, each after its current runs."""
        crew = self._slots.lives.crew()
        logger.info("Starting %d processes of the pool anew", len(crew))
        self._retire(crew)

    def _resize(self, bodies: int) -> None:
        before = sum(self._slots.capacities)
        if not 1 <= bodies <= BODIES_MAX:
            raise ValueError(f"a node runs from 1 to {BODIES_MAX:,} tasks at once; this one runs {before}")
        try:
            capacities = self._layout(bodies)
        except ImproperlyConfigured as exc:
            raise ValueError(str(exc)) from exc
        if sum(capacities) != bodies:
            raise ValueError(f"this pool cannot run {bodies} tasks at once")
        self._retire(self._slots.lives.resize(capacities))
        logger.info("Running %d tasks at once from now on, instead of %d", bodies, before)

    def _retire(self, children: Iterable[Child]) -> None:
        for child in children:
            self._slots.take_back(child)
            self._slots.lives.retire(child)
        self._slots.dispatch()
