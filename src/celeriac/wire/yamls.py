"""YAML as Celery writes it: PyYAML's safe subset, keys sorted, in blocks.

Aliases let a few bytes stand for any number of values, so what a text comes to is counted before a value is made.
PyYAML is an extra and slow (see the documentation): it is imported when somebody uses it.
"""

from __future__ import annotations

from datetime import date, datetime
from importlib import import_module
from types import ModuleType
from typing import Any, Final

from celeriac.exceptions import DecodeError, EncodeError
from celeriac.wire.limits import DEFAULT_LIMITS
from celeriac.wire.values import Faults, Flattener

_MAX_DEPTH: Final = DEFAULT_LIMITS.max_depth
_MAX_VALUES: Final = 1_000_000
_MAX_DIGITS: Final = 4300  # Python's own limit, which PyYAML's numbers to the base of 60 get around


def library() -> ModuleType:
    """Import PyYAML.

    Raises:
        ImportError: it is not installed; the text names the extra.
    """
    try:
        return import_module("yaml")
    except ImportError as exc:
        raise ImportError('YAML needs PyYAML: pip install "celeriac[yaml]"') from exc


def dumps(value: Any, *, name: str = "value", max_depth: int = _MAX_DEPTH) -> bytes:
    """Write a value.

    Args:
        value: None, booleans, numbers, text, bytes, dates, datetimes and sets, and lists, tuples and dicts of these.
        name: what the value is called in errors.
        max_depth: lists and maps inside each other.

    Raises:
        EncodeError: a part of it cannot be written; the text says which. Or PyYAML is not installed.
        MessageTooLarge: it is nested too deep.
    """
    try:
        return _encode(value, max_depth)
    except ImportError as exc:
        raise EncodeError(str(exc)) from exc
    except Exception as exc:  # PyYAML's own, and what a `__json__` of users raises
        _FAULTS.refuse(value, name, max_depth=max_depth, cure="flatten it, or raise message_max_depth")
        raise EncodeError(f"{name} cannot be written as YAML: {exc}") from exc


def _encode(value: Any, max_depth: int) -> bytes:
    text: str = library().safe_dump(_FLATTENER.flatten(value, max_depth))
    return text.encode()


def loads(data: bytes, *, max_depth: int = _MAX_DEPTH, name: str = "") -> Any:
    """Read a value.

    Args:
        name: what errors call the data.

    Raises:
        DecodeError: it is not of the safe subset, is nested deeper than `max_depth`, or comes to more than a million
            values. Or PyYAML is not installed.
    """
    try:
        return _decode(data, max_depth)
    except ImportError as exc:
        raise DecodeError(str(exc)) from exc
    except RecursionError as exc:
        raise DecodeError(f"{name + ': ' if name else ''}YAML of {len(data)} bytes is nested too deep") from exc
    except Exception as exc:  # PyYAML's constructors let ValueError, KeyError, IndexError and more through
        short = " ".join(str(exc).split())
        raise DecodeError(f"{name + ': ' if name else ''}{len(data)} bytes are not YAML: {short}") from exc


def _decode(data: bytes, max_depth: int) -> Any:
    yaml = library()
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(data)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _Measure(yaml, max_depth).values_in(node, max_depth)
        return loader.construct_document(node)
    finally:
        loader.dispose()


class _Measure:
    """Count what a text comes to, each alias as all that it stands for."""

    def __init__(self, yaml: ModuleType, max_depth: int) -> None:
        self._scalar = yaml.ScalarNode
        self._mapping = yaml.MappingNode
        self._max_depth = max_depth
        self._known: dict[int, tuple[int, int]] = {}

    def values_in(self, node: Any, room: int) -> tuple[int, int]:
        """Return how many values a node comes to and how deep it is.

        Raises:
            ValueError: it is more, deeper or longer than what is read.
        """
        if isinstance(node, self._scalar):
            if len(node.value) > _MAX_DIGITS and node.tag.endswith((":int", ":float")):
                raise ValueError(f"a number of {len(node.value)} characters")
            return 1, 0
        known = self._known.get(id(node))
        if known is None:
            if room <= 0:
                raise ValueError(f"nested more than {self._max_depth} deep")
            parts = [part for pair in node.value for part in pair] if isinstance(node, self._mapping) else node.value
            counts = [self.values_in(part, room - 1) for part in parts]
            known = 1 + sum(count for count, _ in counts), 1 + max((depth for _, depth in counts), default=0)
            self._known[id(node)] = known
        if known[0] > _MAX_VALUES:
            raise ValueError(f"comes to more than {_MAX_VALUES} values")
        if known[1] > room:
            raise ValueError(f"nested more than {self._max_depth} deep")
        return known


_FLATTENER: Final = Flattener(
    "YAML",
    kinds=frozenset({type(None), bool, int, float, str, bytes, date, datetime, set}),
    keys=frozenset({type(None), bool, int, float, str, bytes, date, datetime}),
)
_FAULTS: Final = Faults(
    "YAML",
    lambda value: _encode(value, _MAX_DEPTH),
    keys=(type(None), bool, int, float, str, bytes, date),
    key_words="scalars",
)
