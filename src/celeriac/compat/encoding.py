"""What kombu has in `kombu.utils.encoding` and `kombu.utils.json`: text and bytes, and the JSON that messages carry."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from celeriac.wire import jsontypes

T = TypeVar("T")


def str_to_bytes(s: Any) -> Any:
    """Return text as UTF-8; anything else stays as it is."""
    return s.encode() if isinstance(s, str) else s


def bytes_to_str(s: Any) -> Any:
    """Return UTF-8 as text, with marks in place of what is none; anything else stays as it is."""
    return s.decode("utf-8", "replace") if isinstance(s, bytes) else s


def from_utf8(s: Any, *args: Any, **kwargs: Any) -> Any:
    """Return text as it is."""
    return s


def ensure_bytes(s: Any) -> bytes:
    """Return anything as bytes: text as UTF-8, what is neither by its `str`."""
    return s if isinstance(s, bytes) else str(s).encode()


def safe_str(s: Any, errors: str = "replace") -> str:
    """Return anything as text, and never raise."""
    try:
        return s.decode("utf-8", errors) if isinstance(s, bytes) else str(s)
    except Exception as exc:  # noqa: BLE001 - `__str__` raises what it likes, and the text says that it did
        return f"<Unrepresentable {type(s)!r}: {exc!r}>"


def safe_repr(o: Any, errors: str = "replace") -> str:
    """Return the repr of anything, and never raise."""
    try:
        return repr(o)
    except Exception as exc:  # noqa: BLE001 - likewise
        return f"<Unrepresentable {type(o)!r}: {exc!r}>"


def dumps(s: Any, **kwargs: Any) -> str:
    """Write a value as the text of JSON that messages carry: dates, numbers and the like are marked.

    Args:
        kwargs: what `json.dumps` takes besides; then it writes, and marks nothing.

    Raises:
        EncodeError: a part of it cannot be written.
    """
    if kwargs:
        import json

        return json.dumps(s, **kwargs)
    return jsontypes.dumps_text(s)


def loads(s: str | bytes | bytearray | memoryview) -> Any:
    """Read what `dumps` writes.

    Raises:
        DecodeError: it is no JSON.
    """
    return jsontypes.loads(s.encode() if isinstance(s, str) else bytes(s))


def register_type(
    t: type[T], marker: str | None, encoder: Callable[[T], object], decoder: Callable[[Any], object] | None = None
) -> None:
    """Teach JSON one more type; see `celeriac.wire.jsontypes.register_type`."""
    jsontypes.register_type(t, marker, encoder, decoder)
