"""Celery's entry points on the app: the one module that imports what stands below the app, and only when called."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from celeriac.exceptions import ImproperlyConfigured

if TYPE_CHECKING:
    from celeriac.app.application import Celery

_OURS: Final = "celeriac."


def run_command(app: Celery, argv: Sequence[str] | None) -> int:
    """Run the command line for an app, and return its exit code.

    Args:
        argv: the command and its options; None is what this program was given.

    Raises:
        ImproperlyConfigured: no module holds the app, so other processes of a worker could not find it.
    """
    from celeriac.cli.main import main

    return main(["-A", place_of(app), *(sys.argv[1:] if argv is None else argv)])


def run_worker(app: Celery, argv: Sequence[str] | None) -> int:
    """Run a worker for an app, and return its exit code.

    Raises:
        ValueError: the command is not ``worker``, which Celery wants to be said.
    """
    said = list(sys.argv[1:] if argv is None else argv)
    if "worker" not in said:
        raise ValueError(f"worker_main runs the command 'worker', which must be among its arguments; got {said}")
    return run_command(app, said)


def place_of(app: Celery) -> str:
    """Return the module and attribute by which the app can be found again."""
    for name, module in list(sys.modules.items()):
        attributes = dict(getattr(module, "__dict__", {}))  # asks no `__getattr__`: not all are modules
        if str(attributes.get("__name__")).startswith(_OURS):  # one of them holds the current app, here only
            continue
        for attribute, value in attributes.items():
            if value is app:
                return f"{name}:{attribute}"
    raise ImproperlyConfigured(
        f"app {app.main!r} is no attribute of any module, where the processes of a worker look for it; "
        "assign it to a name at the top of a module"
    )
