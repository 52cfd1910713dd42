"""Values of options of URLs and transports, which come as texts or as what they are. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

from celeriac.exceptions import ImproperlyConfigured

FLAGS: Final = {
    "1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False,
}  # fmt: skip


def checked(read: Callable[[Any], Any], value: Any, where: str, *, secret: bool = False) -> Any:
    """Read the value of an option.

    Args:
        read: returns what is kept, or raises `ValueError` with what the value must be.
        where: what the option is called, for the error.
        secret: the error does not show the value.

    Raises:
        ImproperlyConfigured: it is not what it must be.
    """
    try:
        return read(value)
    except ValueError as error:
        got = "" if secret else f", got {value!r}"
        raise ImproperlyConfigured(f"{where} must be {error}{got}") from None


def flag(value: Any) -> bool:
    """Return True or False as people write them."""
    if isinstance(value, str) and value.lower() in FLAGS:
        return FLAGS[value.lower()]
    if value in (0, 1):
        return bool(value)
    raise ValueError("True or False")


def seconds(value: Any) -> float:
    """Return a number of seconds."""
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not 0 <= number < math.inf:
        raise ValueError("a number of seconds >= 0")
    return number


def seconds_or_none(value: Any) -> float | None:
    """Return a number of seconds; None for 0, too, and for no text."""
    return None if value is None or value in ("", "None") else seconds(value) or None
