"""What a worker says about itself when it starts."""

from __future__ import annotations

import platform
from collections.abc import Sequence

from celeriac import __version__
from celeriac.app.application import Celery
from celeriac.masking import masked_url
from celeriac.worker.scaling import Bounds


def banner(
    app: Celery,
    *,
    node: str,
    spec: str,
    pool: str,
    capacities: Sequence[int],
    dispatch: str,
    queues: Sequence[str],
    autoscale: Bounds | None = None,
) -> str:
    """Describe a node: its app, its stores, its queues and its tasks. Without passwords.

    Args:
        capacities: bodies at once in each of its children.
        autoscale: between which numbers of bodies at once it chooses, or None.
    """
    results = app.backend.url if app.backend is not None else "disabled://"
    shared = f", {len(capacities)} process{'es' * (len(capacities) > 1)}" if max(capacities) > 1 else ""
    at_once = sum(capacities) if autoscale is None else f"{{min={autoscale.least}, max={autoscale.most}}}"
    lines = [
        f" -------------- {node} v{__version__} (celeriac)",
        f"--- ***** ----- {platform.platform()} Python {platform.python_version()}",
        "- *** --- * ---",
        f"- ** ---------- .> app:         {app.main or '__main__'} ({spec})",
        f"- ** ---------- .> transport:   {masked_url(app.broker.url)}",
        f"- ** ---------- .> results:     {masked_url(results)}",
        f"- *** --- * --- .> concurrency: {at_once} ({pool}{shared}, {dispatch})",
        " -------------- [queues]",
        *(f"                .> {queue}" for queue in queues),
        "",
        "[tasks]",
        *(f"  . {name}" for name in sorted(app.tasks.own())),
        "",
    ]
    return "\n".join(lines)
