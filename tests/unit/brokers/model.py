"""A broker as simple as can be: lists to look through, nothing atomic, nothing concurrent.

A row stands for one message as it was published; its `token` is the body of that message, so that it is known again
wherever it turns up.
"""

from __future__ import annotations

import copy
from collections import Counter
from dataclasses import dataclass, field

from celeriac.states import FAILURE, SUCCESS

NOBODY = 0


@dataclass
class Row:
    place: int
    token: str
    task_id: str
    queue: str
    priority: int = 0
    due_at: float | None = None
    owner: int = NOBODY
    claim: int = 0
    crashes: int = 0
    node_losses: int = 0
    releases: int = 0
    started: bool = False


@dataclass(frozen=True, order=True)
class Seen:
    """One message as it can be seen from outside; `due_in` counts only what is still to wait."""

    token: str
    queue: str
    owner: int
    due_in: float
    counters: tuple[int, int, int]


@dataclass
class Picture:
    """All that can be seen of a store at one moment."""

    rows: Counter[Seen]
    dead: Counter[str]
    results: dict[str, tuple[str, bytes]]


@dataclass
class Model:
    rows: dict[int, Row] = field(default_factory=dict)
    dead: list[Row] = field(default_factory=list)
    results: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    places: int = 0

    def copy(self) -> Model:
        return copy.deepcopy(self)

    def picture(self, now: float) -> Picture:
        return Picture(
            rows=Counter(
                Seen(
                    token=row.token,
                    queue=row.queue,
                    owner=row.owner,
                    due_in=max(0.0, row.due_at - now) if row.due_at is not None and row.owner == NOBODY else 0.0,
                    counters=(row.crashes, row.node_losses, row.releases),
                )
                for row in self.rows.values()
            ),
            dead=Counter(row.token for row in self.dead),
            results=dict(self.results),
        )

    def publish(self, token: str, task_id: str, queue: str, priority: int = 0, due_at: float | None = None) -> None:
        self.places += 1
        self.rows[self.places] = Row(self.places, token, task_id, queue, priority, due_at)

    def waiting(self, queue: str, now: float) -> list[Row]:
        """Return what may be claimed from a queue, in the order in which it must be."""
        due = [
            row
            for row in self.rows.values()
            if row.queue == queue and row.owner == NOBODY and (row.due_at is None or row.due_at <= now)
        ]
        return sorted(due, key=lambda row: (row.priority, row.place))

    def with_token(self, token: str) -> Row:
        [row] = [row for row in self.rows.values() if row.token == token]
        return row

    def owned_by(self, owner: int) -> list[Row]:
        return [row for row in self.rows.values() if row.owner == owner]

    def claimed(self, place: int, claim: int) -> Row | None:
        """Return a row if its present claim is the one of that number."""
        row = self.rows.get(place)
        return row if row is not None and row.owner != NOBODY and row.claim == claim else None

    def take(self, row: Row, owner: int) -> None:
        row.owner, row.due_at = owner, None
        row.claim += 1

    def give_back(self, row: Row, due_at: float | None = None) -> None:
        row.owner, row.due_at, row.started = NOBODY, due_at, False

    def lose_owner(self, owner: int) -> None:
        for row in self.owned_by(owner):
            row.node_losses += row.started
            self.give_back(row)

    def record(self, task_id: str, state: str, record: bytes) -> None:
        if self.results.get(task_id, ("", b""))[0] != SUCCESS:
            self.results[task_id] = (state, record)

    def bury(self, row: Row) -> None:
        del self.rows[row.place]
        self.dead.append(row)

    def replay(self, token: str) -> None:
        [row] = [row for row in self.dead if row.token == token]
        self.dead.remove(row)
        self.publish(row.token, row.task_id, row.queue, row.priority)
        if self.results.get(row.task_id, ("", b""))[0] == FAILURE:
            del self.results[row.task_id]

    def discard(self, token: str) -> None:
        self.dead = [row for row in self.dead if row.token != token]

    def purge(self, queue: str) -> None:
        self.rows = {place: row for place, row in self.rows.items() if row.queue != queue or row.owner != NOBODY}
