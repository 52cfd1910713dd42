"""Reprs for people that no argument can make long, slow to print, or fail."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import islice
from typing import Any, Final

_CUT: Final = "..."

# What may be printed by `repr` as it is, because it is short: this many items on each of the levels, this long texts.
_FEW: Final = 16
_SHORT: Final = 256
_SCALARS: Final = frozenset({int, float, bool, type(None)})
_EMPTY: Final[dict[type, str]] = {tuple: "()", dict: "{}"}

_BRACKETS: Final[dict[type, tuple[str, str]]] = {
    list: ("[", "]"),
    tuple: ("(", ")"),
    set: ("{", "}"),
    frozenset: ("frozenset({", "})"),
}


def bounded_repr(value: Any, *, limit: int = 1024, max_depth: int = 3) -> str:
    """Return a repr of at most `limit` characters, in which what is nested deeper than `max_depth` shows as ``...``.

    Bytes that are not UTF-8 show as hexadecimal digits, as in Celery's `argsrepr`. Never raises: an object whose own
    repr fails shows as its type and the kind of failure.
    """
    kind = type(value)
    if kind in _EMPTY and not value:  # most calls have no keyword arguments, and many none at all
        return _EMPTY[kind]
    if _is_plain(value, max_depth):
        try:
            text = repr(value)
        except ValueError:  # an int of more than 4,300 digits
            text = ""
        if 0 < len(text) <= limit:
            return text
    return _Printer(limit, max_depth).print(value)


def told(exc: BaseException, *, limit: int = 4096) -> str:
    """Say an exception's class, and at most `limit` characters of its text. Never raises, whatever `__str__` does."""
    kind = type(exc).__name__
    try:
        text = str(exc)
    except (Exception, SystemExit) as failure:  # noqa: BLE001 - __str__ is code of users
        return f"{kind} (its __str__ failed with {type(failure).__name__})"
    return f"{kind}: {text}" if len(text) <= limit else f"{kind}: {text[:limit]}{_CUT}"


def _is_plain(value: Any, levels: int) -> bool:
    kind = type(value)
    if kind in _SCALARS:
        return True
    if kind is str:
        return len(value) <= _SHORT
    if levels == 0:
        return False
    if kind is tuple or kind is list:
        return len(value) <= _FEW and _are_plain(value, levels - 1)
    if kind is dict:
        return len(value) <= _FEW and _are_plain(value, 0) and _are_plain(value.values(), levels - 1)
    return False


def _are_plain(items: Iterable[Any], levels: int) -> bool:
    for item in items:  # noqa: SIM110 - half the price of `all` over a generator
        if type(item) not in _SCALARS and not _is_plain(item, levels):
            return False
    return True


class _Full(Exception):
    """The limit is reached."""


class _Printer:
    """Print one value within a number of characters."""

    __slots__ = ("_left", "_limit", "_max_depth", "_parts")

    def __init__(self, limit: int, max_depth: int) -> None:
        self._limit = limit
        self._left = limit
        self._max_depth = max_depth
        self._parts: list[str] = []

    def print(self, value: Any) -> str:
        try:
            self._add_value(value, 0)
        except (_Full, RuntimeError):  # RuntimeError: another thread changed what is being printed
            return "".join(self._parts)[: max(self._limit - len(_CUT), 0)] + _CUT
        return "".join(self._parts)

    def _add(self, text: str) -> None:
        self._parts.append(text)
        self._left -= len(text)
        if self._left < 0:
            raise _Full

    def _add_value(self, value: Any, depth: int) -> None:
        kind = type(value)
        if kind is dict:
            self._add_dict(value, depth)
        elif kind in _BRACKETS:
            self._add_items(value, depth, *_BRACKETS[kind])
        elif isinstance(value, dict):  # a signature, of which Celery shows all
            self._add_dict(value, depth)
        else:
            self._add(self._leaf(value))

    def _add_dict(self, value: dict[Any, Any], depth: int) -> None:
        if depth >= self._max_depth and value:
            self._add("{...}")
            return
        self._add("{")
        for index, (key, item) in enumerate(value.items()):
            self._add(", " if index else "")
            self._add_value(key, depth + 1)
            self._add(": ")
            self._add_value(item, depth + 1)
        self._add("}")

    def _add_items(self, value: Collection[Any], depth: int, start: str, end: str) -> None:
        if not value:
            self._add(repr(value))
            return
        if depth >= self._max_depth:
            self._add(f"{start}...{end}")
            return
        self._add(start)
        if not self._add_scalars(value):
            for index, item in enumerate(value):
                self._add(", " if index else "")
                self._add_value(item, depth + 1)
        self._add("," + end if len(value) == 1 and start == "(" else end)

    def _add_scalars(self, value: Collection[Any]) -> bool:
        """Add the items at once when all are numbers and the like; long lists often are, and it is 3 times faster."""
        head = list(islice(value, self._left // len("0, ") + 1))
        if not _SCALARS.issuperset(map(type, head)):
            return False
        try:
            self._add(repr(head)[1:-1])
        except ValueError:  # an int of more than 4,300 digits
            return False
        return True

    def _leaf(self, value: Any) -> str:
        """Print what holds nothing else, and of a long text no more than fits."""
        if type(value) is str:
            return repr(value[: self._left + 1])
        if type(value) is bytes:
            return _bytes_repr(value[: self._left + 1])
        try:
            return repr(value)
        except (Exception, SystemExit) as exc:  # noqa: BLE001 - __repr__ is code of users
            return f"<{type(value).__qualname__}: repr failed with {type(exc).__qualname__}>"


def _bytes_repr(value: bytes) -> str:
    try:
        value.decode()
    except UnicodeDecodeError:
        return f"b'{value.hex()}'"
    return repr(value)
