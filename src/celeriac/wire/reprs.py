"""Reprs for people that no argument can make long, slow to print, or fail."""

from __future__ import annotations

from typing import Any, Final

_SHORT: Final = 256
_PLAIN: Final = frozenset({int, float, bool, type(None)})


def bounded_repr(value: Any, *, limit: int = 1024, max_depth: int = 3) -> str:
    """Return a repr of at most `limit` characters, in which deeper levels than `max_depth` show as ``...``.

    Bytes that are not UTF-8 show as hexadecimal digits, as in Celery's `argsrepr`. Never raises: an object whose own
    repr fails shows as its type and what went wrong.
    """
    if _is_plain(value):
        try:
            text = repr(value)
        except ValueError:  # an int of more than 4,300 digits
            text = "<int too large to print>"
        if len(text) <= limit:
            return text
    return _Printer(limit, max_depth).print(value)


def _is_plain(value: Any) -> bool:
    kind = type(value)
    if kind is tuple or kind is list:
        items = value
    elif kind is dict:
        return len(value) <= _SHORT and all(_is_plain_item(k) and _is_plain_item(v) for k, v in value.items())
    else:
        return _is_plain_item(value)
    return len(items) <= _SHORT and all(map(_is_plain_item, items))


def _is_plain_item(item: Any) -> bool:
    return type(item) in _PLAIN or (type(item) is str and len(item) <= _SHORT)


class _Full(Exception):
    """The limit is reached."""


class _Printer:
    """Print one value within a number of characters."""

    __slots__ = ("_left", "_max_depth", "_parts")

    def __init__(self, limit: int, max_depth: int) -> None:
        self._left = limit - 3
        self._max_depth = max_depth
        self._parts: list[str] = []

    def print(self, value: Any) -> str:
        try:
            self._add_value(value, 0)
        except _Full:
            self._parts.append("...")
        return "".join(self._parts)

    def _add(self, text: str) -> None:
        self._parts.append(text[: self._left])
        self._left -= len(text)
        if self._left < 0:
            raise _Full

    def _add_value(self, value: Any, depth: int) -> None:
        kind = type(value)
        if kind is dict:
            self._add_dict(value, depth)
        elif kind in _BRACKETS:
            self._add_items(value, depth)
        else:
            self._add(self._leaf(value))

    def _add_dict(self, value: dict[Any, Any], depth: int) -> None:
        if value and depth >= self._max_depth:
            self._add("{...}")
            return
        self._add("{")
        for index, (key, item) in enumerate(value.items()):
            self._add(", " if index else "")
            self._add_value(key, depth + 1)
            self._add(": ")
            self._add_value(item, depth + 1)
        self._add("}")

    def _add_items(self, value: Any, depth: int) -> None:
        start, end = _BRACKETS[type(value)]
        if not value:
            self._add(repr(value))
            return
        if depth >= self._max_depth:
            self._add(f"{start}...{end}")
            return
        self._add(start)
        for index, item in enumerate(value):
            self._add(", " if index else "")
            self._add_value(item, depth + 1)
        self._add("," + end if type(value) is tuple and len(value) == 1 else end)

    def _leaf(self, value: Any) -> str:
        if type(value) is str:
            return repr(value) if len(value) <= self._left else repr(value[: self._left + 1])[:-1]
        if type(value) is bytes:
            return _bytes_repr(value[: self._left + 1])
        try:
            return repr(value)
        except Exception as exc:  # noqa: BLE001 - __repr__ is code of users
            return f"<{type(value).__qualname__}: repr failed with {type(exc).__qualname__}>"


_BRACKETS: Final[dict[type, tuple[str, str]]] = {
    list: ("[", "]"),
    tuple: ("(", ")"),
    set: ("{", "}"),
    frozenset: ("frozenset({", "})"),
}


def _bytes_repr(value: bytes) -> str:
    try:
        value.decode()
    except UnicodeDecodeError:
        return f"b'{value.hex()}'"
    return repr(value)
