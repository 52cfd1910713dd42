"""Settings as people type them: on a command line, or into a variable of the environment."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from celeriac.app import kinds
from celeriac.app.config.names import Names
from celeriac.app.config.setting import Setting
from celeriac.exceptions import ImproperlyConfigured

_CONSTANTS: Final[Mapping[str, Any]] = {"True": True, "False": False, "None": None}
_CAST: Final = re.compile(r"\((\w+)\)")


def _flag(text: str) -> Any:
    assert kinds.FLAG.from_text is not None
    return kinds.FLAG.accept(kinds.FLAG.from_text(text))


_CASTS: Final[Mapping[str, Callable[[str], Any]]] = {
    "any": str,
    "bool": _flag,
    "dict": json.loads,
    "float": float,
    "int": int,
    "json": json.loads,
    "list": json.loads,
    "string": str,
    "tuple": json.loads,
}
"""The types that Celery takes in front of a value, such as ``(int)7``."""


def read_text(setting: Setting, text: str, source: str) -> Any:
    """Return the value that a text stands for: the first reading of it that the setting accepts.

    ``(int)7`` says how to read it, as in Celery. Otherwise it is JSON, or one of Python's True, False and None; or as
    the setting's kind is typed, ``on`` or ``a,b``; or the text itself: ``task_default_queue=7`` names the queue "7".

    Raises:
        ImproperlyConfigured: the setting accepts none of these.
    """
    cast = _CAST.match(text)
    if cast and cast[1] in _CASTS:
        return kinds.read(
            setting.kind, setting.name, _cast(setting, cast[1], text[cast.end() :], source), source=source
        )
    readings = list(_readings(setting, text))
    for reading in readings:
        with contextlib.suppress(ValueError):
            return setting.kind.accept(reading)
    return kinds.read(setting.kind, setting.name, readings[0], source=source)


def read_assignments(assignments: Sequence[str], names: Names, source: str, *, namespace: str = "") -> dict[str, Any]:
    """Return the settings that ``name=value`` texts say, by their names.

    Names may be written as Celery takes them: in any case, with a dot for the first underscore
    (``worker.concurrency``), and without their beginning (``.concurrency``) when `namespace` is it.

    Raises:
        ImproperlyConfigured: a text is no assignment, or its value is none for that setting.
        UnknownSetting: there is none of that name.
    """
    values: dict[str, Any] = {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals:
            raise ImproperlyConfigured(f"{assignment!r} from {source} is no setting; settings are given as name=value")
        name = next((name for form in _forms(key, namespace) if (name := names.find(form)) is not None), None)
        if name is None:
            raise names.unknown(key, text, source)
        values[name] = read_text(names.table[name], text, source)
    return values


def _forms(key: str, namespace: str) -> Iterator[str]:
    yield key
    new = key.lower().replace(".", "_")
    yield namespace + new if new.startswith("_") else new
    yield new.upper()


def _cast(setting: Setting, type_name: str, text: str, source: str) -> Any:
    try:
        return _CASTS[type_name](text)
    except ValueError:
        raise ImproperlyConfigured(f"{setting.name} from {source} cannot be read as ({type_name})") from None


def _readings(setting: Setting, text: str) -> Iterator[Any]:
    if text in _CONSTANTS:
        yield _CONSTANTS[text]
    else:
        with contextlib.suppress(ValueError):
            yield json.loads(text)
    if setting.kind.from_text is not None:
        yield setting.kind.from_text(text)
    yield text
