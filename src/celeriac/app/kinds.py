"""Kinds of setting values: what each accepts, in words and in code.

A kind turns what a user gave into the value that celeriac works with, or raises `ValueError`; the caller names the
setting and what was given.
"""

from __future__ import annotations

import datetime
import logging
import math
from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from celeriac.brokers.routing import compile_routes
from celeriac.exceptions import ImproperlyConfigured


class Kind(msgspec.Struct, frozen=True):
    """Describe the values that a setting can have.

    Attributes:
        words: completes the sentence "<setting> must be ...".
        accept: returns the value to keep, or raises `ValueError`.
        secret: the value may hold a password, so errors do not print it.
    """

    words: str
    accept: Callable[[Any], Any]
    secret: bool = False


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError
    return value


def _seconds(value: Any) -> float:
    if isinstance(value, datetime.timedelta):
        value = value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
        raise ValueError
    return float(value)


def _text_list(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        value = (value,)
    if not isinstance(value, (list, tuple, set, frozenset)):
        raise ValueError
    return tuple(map(_text, value))


def _time_zone(value: Any) -> str | datetime.tzinfo:
    if isinstance(value, datetime.tzinfo):
        return value
    try:
        ZoneInfo(_text(value))
    except (ZoneInfoNotFoundError, OSError, ValueError):
        raise ValueError from None
    return str(value)


def _routes(value: Any) -> Any:
    compile_routes(value)
    return value


FLAG = Kind("True or False", _flag)
TEXT = Kind("a text that is not empty", _text)
URL = Kind("a URL", _text, secret=True)
TEXT_LIST = Kind("a list of texts", _text_list)
SECONDS = Kind("a number of seconds >= 0, or a timedelta", _seconds)
TIME_ZONE = Kind("the name of a time zone, such as 'Europe/Berlin', or a tzinfo", _time_zone)
ROUTES = Kind("a dict of task name or glob to queue, or a list of such dicts or pairs", _routes)


def whole(*, at_least: int, at_most: int | None = None, meaning: str = "") -> Kind:
    """Make the kind of whole numbers within bounds; `meaning` explains special ones to the reader of an error."""

    def accept(value: Any) -> int:
        too_large = at_most is not None and isinstance(value, int) and value > at_most
        if isinstance(value, bool) or not isinstance(value, int) or value < at_least or too_large:
            raise ValueError
        return value

    bounds = f">= {at_least}" if at_most is None else f"from {at_least} to {at_most}"
    return Kind(f"a whole number {bounds}{f' ({meaning})' if meaning else ''}", accept)


def one_of(*choices: str) -> Kind:
    """Make the kind of texts that are one of `choices`."""

    def accept(value: Any) -> str:
        if value not in choices:
            raise ValueError
        return str(value)

    return Kind(f"one of {', '.join(map(repr, choices))}", accept)


def log_format(*fields: str) -> Kind:
    """Make the kind of formats of log lines, in %-style; `fields` are those that lines have besides logging's own."""

    def accept(value: Any) -> str:
        record = logging.makeLogRecord({"levelno": logging.INFO, **dict.fromkeys(fields, "")})
        try:
            logging.Formatter(_text(value)).format(record)
        except TypeError as error:
            raise ValueError(str(error)) from None
        return str(value)

    return Kind("a format of log lines, such as '%(levelname)s %(message)s'", accept)


def some_of(*choices: str) -> Kind:
    """Make the kind of lists whose items are all among `choices`."""

    def accept(value: Any) -> tuple[str, ...]:
        texts = _text_list(value)
        if not texts or not set(texts) <= set(choices):
            raise ValueError
        return texts

    return Kind(f"a list of {', '.join(map(repr, choices))}", accept)


def or_none(kind: Kind) -> Kind:
    """Make a kind that accepts None besides."""
    return Kind(
        f"{kind.words}, or None", lambda value: None if value is None else kind.accept(value), secret=kind.secret
    )


def read(kind: Kind, name: str, value: Any, *, error: type[Exception] = ImproperlyConfigured) -> Any:
    """Return the value to keep for a setting or an option.

    Raises:
        error: the kind does not accept it; the text names the thing, the rule and the value.
    """
    try:
        return kind.accept(value)
    except ValueError as why:
        given = f"a {type(value).__name__}" if kind.secret else repr(value)
        detail = f": {why}" if why.args else ""
        raise error(f"{name} must be {kind.words}, got {given}{detail}") from None
