"""Runs that may have killed a child: where several ran in it, nobody knows which of them did.

Counting that death against all of them would dead-letter innocents. So nothing is counted; the suspects run again one
at a time, alone in a child, and only who kills that one is counted.
"""

from __future__ import annotations

from collections.abc import Container

from celeriac.worker.held import Held


class Suspects:
    """Keep the suspects of a node, in the order in which they came under suspicion."""

    def __init__(self) -> None:
        self._by_number: dict[int, Held] = {}

    def __len__(self) -> int:
        return len(self._by_number)

    @property
    def first(self) -> Held:
        """The next one to run."""
        return next(iter(self._by_number.values()))

    def add(self, held: Held) -> None:
        self._by_number[held.number] = held

    def remove(self, held: Held) -> None:
        self._by_number.pop(held.number, None)

    def take_out(self, numbers: Container[int]) -> list[Held]:
        """Hand over those of some numbers."""
        found = [held for number, held in self._by_number.items() if number in numbers]
        for held in found:
            self.remove(held)
        return found

    def withdraw(self) -> list[Held]:
        """Hand all of them over."""
        found = list(self._by_number.values())
        self._by_number.clear()
        return found
