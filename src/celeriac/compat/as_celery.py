"""Serve `import celery` with celeriac's modules, and what Celery brings along where that is absent.

A module that is imported as `celery.…` is the very module that celeriac has there, so a name is the same object by
either path. The package itself is one of its own, because it tells another version: programs ask for Celery's.
"""

from __future__ import annotations

import logging
import sys
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, spec_from_file_location
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from celeriac.compat.finder import EXTENDED
from celeriac.compat.modules import add_rows, extend, spec_of
from celeriac.compat.peers import PEERS
from celeriac.exceptions import ImproperlyConfigured

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from importlib.abc import Loader
    from importlib.metadata import Distribution, DistributionFinder
else:
    Loader = object  # importing the base class takes 9 ms, and nothing of it is needed

CELERY_VERSION: Final = (5, 7, 0)
"""What `celery.VERSION` begins with: the Celery whose interface this is."""

_TOLD: Final = {
    "VERSION": "CELERYS_VERSION",
    "version_info": "CELERYS_VERSION",
    "VERSION_BANNER": "CELERYS_VERSION_BANNER",
}
"""What the package says of itself, by its names in `compat/version.py`."""

_CELERY: Final = "celery"
_OURS: Final = "celeriac"
_BESIDE: Final = tuple({path.partition(".")[0] for path in PEERS})


class AliasFinder:
    """Find the modules of `celery` among celeriac's. Stands in front: their folders hold celeriac's files."""

    @staticmethod
    def find_spec(
        fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find a module, or something that can say why there is none."""
        if not fullname.startswith(f"{_CELERY}."):
            return None
        ours = fullname.replace(_CELERY, _OURS, 1)
        found = find_spec(ours)
        if found is None or found.loader is None:
            return None
        if fullname == f"{_CELERY}.__main__":  # to be run, and not to be shared
            return spec_from_file_location(fullname, found.origin)
        return ModuleSpec(fullname, _AliasLoader(ours), origin=found.origin)

    @staticmethod
    def find_distributions(context: DistributionFinder.Context) -> Iterable[Distribution]:
        """Find the distribution `celery`, for who asks for it by name: its version is one that programs depend on.

        Lists of what is installed, and of what is in some folder, are without it.
        """
        if (context.name or "").lower() != _CELERY or "path" in vars(context):  # names of distributions have no case
            return ()
        from celeriac.compat.distribution import CeleryStoodFor

        return (CeleryStoodFor(),)


class PeerFinder:
    """Find what Celery brings along. Stands behind the finders of real modules, so that those win."""

    @staticmethod
    def find_spec(
        fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find a module that celeriac serves in place of one that is not installed."""
        return spec_of(fullname) if fullname.partition(".")[0] in _BESIDE else None


class _AliasLoader(Loader):
    """Load a module by having another loaded: the two are one."""

    def __init__(self, ours: str) -> None:
        self._ours = ours
        self._spec: ModuleSpec | None = None

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        module = import_module(self._ours)
        if self._ours in EXTENDED:
            extend(module)  # which its own import has not done where another finder stood in front, such as pytest's
        self._spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._spec  # the import system has just written the other one there


def install() -> None:
    """Put the finders in their places, and the package where Python looks first.

    Raises:
        ImproperlyConfigured: Celery itself is imported already.
    """
    there = sys.modules.get(_CELERY)
    if there is not None and not _is_ours(there):
        raise ImproperlyConfigured(
            f"celeriac cannot stand for Celery here: {there.__name__} {getattr(there, '__version__', '')} is imported "
            f"already, from {getattr(there, '__file__', 'an unknown place')}. Set CELERIAC_AS_CELERY=1 before the "
            "process starts, or call celeriac.compat.install_as_celery() before anything imports celery"
        )
    stand_in_front()
    if PeerFinder not in sys.meta_path:
        add_rows(PEERS)
        sys.meta_path.append(PeerFinder)
    if there is None:
        # A package that is there is not looked for, by whatever finders come before ours later on.
        sys.modules[_CELERY] = _package()
        _take_over_logger()


def stand_in_front() -> None:
    """Make the finder of `celery` the first, again where others have come before it."""
    if AliasFinder in sys.meta_path:
        sys.meta_path.remove(AliasFinder)
    sys.meta_path.insert(0, AliasFinder)


def is_installed() -> bool:
    """Tell whether `import celery` means celeriac in this process."""
    return _is_ours(sys.modules.get(_CELERY))


def _is_ours(module: ModuleType | None) -> bool:
    return getattr(module, "__spec__", None) is not None and isinstance(
        module.__spec__.loader,  # type: ignore[union-attr]  # looked at in the line before
        _PackageLoader,
    )


class _PackageLoader(Loader):
    """Be the loader of the package `celery`, by which it is known."""

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return _package()

    def exec_module(self, module: ModuleType) -> None:
        return


def _package() -> ModuleType:
    number = ".".join(map(str, CELERY_VERSION))
    module = ModuleType(_CELERY, f"celeriac, by the name of Celery {number}, whose interface it has.")
    module.__spec__ = ModuleSpec(_CELERY, _PackageLoader(), origin=_OURS, is_package=True)
    module.__loader__ = module.__spec__.loader
    module.__package__ = _CELERY
    module.__path__ = []
    module.__file__ = sys.modules[_OURS].__file__
    module.__dict__.update(__celeriac__=True, __version__=number, __getattr__=_attribute, __dir__=_names)
    return module


def _attribute(name: str) -> Any:
    told = _TOLD.get(name)
    return getattr(sys.modules[_OURS] if told is None else import_module("celeriac.compat.version"), told or name)


def _names() -> list[str]:
    return sorted({*dir(sys.modules[_OURS]), *_TOLD})


def _take_over_logger() -> None:
    """Have the lines of celeriac come to whoever listens to the logger `celery`, and its level be theirs."""
    logging.getLogger(_OURS).parent = logging.getLogger(_CELERY)
