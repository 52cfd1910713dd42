"""Compare what was sent with what would arrive, for callers who want them to be the same."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, time
from typing import Any, Final

from celeriac.exceptions import EncodeError
from celeriac.wire.reprs import bounded_repr

_CURE: Final = "send what arrives as it is, or take strict_round_trip back"


def refuse_changes(sent: Any, arrived: Any, name: str) -> None:
    """Raise when the arguments of a call would not arrive as they are.

    Args:
        sent: positional arguments, or those by keyword.
        arrived: the same, encoded and decoded again.
        name: what errors call them.

    Raises:
        EncodeError: naming the part that would be another, by its type or its value.
    """
    # The outermost list or dict is the call's own, and a tuple of arguments may arrive as a list of them.
    if isinstance(sent, Mapping):
        _compare(dict(sent), arrived, name)
    else:
        _compare(list(sent), arrived, name)


def _compare(sent: Any, arrived: Any, path: str) -> None:
    if type(sent) is not type(arrived):
        raise EncodeError(
            f"{path[:200]} is a {type(sent).__qualname__} and would arrive as a {type(arrived).__qualname__} "
            f"({bounded_repr(sent, limit=80)}); {_CURE}"
        )
    if isinstance(sent, dict):
        _compare_keys(sent, arrived, path)
        for key, item in sent.items():
            _compare(item, arrived[key], f"{path}[{bounded_repr(key, limit=80)}]")
    elif isinstance(sent, (list, tuple)) and len(sent) == len(arrived):
        for index, item in enumerate(sent):
            _compare(item, arrived[index], f"{path}[{index}]")
    elif not _is_same(sent, arrived):
        raise EncodeError(
            f"{path[:200]} is {bounded_repr(sent, limit=80)} and would arrive as {bounded_repr(arrived, limit=80)}; "
            f"{_CURE}"
        )


def _compare_keys(sent: dict[Any, Any], arrived: dict[Any, Any], path: str) -> None:
    kinds = {key: type(key) for key in arrived}
    for key in sent:
        if kinds.get(key) is not type(key):
            raise EncodeError(
                f"{path[:200]} has the key {bounded_repr(key, limit=80)}, a {type(key).__qualname__}, which would "
                f"arrive as another; {_CURE}"
            )


def _is_same(sent: Any, arrived: Any) -> bool:
    if sent != sent and arrived != arrived:
        return True
    if isinstance(sent, (datetime, time)) and sent.utcoffset() != arrived.utcoffset():
        return False
    return bool(sent == arrived)
