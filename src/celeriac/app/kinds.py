"""Kinds of setting values: what each accepts, in words and in code.

A kind turns what a user gave into the value that celeriac works with, or raises `ValueError`; the caller names the
setting and what was given. What a kind returns it accepts again, unchanged.
"""

from __future__ import annotations

import datetime
import logging
import math
import os
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Generic
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from celeriac.app.pool_names import NAMES, pool_named
from celeriac.brokers.queues import check_queues
from celeriac.brokers.routing import compile_routes
from celeriac.exceptions import ImproperlyConfigured
from celeriac.masking import is_secret, masked
from celeriac.wire.reprs import bounded_repr

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    T_co = TypeVar("T_co", covariant=True, default=Any)
else:
    from typing import TypeVar

    T_co = TypeVar("T_co", covariant=True)

T = TypeVar("T")
U = TypeVar("U")


class Kind(msgspec.Struct, Generic[T_co], frozen=True):
    """Describe the values that a setting can have.

    Attributes:
        words: completes the sentence "<setting> must be ...".
        accept: returns the value to keep, or raises `ValueError`.
        secret: the value may hold a password, so errors do not print it.
        examples: values that it accepts.
        from_text: reads what was typed, before `accept` sees it; None reads JSON, and else leaves it a text.
    """

    words: str
    accept: Callable[[Any], T_co]
    secret: bool = False
    examples: tuple[Any, ...] = ()
    from_text: Callable[[str], Any] | None = None


_YES: Final = frozenset(("1", "on", "t", "true", "y", "yes"))
_NO: Final = frozenset(("0", "off", "f", "false", "n", "no"))


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError
    return value


def _flag_from_text(text: str) -> Any:
    word = text.lower()
    return True if word in _YES else False if word in _NO else text


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError
    return value


def _any_text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError
    return value


def _path(value: Any) -> str:
    return _text(os.fspath(value) if isinstance(value, os.PathLike) else value)


def _text_or_bytes(value: Any) -> str | bytes:
    if not isinstance(value, (str, bytes)) or not value:
        raise ValueError
    return value


def _urls(value: Any) -> str:
    if isinstance(value, (list, tuple)) and value:
        value = ";".join(map(_text, value))
    return _text(value)


def _seconds(value: Any) -> float:
    if isinstance(value, datetime.timedelta):
        value = value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
        raise ValueError
    return float(value)


def _lifetime(value: Any) -> float | None:
    return None if value is None else _seconds(value) or None


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= 0:
        raise ValueError
    return value


def _text_list(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        value = (value,)
    if not isinstance(value, (list, tuple, set, frozenset)):
        raise ValueError
    return tuple(map(_text, value))


def _text_list_from_text(text: str) -> Any:
    return [part for piece in text.split(",") if (part := piece.strip())]


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


def _queues(value: Any) -> Any:
    try:
        check_queues(value)
    except TypeError as error:
        raise ValueError(str(error)) from None
    return value


def _mapping(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise ValueError
    return value


def _class(value: Any) -> str | type:
    return value if isinstance(value, type) else _text(value)


def _function(value: Any) -> Any:
    return value if callable(value) else _text(value)


_RATE: Final = re.compile(r"\d+(\.\d+)?(/[smh])?")


def _rate(value: Any) -> str | float:
    if isinstance(value, str):
        if not _RATE.fullmatch(value):
            raise ValueError
        return value
    return _number(value)


def _call_key(value: Any) -> Any:
    if not callable(value) and not (isinstance(value, str) and value):
        raise ValueError
    return value


def _account(value: Any) -> str | int:
    if isinstance(value, bool) or not isinstance(value, (int, str)) or value == "" or value == -1:
        raise ValueError
    return value


def _port(value: Any) -> int:
    number = int(value) if isinstance(value, str) and value.isdecimal() else value
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= 65535:
        raise ValueError
    return int(number)


def _umask(value: Any) -> int:
    number = int(value, 8) if isinstance(value, str) and value.isdecimal() else value
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= 0o777:
        raise ValueError
    return int(number)


_DELIVERY_MODES: Final = {"persistent": 2, "transient": 1, "2": 2, "1": 1}


def _delivery_mode(value: Any) -> int:
    mode = _DELIVERY_MODES.get(value) if isinstance(value, str) else value
    if isinstance(mode, bool) or mode not in (1, 2):
        raise ValueError
    return int(mode)


FLAG: Final = Kind("True or False", _flag, examples=(True, False), from_text=_flag_from_text)
TEXT: Final = Kind("a text that is not empty", _text, examples=("text", "7"))
ANY_TEXT: Final = Kind("a text", _any_text, examples=("text", ""))
PATH: Final = Kind("the path of a file", _path, examples=("/var/lib/celeriac/file",))
PASSWORD: Final = Kind("a text or bytes, not empty", _text_or_bytes, secret=True, examples=("hunter2", b"hunter2"))
URL: Final = Kind("a URL", _text, secret=True, examples=("memory://example",))
URLS: Final = Kind(
    "a URL, or several: in a list, or with ';' between them",
    _urls,
    secret=True,
    examples=("memory://example", ["memory://one", "memory://two"]),
)
TEXT_LIST: Final = Kind(
    "a list of texts", _text_list, examples=(["shop.tasks", "mail"], "shop.tasks", []), from_text=_text_list_from_text
)
SECONDS: Final = Kind(
    "a number of seconds >= 0, or a timedelta", _seconds, examples=(0, 2.5, datetime.timedelta(minutes=2))
)
LIFETIME: Final = Kind(
    "a number of seconds, a timedelta, or None or 0 for ever",
    _lifetime,
    examples=(3600, 0, None, datetime.timedelta(days=2)),
)
NUMBER: Final = Kind("a number >= 0", _number, examples=(0, 3, 2.5))
TIME_ZONE: Final = Kind(
    "the name of a time zone, such as 'Europe/Berlin', or a tzinfo",
    _time_zone,
    examples=("Europe/Berlin", "UTC", datetime.UTC),
)
QUEUES: Final = Kind(
    "a list of Queue objects, or a dict of name to Queue or to a dict of its arguments",
    _queues,
    examples=({"mail": {"exchange": "mail", "routing_key": "mail"}}, {"mail": {}}),
)
ROUTES: Final = Kind(
    "a dict of task name, glob or regular expression to queue, a function, its dotted path, or a list of such",
    _routes,
    examples=({"shop.*": "shop"}, {"mail.send": {"queue": "mail"}}, [["shop.*", "shop"]]),
)
MAPPING: Final = Kind("a dict whose keys are texts", _mapping, examples=({}, {"option": 1}))
CLASS: Final = Kind("a class, or its path such as 'package.module:Class'", _class, examples=("shop.parts:Part",))
STRATEGY: Final = Kind(
    "the name of a strategy of dispatch, the path of a class such as 'package.module:Class', or a class",
    _class,
    examples=("fair", "shop.parts:Part"),
)
FUNCTION: Final = Kind(
    "a function, or its path such as 'package.module:function'", _function, examples=("shop.parts:part",)
)
RATE: Final = Kind("a rate such as '10/s', '10/m' or '10/h', or a number per second", _rate, examples=("10/m", 2.5))
ACCOUNT: Final = Kind("the name or number of a user or group", _account, examples=("celeriac", 1000))
PORT: Final = Kind("the number of a port", _port, examples=(6379, "6379"))
UMASK: Final = Kind("an umask, such as '022'", _umask, examples=("022", 18))
DELIVERY_MODE: Final = Kind(
    "2 or 'persistent', 1 or 'transient'", _delivery_mode, examples=(1, 2, "persistent", "transient")
)
ANYTHING: Final[Kind[Any]] = Kind("any value", lambda value: value, examples=("text", 7, {"a": 1}))


def whole(*, at_least: int, at_most: int | None = None, meaning: str = "") -> Kind[int]:
    """Make the kind of whole numbers within bounds; `meaning` explains special ones to the reader of an error."""

    def accept(value: Any) -> int:
        too_large = at_most is not None and isinstance(value, int) and value > at_most
        if isinstance(value, bool) or not isinstance(value, int) or value < at_least or too_large:
            raise ValueError
        return value

    bounds = f">= {at_least}" if at_most is None else f"from {at_least} to {at_most}"
    largest = at_least + 1_000 if at_most is None else at_most
    words = f"a whole number {bounds}{f' ({meaning})' if meaning else ''}"
    return Kind(words, accept, examples=(at_least, largest))


def one_of(*choices: str, same: Mapping[Any, str] | None = None) -> Kind[str]:
    """Make the kind of texts that are one of `choices`; `same` has other spellings of them."""
    spellings: Mapping[Any, str] = same or {}

    def accept(value: Any) -> str:
        try:
            value = spellings.get(value, value)
        except TypeError:  # cannot be hashed
            raise ValueError from None
        if value not in choices:
            raise ValueError
        return str(value)

    return Kind(f"one of {', '.join(map(repr, choices))}", accept, examples=(*choices, *spellings))


def _pool(value: Any) -> str | type:
    return value if isinstance(value, type) else pool_named(_text(value))


POOL: Final = Kind(
    f"the name of a pool ({', '.join(map(repr, NAMES))}), or a class, or its path such as 'package.module:Class'",
    _pool,
    examples=(*NAMES, "processes", "shop.pools:Pool"),
)


def log_format(*fields: str) -> Kind[str]:
    """Make the kind of formats of log lines, in %-style; `fields` are those that lines have besides logging's own."""

    def accept(value: Any) -> str:
        if value == "json":
            return "json"
        record = logging.makeLogRecord({"levelno": logging.INFO, **dict.fromkeys(fields, "")})
        try:
            logging.Formatter(_text(value)).format(record)
        except TypeError as error:
            raise ValueError(str(error)) from None
        return str(value)

    words = "a format of log lines, such as '%(levelname)s %(message)s', or 'json'"
    return Kind(words, accept, examples=("%(levelname)s %(message)s", "%(message)s"))


def some_of(*choices: str) -> Kind[tuple[str, ...]]:
    """Make the kind of lists whose items are all among `choices`."""

    def accept(value: Any) -> tuple[str, ...]:
        texts = _text_list(value)
        if not texts or not set(texts) <= set(choices):
            raise ValueError
        return texts

    return Kind(
        f"a list of {', '.join(map(repr, choices))}",
        accept,
        examples=([choices[0]], list(choices)),
        from_text=_text_list_from_text,
    )


ON_CONFLICT: Final = one_of("skip", "replace", "raise")
CALL_KEY: Final = Kind("a template such as 'order-{order_id}', or a function of the arguments", _call_key)


def or_none(kind: Kind[T]) -> Kind[T | None]:
    """Make a kind that accepts None besides."""
    return Kind(
        f"{kind.words}, or None",
        lambda value: None if value is None else kind.accept(value),
        secret=kind.secret,
        examples=(*kind.examples, None),
        from_text=kind.from_text,
    )


def either(one: Kind[T], other: Kind[U]) -> Kind[T | U]:
    """Make a kind that accepts what either of two does, the first one first."""

    def accept(value: Any) -> T | U:
        try:
            return one.accept(value)
        except ValueError:
            return other.accept(value)

    return Kind(
        f"{one.words}, or {other.words}",
        accept,
        secret=one.secret or other.secret,
        examples=(*one.examples, *other.examples),
        from_text=one.from_text or other.from_text,
    )


def meaning_none(word: str, kind: Kind[T]) -> Kind[T | None]:
    """Make a kind that accepts None, and a word that means the same."""
    return Kind(
        f"{kind.words}, {word!r} or None",
        lambda value: None if value is None or value == word else kind.accept(value),
        secret=kind.secret,
        examples=(*kind.examples, word, None),
        from_text=kind.from_text,
    )


def left_at(default: T, instead: str) -> Kind[T]:
    """Make the kind of a setting that names a part which cannot be exchanged here: what it is by default is accepted.

    Args:
        default: what Celery has.
        instead: why that is, and what to do instead.
    """

    def accept(value: Any) -> T:
        if value != default:
            raise ValueError(instead)
        return default

    return Kind(f"left at {default!r}", accept, examples=(default,))


def read(kind: Kind[T], name: str, value: Any, *, error: type[Exception] = ImproperlyConfigured, source: str = "") -> T:
    """Return the value to keep for a setting or an option.

    Args:
        source: where a setting's value comes from, for the text; "" leaves it and the value's type out.

    Raises:
        error: the kind does not accept it; the text names the thing, the rule, the value and where it comes from.
    """
    try:
        return kind.accept(value)
    except ValueError as why:
        detail = f": {why}" if why.args else ""
        raise error(f"{name} must be {kind.words}, got {_given(kind, name, value, source)}{detail}") from None


def _given(kind: Kind, name: str, value: Any, source: str) -> str:
    if not source:
        return type_of(value) if kind.secret else repr(value)
    if kind.secret or is_secret(name):
        return f"{type_of(value)} from {source}"
    return f"{bounded_repr(masked(name, value))}, {type_of(value)}, from {source}"


def type_of(value: object) -> str:
    """Return the type of a value, as a sentence wants it: ``an int``, ``a str``."""
    name = type(value).__name__
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"
