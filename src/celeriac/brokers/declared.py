"""What a process has said that there is to be: queues, and the bindings that lead to them. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from celeriac.brokers.topology import Binding, Broadcast, Queue


class Declared:
    """Remember declared queues by their names. Safe in any thread: what is replaced is replaced whole."""

    def __init__(self) -> None:
        self._queues: dict[str, Queue] = {}
        self._behind: dict[str, dict[str, tuple[Binding, ...]]] = {}

    def add(self, queues: Iterable[Queue]) -> None:
        """Remember queues; a later declaration of a name takes the place of the one before."""
        for queue in queues:
            former = self._queues.get(queue.name)
            for each in () if former is None else former.leads_here():
                left = {name: found for name, found in self._behind[each.exchange].items() if name != queue.name}
                self._behind[each.exchange] = left
            self._queues[queue.name] = queue
            leads: dict[str, list[Binding]] = {}
            for each in queue.leads_here():
                leads.setdefault(each.exchange, []).append(each)
            for exchange, bindings in leads.items():
                self._behind[exchange] = {**self._behind.get(exchange, {}), queue.name: tuple(bindings)}

    def queue(self, name: str) -> Queue | None:
        """Return what was declared under a name."""
        return self._queues.get(name)

    def names(self) -> list[str]:
        """Return the names of what was declared, but of queues that only exist while a node has them."""
        return [name for name in self._queues if not self.belongs_to_node(name)]

    def leads_to(self, name: str) -> list[Binding]:
        """Return what leads to a queue, beside its name; of one that was not declared, what leads to any such queue."""
        queue = self._queues.get(name)
        if queue is None:
            return [Binding(exchange=name, kind="direct", routing_key=name, queue=name)]
        return [] if queue.no_declare else queue.leads_here()

    def behind(self, exchange: str) -> list[Binding]:
        """Return the bindings of an exchange, without those of queues that only exist while a node has them."""
        found = self._behind.get(exchange)
        if not found:
            return []
        return [each for name, some in found.items() if not self.belongs_to_node(name) for each in some]

    def belongs_to_node(self, name: str) -> bool:
        """Say whether a queue is for one node, and ends with it."""
        return isinstance(self._queues.get(name), Broadcast)

    def uncommon(self, names: Iterable[str]) -> list[str]:
        """Return the queues that others could not guess, who know their names: those that are bound unlike any."""
        return [name for name in names if (queue := self._queues.get(name)) is not None and not queue.is_plain]
