"""What Celery has in `celery.utils.serialization` and `celery.utils.saferepr`."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, Final

from celeriac.wire.reprs import bounded_repr

_WORDS: Final = {
    **dict.fromkeys(("true", "yes", "1", "on"), True),
    **dict.fromkeys(("false", "no", "0", "off"), False),
}
_NO_LIMIT: Final = 2**31


def strtobool(term: Any, table: Mapping[str, bool] | None = None) -> Any:
    """Return what ``true``, ``yes``, ``on``, ``1`` and their opposites mean; what is not text stays as it is.

    Raises:
        TypeError: the word means neither.
    """
    if not isinstance(term, str):
        return term
    try:
        return (_WORDS if table is None else table)[term.lower()]
    except KeyError:
        raise TypeError(f"{term!r} is neither true nor false") from None


def saferepr(o: Any, maxlen: int | None = None, maxlevels: int = 3, seen: set[Any] | None = None) -> str:
    """Return a repr that never raises, of at most `maxlen` characters and `maxlevels` levels."""
    return bounded_repr(o, limit=maxlen or _NO_LIMIT, max_depth=maxlevels)


def b64encode(s: str | bytes) -> str:
    """Return text, as UTF-8, or bytes in base64."""
    return base64.b64encode(s.encode() if isinstance(s, str) else s).decode()


def b64decode(s: str | bytes) -> bytes:
    """Read what `b64encode` writes."""
    return base64.b64decode(s)
