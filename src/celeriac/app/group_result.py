"""The caller's view of a group."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, overload

from celeriac.app.current import current_app
from celeriac.app.result import AsyncResult
from celeriac.app.result_set import ResultSet
from celeriac.app.result_tree import ResultGraph, walk
from celeriac.exceptions import ResultBackendDisabled

if TYPE_CHECKING:
    from celeriac.app.application import Celery


class GroupResult(ResultSet):
    """Ask what became of a group: of all its members, or of each.

    Args:
        id: of the group.
        results: of its members, in their order.
        parent: result of the run whose end the group follows.
        app: None is that of the results, else the current one.
    """

    __slots__ = ("id", "parent")

    def __init__(
        self,
        id: str | None = None,
        results: Iterable[Any] | None = None,
        parent: Any = None,
        app: Celery | None = None,
        **options: Any,
    ) -> None:
        super().__init__(() if results is None else results, app=app)
        if results is None:
            self.results = []
        self.id: Any = id
        self.parent = parent

    @classmethod
    def of_ids(cls, id: str, ids: Sequence[str], others: Mapping[int, Any]) -> GroupResult:
        """Make the result of a group: of the ids of its members, and results of those that are more than a run."""
        app = cls._home or current_app()
        return cls(id, MemberResults(ids, others, app))

    @property
    def has_groups(self) -> bool:
        """True when a member is a group itself, or ends in one."""
        members = self.results
        made = members.composed() if isinstance(members, MemberResults) else members
        return any(isinstance(each, ResultSet) for each in made)

    # -- keeping it ---------------------------------------------------------------------------------------------

    def save(self, backend: Any = None) -> Any:
        """Keep which results belong to the group, to be restored by its id, for as long as results are kept."""
        return _backend_of(backend, self.app, self.id).save_group(self.id, self.app.write_group(self))

    @classmethod
    def restore(cls, id: str, backend: Any = None, app: Celery | None = None) -> GroupResult | None:
        """Return a group that was saved, or None when there is none of that id."""
        app = app or cls._home or current_app()
        record = _backend_of(backend, app, id).restore_group(id)
        return None if record is None else app.read_group(record)

    def delete(self, backend: Any = None) -> None:
        """Delete what `save` has kept; the results stay."""
        _backend_of(backend, self.app, self.id).delete_group(self.id)

    # -- what follows, and what was before ----------------------------------------------------------------------

    @property
    def children(self) -> Any:
        """Results of the members."""
        return self.results

    def is_known(self) -> bool:
        """Say whether it is known here that all members have ended, apart from those that tell no result."""
        return all(each.is_known() or each.ignored for each in self.results)

    wants_record = False
    ignored = False

    def maybe_throw_if_known(self) -> None:
        """Raise what a member is known to have raised; look nowhere."""
        for each in self.results:
            each.throw_if_known()

    throw_if_known = maybe_throw_if_known

    def iterdeps(self, intermediate: bool = False) -> Iterator[tuple[Any, Any]]:
        """Yield (sender, result) for the group, its members, and all that they have sent; see `AsyncResult`."""
        return walk(self, intermediate=intermediate)

    def collect(self, intermediate: bool = False, **options: Any) -> Iterator[tuple[Any, Any]]:
        """Yield (result, value) for the results that `iterdeps` yields; `options` are those of `get`."""
        for _, node in self.iterdeps(intermediate=intermediate):
            yield node, node.get(**options)

    def build_graph(self, intermediate: bool = False, formatter: None = None) -> ResultGraph:
        """Return which run has sent which others; see `AsyncResult`."""
        return ResultGraph(self.iterdeps(intermediate=intermediate))

    @property
    def graph(self) -> ResultGraph:
        """What `build_graph` returns."""
        return self.build_graph()

    def as_tuple(self) -> tuple[tuple[str, Any], list[Any]]:
        """Return the form in which records name it: ``((id, parent's form), [each member's form])``."""
        before = None if self.parent is None else self.parent.as_tuple()
        return (self.id, before), [each.as_tuple() for each in self.results]

    def as_list(self) -> list[str]:
        """Return the ids of the members and their parents."""
        return [id for each in self.results for id in each.as_list()]

    # -- as a value ---------------------------------------------------------------------------------------------

    def __bool__(self) -> bool:
        return bool(self.id or self.results)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, GroupResult):
            return bool(self.id == other.id and self.parent == other.parent and list(self) == list(other))
        return self.id == other if isinstance(other, str) else NotImplemented

    def __hash__(self) -> int:  # type: ignore[override]  # unlike a set of results, a group is known by its id
        return hash(self.id)

    def __str__(self) -> str:
        return str(self.id)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.id} [{', '.join(str(each.id) for each in self.results)}]>"

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (self.id, list(self.results), self.parent)


class MemberResults(Sequence[Any]):
    """Be the list of the results of a group, each made when somebody asks for it, and then kept.

    Args:
        ids: of the members.
        others: results of those that are more than one run, by place.
        app: whose results they are.
    """

    def __init__(self, ids: Sequence[str], others: Mapping[int, Any], app: Celery) -> None:
        self._ids = ids
        self._made: dict[int, Any] = dict(others)
        self._app = app

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return [self[at] for at in range(*index.indices(len(self)))]
        length = len(self)
        if not -length <= index < length:
            raise IndexError(f"the group has {length} members, and none at {index}")
        at = index % length
        made = self._made.get(at)
        if made is None:
            made = self._made[at] = AsyncResult(self._ids[at], app=self._app)
        return made

    def composed(self) -> list[Any]:
        """Return the results that are made already: among them all that are more than one run."""
        return list(self._made.values())

    def __len__(self) -> int:
        return len(self._ids)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, (list, tuple, MemberResults)):
            return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]  # as of a list

    def __reduce__(self) -> tuple[Any, ...]:
        return list, (list(self),)

    def __repr__(self) -> str:
        return repr(list(self))


def group_class(app: Celery) -> type[GroupResult]:
    """Return a class of results of groups that belong to an app."""
    return type("GroupResult", (GroupResult,), {"__slots__": (), "__module__": __name__, "_home": app})


def set_class(app: Celery) -> type[ResultSet]:
    """Return a class of sets of results that belong to an app."""
    return type("ResultSet", (ResultSet,), {"__slots__": (), "__module__": __name__, "_home": app})


def _backend_of(backend: Any, app: Celery, id: str) -> Any:
    found = backend or app.backend
    if found is None:
        raise ResultBackendDisabled(f"group {id} cannot be saved or restored: this app has no result backend")
    return found


def _again(id: str, results: list[Any], parent: Any) -> GroupResult:
    return GroupResult(id, results, parent)
