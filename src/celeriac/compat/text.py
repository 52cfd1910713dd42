"""What Celery has in `celery.utils.text`: short forms of text for people."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any


def abbr(text: str | None, max_chars: int, ellipsis: str | bool = "...") -> str:
    """Return text of at most `max_chars`, cut at the end; ``???`` for None."""
    if text is None:
        return "???"
    if len(text) <= max_chars:
        return text
    return text[: max_chars - len(ellipsis)] + ellipsis if isinstance(ellipsis, str) else text[:max_chars]


def abbrtask(name: str | None, max_chars: int) -> str:
    """Return the name of a task of about `max_chars`, its module cut: ``proj.lon[.]add``."""
    if name is None or len(name) <= max_chars:
        return "???" if name is None else name
    module, _, function = name.rpartition(".")
    return f"{module[: max(0, max_chars - len(function) - 3)]}[.]{function}"


def truncate(text: str, maxlen: int = 128, suffix: str = "...") -> str:
    """Return text cut at a space before `maxlen`, with `suffix` when something was cut."""
    return text[:maxlen].rsplit(" ", 1)[0] + suffix if maxlen and len(text) >= maxlen else text


def pluralize(n: float, text: str, suffix: str = "s") -> str:
    """Return the word, with `suffix` unless it is about one."""
    return text if n == 1 else text + suffix


def str_to_list(text: Any) -> Any:
    """Split text at its commas; anything else stays as it is."""
    return text.split(",") if isinstance(text, str) else text


def indent(text: str, indent: int = 0, sep: str = "\n") -> str:
    """Put spaces before each line."""
    return sep.join(" " * indent + line for line in text.split(sep))


def join(lines: list[str], sep: str = "\n") -> str:
    """Join the lines that are not empty."""
    return sep.join(filter(None, lines))


def simple_format(text: str, keys: Mapping[str, str | Callable[[], str]]) -> str:
    """Replace ``%k`` by what `keys` has for ``k``, called if it can be; ``%%`` is a percent sign.

    Raises:
        ValueError: a key is unknown.
    """

    def replaced(match: re.Match[str]) -> str:
        key = match[1]
        if key == "%":
            return "%"
        if key not in keys:
            raise ValueError(f"unknown format %{key} in {text!r}; there are {', '.join(f'%{each}' for each in keys)}")
        value = keys[key]
        return value() if callable(value) else value

    return re.sub(r"%([%\w])", replaced, text) if text else text
