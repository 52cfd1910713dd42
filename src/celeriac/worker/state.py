"""What Celery has in `celery.worker.state`: what the node holds and has done, for commands and steps of users.

It is the truth in the process that is a node's supervisor, as of the moment at which somebody looks. In all others,
those that run tasks included, nothing is held: everything is empty there. Nothing here can be changed.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator, Mapping, Set
from typing import Any, Final, Protocol

from celeriac import __version__
from celeriac.wire.events import SOFTWARE
from celeriac.worker.views import Seen

SOFTWARE_INFO: Final = {"sw_ident": SOFTWARE, "sw_ver": __version__, "sw_sys": platform.system()}
"""What nodes say of themselves in their events."""

should_stop: Final = None
should_terminate: Final = None


class Looks(Protocol):
    """See what a node is doing."""

    def running(self) -> list[Seen]:
        """Return what runs now."""
        ...

    def waiting(self) -> list[Seen]:
        """Return what was claimed and does not run yet."""
        ...

    def info(self, seen: Seen, *, safe: bool = False) -> dict[str, Any]:
        """Describe a message as Celery does."""
        ...

    def totals(self) -> dict[str, int]:
        """Return how many runs of each task have begun."""
        ...


class Known(Protocol):
    """Know which ids are revoked."""

    def ids(self) -> list[str]:
        """Return them."""
        ...


class Request:
    """Describe one message that the node holds. Two of the same run are equal.

    Attributes:
        id: of the task.
        info: all else, as `inspect active` shows it; its fields are attributes, too.
    """

    def __init__(self, info: dict[str, Any]) -> None:
        self.id: str = info["id"]
        self.info = info

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["info"][name]
        except KeyError:
            raise AttributeError(
                f"a request that a node holds has no {name!r}; it has {', '.join(self.info)}"
            ) from None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Request) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"<Request: {self.info['name']}[{self.id}]>"


class _Shown:
    """The node of this process, where it is the supervisor of one."""

    looks: Looks | None = None
    known: Known | None = None


def show(looks: Looks, known: Known) -> None:
    """Have this module show a node."""
    _Shown.looks, _Shown.known = looks, known


def hide(looks: Looks) -> None:
    """Have it show that node no more."""
    if _Shown.looks is looks:
        _Shown.looks = _Shown.known = None


def _requests(*, waiting: bool = True) -> list[Request]:
    looks = _Shown.looks
    if looks is None:
        return []
    return [Request(looks.info(seen)) for seen in (*looks.running(), *(looks.waiting() if waiting else ()))]


class _Requests(Set[Request]):
    """Messages that the node holds, as of now."""

    def __init__(self, *, waiting: bool) -> None:
        self._waiting = waiting

    @classmethod
    def _from_iterable(cls, it: Iterable[Any]) -> Any:  # what `|` and the like make of it
        return frozenset(it)

    def __contains__(self, one: object) -> bool:
        return one in set(_requests(waiting=self._waiting))

    def __iter__(self) -> Iterator[Request]:
        return iter(_requests(waiting=self._waiting))

    def __len__(self) -> int:
        return len(_requests(waiting=self._waiting))


class _ById(Mapping[str, Request]):
    def __getitem__(self, task_id: str) -> Request:
        return {one.id: one for one in _requests()}[task_id]

    def __iter__(self) -> Iterator[str]:
        return iter([one.id for one in _requests()])

    def __len__(self) -> int:
        return len(_requests())


class _Totals(Mapping[str, int]):
    """How many runs of each task have begun; 0 for others, as a Counter has it."""

    def __getitem__(self, name: str) -> int:
        return self._now().get(name, 0)

    def __iter__(self) -> Iterator[str]:
        return iter(self._now())

    def __len__(self) -> int:
        return len(self._now())

    def _now(self) -> dict[str, int]:
        return {} if _Shown.looks is None else _Shown.looks.totals()


class _Revoked(Set[str]):
    @classmethod
    def _from_iterable(cls, it: Iterable[Any]) -> Any:
        return frozenset(it)

    def __contains__(self, task_id: object) -> bool:
        return task_id in self._now()

    def __iter__(self) -> Iterator[str]:
        return iter(self._now())

    def __len__(self) -> int:
        return len(self._now())

    def _now(self) -> list[str]:
        return [] if _Shown.known is None else _Shown.known.ids()


active_requests: Final = _Requests(waiting=False)
"""What runs."""

reserved_requests: Final = _Requests(waiting=True)
"""What runs, and what was claimed and does not run yet."""

scheduled_requests: Final[frozenset[Request]] = frozenset()
"""What waits for its time in the node: nothing, for it waits in the broker."""

requests: Final = _ById()
"""The same as `reserved_requests`, by id."""

total_count: Final = _Totals()
"""Runs that have begun, by the name of their task."""

revoked: Final = _Revoked()
"""Ids of tasks that are not to run."""
