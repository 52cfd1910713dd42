"""Have Python find Celery's import paths under `celeriac.`.

Loaded by `import celeriac`, so it is small; the table is loaded when a path is asked for.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

EXTENDED: Final = frozenset(
    {
        "celeriac._state",
        "celeriac.app",
        "celeriac.app.amqp",
        "celeriac.app.control",
        "celeriac.app.events",
        "celeriac.app.log",
        "celeriac.app.registry",
        "celeriac.app.task",
        "celeriac.app.trace",
        "celeriac.backends",
        "celeriac.backends.base",
        "celeriac.backends.redis",
        "celeriac.backends.rpc",
        "celeriac.canvas",
        "celeriac.contrib",
        "celeriac.exceptions",
        "celeriac.schedules",
        "celeriac.states",
        "celeriac.worker",
        "celeriac.worker.autoscale",
        "celeriac.worker.control",
        "celeriac.worker.loops",
        "celeriac.worker.state",
    }
)
"""Modules of ours, or that may come, which have a path of Celery's: the table adds the names that they lack."""


class TableFinder:
    """Find what only the table has. Stands behind the finders of real modules, so that those win."""

    @staticmethod
    def find_spec(
        fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find a path of Celery's, or something that can say why there is none."""
        if not fullname.startswith("celeriac."):
            return None
        from celeriac.compat.modules import spec_of

        return spec_of(fullname)


class ExtendingFinder:
    """Find real modules of ours that lack names. Stands in front, and leaves the finding to those behind."""

    @staticmethod
    def find_spec(
        fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find a module as it would be found without this, and have its names added when it is loaded."""
        if fullname not in EXTENDED:
            return None
        for finder in sys.meta_path:
            if finder not in (ExtendingFinder, TableFinder):
                spec = finder.find_spec(fullname, path, target)
                if spec is not None and spec.loader is not None:
                    from celeriac.compat.modules import ExtendingLoader

                    spec.loader = ExtendingLoader(spec.loader)
                    return spec
        return None


AS_CELERY: Final = "CELERIAC_AS_CELERY"
"""Variable of the environment that has `import celery` mean celeriac."""

_NO: Final = frozenset({"", "0", "false", "no", "off"})


def install() -> None:
    """Put the two finders in their places, once; with `AS_CELERY` in the environment, those for `celery` too.

    Raises:
        ImproperlyConfigured: `AS_CELERY` is set, and Celery itself is imported already.
    """
    if TableFinder not in sys.meta_path:
        stand_in_front()
        sys.meta_path.append(TableFinder)
    if os.environ.get(AS_CELERY, "").lower() not in _NO:
        from celeriac.compat import as_celery

        as_celery.install()


def stand_in_front() -> None:
    """Make the finder of real modules the first, again where others have come before it that find them as well."""
    if ExtendingFinder in sys.meta_path:
        sys.meta_path.remove(ExtendingFinder)
    sys.meta_path.insert(0, ExtendingFinder)
