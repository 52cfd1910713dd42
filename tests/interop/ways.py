"""The way of a message from a program of one kind to a worker of another, and of its result back to both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from tests.interop.fleet import Fleet, Kind

GET_TIMEOUT: Final = 40
NO_SETTINGS: Final[Mapping[str, Any]] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """Call from one kind, run on another.

    Attributes:
        fleet: in which a worker of the other kind runs.
        producer: the kind that calls.
        consumer: the kind that runs.
    """

    fleet: Fleet
    producer: Kind
    consumer: Kind

    @property
    def package(self) -> str:
        """What tasks call the package that they run in."""
        return self.consumer.package

    def send(self, call: str, **values: Any) -> str:
        """Make a call, and return its id: `send("add.delay(1, 2)")`."""
        task_id: str = self.fleet.client(self.producer).run(f"{call}.id", **values)
        return task_id

    def get(self, task_id: str) -> Any:
        """Return the value of a call, as both kinds read it."""
        return self._agreed(f"app.AsyncResult({task_id!r}).get(timeout={GET_TIMEOUT})")

    def call(self, call: str, *, settings: Mapping[str, Any] = NO_SETTINGS, **values: Any) -> Any:
        """Make a call and wait for it where it is made; return the value as both kinds read it.

        Args:
            call: the expression.
            settings: of the program that makes it, besides the fleet's.
            values: for names in braces.
        """
        expression = f"(lambda result: [result.id, result.get(timeout={GET_TIMEOUT})])({call})"
        task_id, value = self.fleet.client(self.producer, **settings).run(expression, **values)
        assert self.get(task_id) == value
        return value

    def failure(self, task_id: str) -> list[Any]:
        """Return what reading a call raises: the name of the class, and its arguments as text."""
        found: list[Any] = self._agreed(f"failure(lambda: app.AsyncResult({task_id!r}).get(timeout={GET_TIMEOUT}))")
        return found

    def state(self, task_id: str) -> str:
        """Return the state of a call that has ended."""
        self.fleet.record(task_id)
        state: str = self._agreed(f"app.AsyncResult({task_id!r}).state")
        return state

    def _agreed(self, expression: str) -> Any:
        """Return what both kinds say."""
        answers = {kind.name: self.fleet.client(kind).run(expression) for kind in (self.producer, self.consumer)}
        first, *others = answers.values()
        assert all(other == first for other in others), answers
        return first
