"""What people type, turned into values; what cannot be turned says how to type it.

Every function here is the `type` of an option or argument: click adds the option's name to the error.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from datetime import datetime
from typing import Any

import click


def names(text: str) -> tuple[str, ...]:
    """Split names at commas. Spaces around them and empty names do not count."""
    return tuple(name for part in text.split(",") if (name := part.strip()))


def completing(*words: str) -> Callable[[click.Context, click.Parameter, str], list[str]]:
    """Have a shell complete these words, for an option that takes others too."""

    def complete(context: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
        return [word for word in words if word.startswith(incomplete)]

    return complete


def some_text(text: str) -> str:
    """Read a name: any text that is not empty."""
    if not text:
        raise click.BadParameter("a text that is not empty is needed.")
    return text


def json_array(text: str) -> list[Any]:
    """Read positional arguments: a JSON array."""
    value = _json(text)
    if not isinstance(value, list):
        raise click.BadParameter(f"a JSON array is needed, such as '[2, \"a\"]', got {text!r}.")
    return value


def json_object(text: str) -> dict[str, Any]:
    """Read keyword arguments: a JSON object."""
    value = _json(text)
    if not isinstance(value, dict):
        raise click.BadParameter(f"a JSON object is needed, such as '{{\"x\": 2}}', got {text!r}.")
    return value


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is not JSON: {error}. Quote it for the shell with '...'.") from error


def instant(text: str) -> datetime:
    """Read an instant as ISO 8601 writes it. Without an offset it is in the app's time zone."""
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise click.BadParameter(f"an ISO 8601 time is needed, such as 2026-01-31T08:00:00Z, got {text!r}.") from error


def instant_or_seconds(text: str) -> datetime | float:
    """Read an instant, or a number of seconds from now."""
    try:
        float(text)
    except ValueError:
        return instant(text)
    return seconds(text)


def seconds(text: str) -> float:
    """Read a duration: a number of seconds that is finite and not negative."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < math.inf:
        raise click.BadParameter(f"a number of seconds >= 0 is needed, got {text!r}.")
    return value
