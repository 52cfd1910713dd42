"""Which pools there are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from celeriac.worker.pools.base import Pool
from celeriac.worker.pools.prefork import Prefork
from celeriac.worker.pools.solo import Solo

POOLS: Final[Mapping[str, type[Pool]]] = {pool.name: pool for pool in (Prefork, Solo)}
