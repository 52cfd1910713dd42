"""Whether a call fits a function, decided before the call is sent."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from inspect import Parameter, signature
from typing import Any, Final

from celeriac.wire.reprs import bounded_repr

_PLAIN: Final = frozenset({Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY})


class ArgumentCheck:
    """Check calls of one function.

    A call that fits costs a quarter of a microsecond; `inspect.Signature.bind` (5 µs) explains those that do not, and
    decides about functions with ``*args``, ``**kwargs`` or positional-only parameters.

    Args:
        name: of the task, for errors.
        function: what will be called; its signature is read once.
    """

    __slots__ = ("_by_place", "_name", "_signature")

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        self._name = name
        self._signature = signature(function)
        parameters = list(self._signature.parameters.values())
        self._by_place = _by_place(parameters) if all(p.kind in _PLAIN for p in parameters) else []

    def __call__(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """Raise `TypeError` when the function cannot be called like this."""
        given = len(args)
        if given < len(self._by_place):
            needed, allowed = self._by_place[given]
            if needed <= kwargs.keys() <= allowed:
                return
        try:
            self._signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"task {self._name!r} cannot be called like this: {error}") from None


def arguments_of(
    args: Sequence[Any] | None, kwargs: Mapping[str, Any] | None
) -> tuple[Sequence[Any], Mapping[str, Any]]:
    """Return the arguments of a call, none for None.

    Raises:
        TypeError: they are no list or tuple, or no mapping of names; a text would be taken for its characters.
    """
    if args is None:
        args = ()
    elif not isinstance(args, (list, tuple)):
        raise TypeError(f"task args must be a list or tuple, got {_shown(args)}")
    if kwargs is None:
        kwargs = {}
    elif not isinstance(kwargs, Mapping):
        raise TypeError(f"task kwargs must be a dict of names and values, got {_shown(kwargs)}")
    for name in kwargs:
        if not isinstance(name, str):
            raise TypeError(f"task kwargs must have texts for names, got {_shown(name)}")
    return args, kwargs


def check_task_name(name: object) -> None:
    """Raise `TypeError` for what cannot be the name of a task."""
    if not isinstance(name, str):
        raise TypeError(f"the name of a task must be a text, got {_shown(name)}")


def _shown(value: object) -> str:
    return f"{type(value).__name__} {bounded_repr(value, limit=80)}"


def _by_place(parameters: Sequence[Parameter]) -> list[tuple[frozenset[str], frozenset[str]]]:
    """Return, by number of positional arguments, the names that must and may be given as keywords."""
    placed = sum(p.kind is Parameter.POSITIONAL_OR_KEYWORD for p in parameters)
    return [
        (
            frozenset(p.name for p in parameters[given:] if p.default is Parameter.empty),
            frozenset(p.name for p in parameters[given:]),
        )
        for given in range(placed + 1)
    ]
