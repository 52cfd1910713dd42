"""Commands about the node itself: that it is there, its numbers, its settings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any, Final

from celeriac.exceptions import DecodeError
from celeriac.wire.control import IDS_MAX, ids_in
from celeriac.wire.reprs import bounded_repr
from celeriac.worker.commands.panel import built_in, ok
from celeriac.worker.commands.state import State

_DEEPEST: Final = 32


def truth(text: str) -> bool:
    """Read a yes or no of the command line.

    Raises:
        ValueError: it is neither.
    """
    match text.lower():
        case "true" | "yes" | "on" | "1":
            return True
        case "false" | "no" | "off" | "0":
            return False
    raise ValueError(f"yes or no is needed (true, on, 1; false, off, 0), got {text!r:.50}")


@built_in("inspect", default_timeout=0.2)
def ping(state: State, **more: Any) -> dict[str, str]:
    """Say that this node is there."""
    return ok("pong")


@built_in("inspect")
def report(state: State, **more: Any) -> dict[str, str]:
    """Show what belongs into a bug report."""
    return ok(state.app.bugreport())


@built_in("inspect", alias="dump_conf", signature="[include_defaults=False]", args=[("with_defaults", truth)])
def conf(state: State, with_defaults: bool = False, **more: Any) -> dict[str, Any]:
    """Show the settings that were made; with `include_defaults` all of them. Secrets are hidden."""
    table: dict[str, Any] = plain(state.app.conf.table(with_defaults=bool(with_defaults)))
    return table


@built_in("inspect")
def clock(state: State, **more: Any) -> dict[str, int]:
    """Show the logical clock."""
    return {"clock": state.app.clock.value}


@built_in("inspect")
def stats(state: State, **more: Any) -> dict[str, Any]:
    """Show numbers about this node: tasks, pool, broker, resources."""
    return state.node.view.stats()


@built_in("inspect", visible=False)
def hello(state: State, from_node: str, revoked: Any = None, **more: Any) -> dict[str, Any] | None:
    """Exchange revoked ids and clocks with a worker of Celery that starts."""
    if from_node == state.hostname:
        return None
    if not isinstance(revoked, (list, dict, type(None))):  # a list since 5.7, a map from ids before
        raise DecodeError(f"revoked is a list of ids, got {revoked!r:.100}")
    ids = list(revoked or ())
    known = state.node.revoking
    news = [one for one in ids_in(ids[:IDS_MAX]) if known.revoked.of(one) is None] if ids else []
    if news:
        known.revoke_ids_here(news)
    return {"revoked": known.revoked.ids(), "clock": state.app.clock.forward()}


def plain(value: Any, depth: int = 0) -> Any:
    """Make a value that JSON carries of any value: what it does not know is shown as its repr."""
    match value:
        case None | bool() | int() | float() | str():
            return value
        case timedelta():
            return str(value)
        case Mapping() if depth < _DEEPEST:
            return {str(key): plain(one, depth + 1) for key, one in value.items()}
        case list() | tuple() | set() | frozenset() if depth < _DEEPEST:
            return [plain(one, depth + 1) for one in _in_order(value)]
    return bounded_repr(value)


def _in_order(values: Iterable[Any]) -> Iterable[Any]:
    return sorted(values, key=repr) if isinstance(values, (set, frozenset)) else values
