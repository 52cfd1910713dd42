"""Commands about the pool: how many bodies run at once, and in which processes."""

from __future__ import annotations

from typing import Any, Final

from celeriac.worker.commands.panel import built_in, not_ok, ok
from celeriac.worker.commands.state import Pool, State

_MOST: Final = 1_000
"""Bodies by which one command may change a pool; more is a slip of the finger."""

_NOT_AUTOSCALED: Final = "Autoscale not enabled"
_AUTOSCALED: Final = "{} is not supported with autoscale. Adjust autoscale range instead."


@built_in("control", args=[("n", int)], signature="[N=1]")
def pool_grow(state: State, n: int = 1, **more: Any) -> dict[str, str]:
    """Run N more tasks at once."""
    if state.node.autoscaler is not None:
        return not_ok(_AUTOSCALED.format("pool_grow"))
    _pool(state).grow(_count(n))
    return ok("pool will grow")


@built_in("control", args=[("n", int)], signature="[N=1]")
def pool_shrink(state: State, n: int = 1, **more: Any) -> dict[str, str]:
    """Run N fewer tasks at once; what runs ends first."""
    if state.node.autoscaler is not None:
        return not_ok(_AUTOSCALED.format("pool_shrink"))
    _pool(state).shrink(_count(n))
    return ok("pool will shrink")


@built_in("control")
def pool_restart(
    state: State, modules: Any = None, reload: bool = False, reloader: Any = None, **more: Any
) -> dict[str, str]:
    """Start the processes that run tasks anew; with `reload` the whole node, with all code read again."""
    if not state.app.conf.worker_pool_restarts:
        raise ValueError("Pool restarts not enabled")
    if reloader is not None:
        return not_ok("a reloader of your own is not called here; say reload=True, and the node reads all code again")
    if reload:
        state.afterwards = lambda: state.node.lifetime.restart("pool_restart")
    elif modules:
        return not_ok(f"{modules!r:.200} cannot be imported into processes that run; say reload=True")
    else:
        _pool(state).replace()
    return ok("reload started")


@built_in("control", args=[("max", int), ("min", int)], signature="[max [min]]")
def autoscale(state: State, max: int | None = None, min: int | None = None) -> dict[str, str]:
    """Change how many tasks run at once at most, and at least, where the node chooses (`--autoscale`)."""
    if state.node.autoscaler is None:
        raise ValueError(_NOT_AUTOSCALED)
    most, least = state.node.autoscaler.update(max, min)
    return ok(f"autoscale now max={most} min={least}")


def _pool(state: State) -> Pool:
    if state.node.pool is None:
        raise ValueError("the processes of this node cannot be changed while it runs; start it again with another -c")
    return state.node.pool


def _count(n: Any) -> int:
    if isinstance(n, bool) or not isinstance(n, int) or not 1 <= n <= _MOST:
        raise ValueError(f"n must be a whole number from 1 to {_MOST:,}, got {n!r:.50}")
    return n
