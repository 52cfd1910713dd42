"""What may be shown of settings and URLs: everything but what somebody could log in with."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

MASK: Final = "********"

# Celery's list of what is not to be shown (`filter_hidden_settings`).
_SECRET_NAME: Final = re.compile(
    "API|TOKEN|KEY|SECRET|PASS|PROFANITIES_LIST|SIGNATURE|DATABASE|BEAT_DBURI", re.IGNORECASE
)
_SEVERAL_URLS: Final = re.compile(r";(?=\s*[A-Za-z][\w+.-]*://)")
_NAMED_VALUE: Final = re.compile(r"(?P<before>(?:^|[?&;]|://)\s*)(?P<name>[\w.-]+)=(?P<value>[^&;#]*)")
_SECRET_PARAMETERS: Final = frozenset(("pwd", "sig"))


def is_secret(name: str) -> bool:
    """Say whether a setting or an option of that name holds something that must not be shown."""
    return _SECRET_NAME.search(name) is not None


def masked(name: str, value: Any) -> Any:
    """Return the value of a setting as it may be shown; in dicts and lists, what is inside.

    A value stays as it is when there is nothing to hide in it.
    """
    if isinstance(value, Mapping):
        return {key: masked(str(key), inner) for key, inner in value.items()}
    if value is None:
        return None
    if is_secret(name):
        return MASK
    match value:
        case str():
            return masked_url(value)
        case list():
            return [masked(name, inner) for inner in value]
        case tuple():
            return tuple(masked(name, inner) for inner in value)
    return value


def masked_url(url: str) -> str:
    """Return a URL without its password, whatever else it is; text that is no URL is returned as it is.

    Several URLs may be in it, with ``;`` between them. Where it is not clear what is password and what is host, more is
    hidden rather than less: a password may have ``/``, ``@`` and ``?`` in it although it should not.
    """
    if "://" not in url:
        return url
    return ";".join(_masked_one(part) for part in _SEVERAL_URLS.split(url))


def _masked_one(url: str) -> str:
    scheme, mark, rest = url.partition("://")
    who, at, where = rest.rpartition("@")
    user, colon, _ = who.partition(":")
    shown = f"{user}:{MASK}@{where}" if at and colon else rest
    return _NAMED_VALUE.sub(_masked_parameter, f"{scheme}{mark}{shown}")


def _masked_parameter(found: re.Match[str]) -> str:
    name = found["name"]
    if name.lower() not in _SECRET_PARAMETERS and not is_secret(name):
        return found[0]
    return f"{found['before']}{name}={MASK}"
