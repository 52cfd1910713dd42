"""Which pools there are, and how a name becomes one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from celeriac.app.imports import imported
from celeriac.app.pool_names import pool_named
from celeriac.exceptions import ImproperlyConfigured
from celeriac.worker.pools.base import Pool
from celeriac.worker.pools.coroutines import Coroutines
from celeriac.worker.pools.prefork import Prefork
from celeriac.worker.pools.solo import Solo
from celeriac.worker.pools.threads import Threads

_POOLS: Final[Mapping[str, type[Pool]]] = {pool.name: pool for pool in (Prefork, Threads, Coroutines, Solo)}


def find_pool(given: str | type, asked_by: str) -> type[Pool]:
    """Return the class of a pool.

    Args:
        given: a name, ours or Celery's; a class of a user's own, or its path.
        asked_by: the setting or option that names it.

    Raises:
        ImproperlyConfigured: there is no such pool.
    """
    if isinstance(given, str):
        try:
            name = pool_named(given)
        except ValueError as error:
            raise ImproperlyConfigured(f"{asked_by}: {error}") from None
        found = _POOLS.get(name) or imported(name, asked_by)
    else:
        found = given
    if not (isinstance(found, type) and issubclass(found, Pool)):
        raise ImproperlyConfigured(
            f"{asked_by} names {found!r}, which is no pool: it has to be a class that extends "
            "celeriac.worker.pools.base:Pool"
        )
    return found
