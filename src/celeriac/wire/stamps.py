"""Stamps of messages as something that can be revoked: each value of each stamp has an id of its own. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from celeriac.exceptions import DecodeError
from celeriac.wire.limits import DEFAULT_LIMITS

STAMPS_MAX: Final = 10_000
"""Values of stamps in one command."""

_BEGIN: Final = "stamp:"
_READABLE: Final = 150
"""Characters of an id that are written as they are; longer ones are digested."""

Stamps = Mapping[str, Sequence[str]]
"""Values as text, by name."""


class _Stamped(msgspec.Struct, gc=False):
    stamps: dict[str, Any] = {}


_decode: Final = msgspec.json.Decoder(_Stamped).decode


def stamps_of(headers: bytes) -> Stamps:
    """Return what a message is stamped with, read from its headers; nothing where they cannot be read."""
    if b'"stamps"' not in headers:
        return {}
    try:
        return {name: values_of(value) for name, value in _decode(headers).stamps.items()}
    except (msgspec.MsgspecError, RecursionError):
        return {}


def stamps_in(named: object) -> Stamps:
    """Return the stamps that a command names: values by name, or a list of ``name=value``.

    Raises:
        DecodeError: it is neither, or names none or too many.
    """
    if isinstance(named, (list, tuple)) and all(isinstance(one, str) and "=" in one for one in named):
        found: dict[str, list[str]] = {}
        for one in named:
            name, _, value = one.partition("=")
            found.setdefault(name, []).append(value)
    elif isinstance(named, Mapping):
        found = {str(name): values_of(value) for name, value in named.items()}
    else:
        raise DecodeError("stamps are named by a map from their names to values, or by a list of name=value")
    if not 0 < sum(map(len, found.values())) <= STAMPS_MAX:
        raise DecodeError(f"from 1 to {STAMPS_MAX:,} values of stamps may be named at once")
    if any(len(name) > DEFAULT_LIMITS.max_id for name in found):
        raise DecodeError(f"the name of a stamp has at most {DEFAULT_LIMITS.max_id} characters")
    return found


def values_of(value: object) -> list[str]:
    """Return the values of one stamp, which may be one or several of any kind, as text."""
    several = value if isinstance(value, (list, tuple, set, frozenset)) else [value]
    return list(dict.fromkeys(str(one) for one in several if one is not None))


def stamp_ids(stamps: Stamps) -> list[str]:
    """Return the ids under which each value of some stamps is revoked."""
    return [_stamp_id(name, value) for name, values in stamps.items() for value in values]


def is_stamp_id(task_id: str) -> bool:
    """Say whether an id stands for a stamp, and not for a task."""
    return task_id.startswith(_BEGIN)


def _stamp_id(name: str, value: str) -> str:
    text = f"{name}={value}"
    if len(text) > _READABLE:
        text = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
    return _BEGIN + text
