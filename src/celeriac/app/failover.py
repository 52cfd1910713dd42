"""In which order the servers of a list are tried (`broker_failover_strategy`)."""

from __future__ import annotations

import pkgutil
import random
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any, Protocol, TypeVar

from celeriac.exceptions import ImproperlyConfigured


class Addressed(Protocol):
    """Be a server that is known by its address."""

    @property
    def address(self) -> str:
        """Its host and port, for people."""


E = TypeVar("E", bound=Addressed)


def in_order(endpoints: Sequence[E], strategy: Any) -> tuple[E, ...]:
    """Return servers in the order of a strategy; each of them once, whatever it says.

    Args:
        strategy: None or ``round-robin`` is as listed, ``shuffle`` at random, else a function or its path, which gets
            the addresses and returns them in the order to try; it may go round for ever.

    Raises:
        ImproperlyConfigured: there is no such function.
    """
    if strategy in (None, "round-robin") or len(endpoints) == 1:
        return tuple(endpoints)
    if strategy == "shuffle":
        return tuple(random.sample(endpoints, len(endpoints)))
    return _as_told(endpoints, strategy)


def _as_told(endpoints: Sequence[E], strategy: str | Callable[[list[str]], Iterable[str]]) -> tuple[E, ...]:
    try:
        choose = pkgutil.resolve_name(strategy) if isinstance(strategy, str) else strategy
    except (ImportError, AttributeError, ValueError) as error:
        raise ImproperlyConfigured(
            f"broker_failover_strategy must be 'round-robin', 'shuffle' or a function, got {strategy!r} ({error})"
        ) from None
    by_address = {endpoint.address: endpoint for endpoint in endpoints}
    chosen = [by_address[one] for one in islice(choose(list(by_address)), 10 * len(endpoints)) if one in by_address]
    return tuple(dict.fromkeys([*chosen, *endpoints]))
