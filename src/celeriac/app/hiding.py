"""Which arguments of a task people are not to see: its option `sensitive`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from inspect import Parameter, signature
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from celeriac.app.task import Task

HIDDEN: Final = "<hidden>"
"""What stands for an argument that is not shown."""

_BY_PLACE: Final = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)


class Hiding(msgspec.Struct, frozen=True):
    """Know which arguments of one task are hidden.

    Attributes:
        everything: all are.
        names: those given by name.
        places: those given by place.
        rest_from: those from this place on, which ``*args`` takes.
        rest_but: those given by any name but these, which ``**kwargs`` takes.
    """

    everything: bool = False
    names: frozenset[str] = frozenset()
    places: frozenset[int] = frozenset()
    rest_from: int | None = None
    rest_but: frozenset[str] | None = None

    def hide(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the arguments as they may be shown. Their number and names can be seen."""
        return (
            tuple(HIDDEN if self._hides_place(place) else value for place, value in enumerate(args)),
            {name: HIDDEN if self._hides_name(name) else value for name, value in kwargs.items()},
        )

    def _hides_place(self, place: int) -> bool:
        return self.everything or place in self.places or (self.rest_from is not None and place >= self.rest_from)

    def _hides_name(self, name: str) -> bool:
        return self.everything or name in self.names or (self.rest_but is not None and name not in self.rest_but)


_EVERYTHING: Final = Hiding(everything=True)


def hiding_of(task: Task[..., Any]) -> Hiding | None:
    """Read the option `sensitive` of a task; None when nothing is hidden.

    Raises:
        ValueError: it names what is no argument of the task.
    """
    sensitive = task.sensitive
    if not sensitive:
        return None
    return _EVERYTHING if isinstance(sensitive, bool) else _hiding(task.name, task.run, tuple(sensitive))


@lru_cache(maxsize=1024)
def _hiding(task_name: str, run: Callable[..., Any], sensitive: tuple[str, ...]) -> Hiding:
    names = frozenset(sensitive)
    parameters = list(signature(run).parameters.values())
    unknown = sorted(names - {each.name for each in parameters})
    if unknown and all(each.kind is not Parameter.VAR_KEYWORD for each in parameters):
        raise ValueError(
            f"sensitive of task {task_name!r} names {unknown[0]!r}, which is none of its arguments: "
            f"{', '.join(each.name for each in parameters)}"
        )
    hidden = [(place, each) for place, each in enumerate(parameters) if each.name in names]
    takes_all_names = any(each.kind is Parameter.VAR_KEYWORD for _, each in hidden)
    return Hiding(
        names=names,
        places=frozenset(place for place, each in hidden if each.kind in _BY_PLACE),
        rest_from=next((place for place, each in hidden if each.kind is Parameter.VAR_POSITIONAL), None),
        rest_but=frozenset(each.name for each in parameters) - names if takes_all_names else None,
    )


def shown_arguments(
    task: Task[..., Any] | None, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> tuple[Sequence[Any], Mapping[str, Any]]:
    """Return the arguments of a run as logs, results and monitors may show them.

    Args:
        task: None when it is not registered here; then nothing is known of what is sensitive, and all is shown.
    """
    hiding = None if task is None else hiding_of(task)
    return (args, kwargs) if hiding is None else hiding.hide(args, kwargs)
