"""Values of Python as plain data: what travels in place of a dataclass, an enum or a subclass.

The rule is one for every serializer but pickle: an enum travels as its value, a dataclass as the dict of its fields,
what has a `__json__` method as that says. No name of a class travels, so nothing has to be imported to read it, and
what arrives is the plain value.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any, Final

from celeriac.exceptions import EncodeError, MessageTooLarge
from celeriac.wire.reprs import bounded_repr

_SCALARS: Final[tuple[tuple[type, Callable[[Any], object]], ...]] = (
    # By the builtin's own method, so that no override of a subclass has a say.
    (str, str.__str__),
    (int, int.__int__),
    (float, float.__float__),
    (bytes, lambda value: bytes(memoryview(value))),
    (bytearray, bytes),
    (memoryview, bytes),
)


class TooDeepError(ValueError):
    """Say that a value is nested deeper than it may be."""


def stand_in(value: Any, *, serializer: str) -> object:
    """Return what travels in place of a value that is no plain data.

    Raises:
        TypeError: nothing does.
        Exception: whatever a `__json__` method raises.
    """
    own_form = getattr(value, "__json__", None)
    if own_form is not None:
        return own_form()
    if isinstance(value, Enum):
        return value.value
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    if _is_lazy_text(value):
        return str(value)
    hint = (
        "; a task with pydantic=True carries models in parameters that are annotated with them"
        if hasattr(type(value), "model_dump")
        else ""
    )
    raise TypeError(f"{serializer} cannot carry a {type(value).__qualname__}{hint}")


def _is_lazy_text(value: object) -> bool:
    """Say whether this is Django's translated-later text, without importing Django."""
    module = sys.modules.get("django.utils.functional")
    return module is not None and isinstance(value, module.Promise)


class Flattener:
    """Make plain data of values, for encoders that would write more than they should, or in their own way.

    Args:
        serializer: its name, for errors.
        kinds: exact types that the encoder may be given; lists and dicts besides.
        keys: exact types that it may be given as keys.
    """

    def __init__(self, serializer: str, *, kinds: frozenset[type], keys: frozenset[type]) -> None:
        self._serializer = serializer
        self._kinds = kinds
        self._keys = keys

    def flatten(self, value: Any, room: int) -> Any:
        """Return the value as plain data.

        Args:
            room: lists and dicts that may be inside each other.

        Raises:
            TooDeepError, RecursionError: it is deeper than that.
            TypeError: a part of it is nothing that the serializer carries.
        """
        kind = type(value)
        if kind in self._kinds:
            return value
        if kind is list or kind is tuple:
            if not room:
                raise TooDeepError
            return [self.flatten(item, room - 1) for item in value]
        if kind is dict:
            if not room:
                raise TooDeepError
            return {self._key(key): self.flatten(item, room - 1) for key, item in value.items()}
        return self.flatten(self._plain(value), room)

    def _key(self, key: Any) -> Any:
        if type(key) in self._keys:
            return key
        key = key.value if isinstance(key, Enum) else _scalar(key)
        if type(key) not in self._keys:
            raise TypeError(f"{self._serializer} has no {type(key).__qualname__} for keys")
        return key

    def _plain(self, value: Any) -> object:
        if not isinstance(value, Enum):
            if isinstance(value, dict) and not hasattr(value, "__json__"):
                return dict(value)
            if isinstance(value, (list, tuple)):
                return list(value)
            scalar = _scalar(value)
            if type(scalar) in self._kinds:
                return scalar
        return stand_in(value, serializer=self._serializer)


def _scalar(value: Any) -> object:
    """Return a scalar of a subclass as the builtin that it is; anything else as it is."""
    for kind, plain in _SCALARS:
        if isinstance(value, kind):
            return plain(value)
    return value


class Faults:
    """Find out which part of a value it is that cannot be written.

    Args:
        serializer: how people call it.
        encode: writes a value, or raises.
        keys: types that may be keys of dicts.
        key_words: those, in words.
    """

    def __init__(
        self, serializer: str, encode: Callable[[Any], object], *, keys: tuple[type, ...], key_words: str
    ) -> None:
        self._serializer = serializer
        self._encode = encode
        self._keys = keys
        self._key_words = key_words

    def refuse(self, value: object, name: str, *, max_depth: int, cure: str) -> None:
        """Raise about the first part of a value that cannot be written; return when each of them can.

        Args:
            name: what the value is called.
            cure: what the error about too deep a value tells people to do.

        Raises:
            EncodeError: naming the part.
            MessageTooLarge: it is nested too deep.
        """
        self._refuse_part(value, name, (), max_depth, cure)

    def _refuse_part(self, value: object, path: str, above: tuple[object, ...], max_depth: int, cure: str) -> None:
        if any(value is outer for outer in above):
            raise EncodeError(f"{path[:200]} contains itself")
        if len(above) > max_depth:
            raise MessageTooLarge(f"{path[:200]}... is nested more than {max_depth} deep; {cure}")
        if isinstance(value, dict):
            for key, item in value.items():
                shown = bounded_repr(key, limit=80)
                if not isinstance(key, self._keys):
                    raise EncodeError(
                        f"{path[:200]} has the key {shown}; {self._serializer} has only {self._key_words} for keys"
                    )
                self._refuse_part(item, f"{path}[{shown}]", (*above, value), max_depth, cure)
        elif isinstance(value, (list, tuple)):
            for index, item in enumerate(value):
                self._refuse_part(item, f"{path}[{index}]", (*above, value), max_depth, cure)
        else:
            self._refuse_leaf(value, path)

    def _refuse_leaf(self, value: object, path: str) -> None:
        try:
            self._encode(value)
        except Exception as exc:
            raise EncodeError(
                f"{path[:200]} cannot be written as {self._serializer}: {exc} ({bounded_repr(value, limit=80)})"
            ) from exc


def is_deeper(value: Any, max_depth: int) -> bool:
    """Say whether lists and dicts are more than so deep inside each other.

    Looks level by level, so that no depth of the value exhausts the stack. Not for values that share parts.
    """
    level = _containers_in([value])
    for _ in range(max_depth):
        level = [item for outer in level for item in _containers_in(outer)]
        if not level:
            return False
    return bool(level)


def _containers_in(outer: Any) -> list[Any]:
    items = outer.values() if isinstance(outer, dict) else outer
    return [item for item in items if isinstance(item, (list, dict))]
