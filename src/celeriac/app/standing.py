"""Whether programs here are written for Celery, and what is theirs in names that nobody knows."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from difflib import get_close_matches
from functools import lru_cache
from typing import Final

_AS_NEAR: Final = 0.75


def stands_for_celery() -> bool:
    """Say whether `import celery` means celeriac here. Celery keeps settings and options that it does not know."""
    return getattr(sys.modules.get("celery"), "__celeriac__", False)


def is_own(name: str, known: Iterable[str]) -> bool:
    """Say whether a name is a program's own where it may have such names: like none of those that are known."""
    return stands_for_celery() and not _is_near(name, tuple(known))


@lru_cache(maxsize=256)
def _is_near(name: str, known: tuple[str, ...]) -> bool:
    # Remembered, for it takes 20 to 70 µs, and packages give options of their own with every call.
    return bool(get_close_matches(name, known, n=1, cutoff=_AS_NEAR))
