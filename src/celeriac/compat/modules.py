"""Make modules of the rows of the table, and errors of the names that are missing.

A name that exists is the very object of the module that defines it, fetched when it is first asked for. One that does
not exist fails with the sentence of the table. An attribute fails with an `AttributeError`; but ``from module import
name`` would drop that error's text, so each of these modules is a package without modules in it: Python then looks for
a module of that name, asks `finder.TableFinder`, and shows the `ImportError` that it gets from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from celeriac.compat import paths
from celeriac.compat.paths import PATHS, Home, Missing, Names

if TYPE_CHECKING:
    from importlib.abc import Loader
else:
    Loader = object  # importing the base class takes 9 ms, and nothing of it is needed

_PACKAGE: Final = "celeriac"
_ROWS: Final[dict[str, Names | Missing]] = dict(PATHS)


def add_rows(rows: Mapping[str, Names | Missing]) -> None:
    """Know the rows of one more table."""
    _ROWS.update(rows)


def spec_of(fullname: str) -> ModuleSpec | None:
    """Describe the module at a path of the table, or the error about it; None when the table does not have it."""
    loader: Loader
    match _ROWS.get(fullname):
        case Missing(why):
            loader = _FailingLoader(f"{fullname} {why}")
        case None:
            text = _what_it_is(fullname)
            if text is None:
                return None
            loader = _FailingLoader(text)
        case _:
            loader = _TableLoader()
    return ModuleSpec(fullname, loader, origin=paths.__file__, is_package=True)


def _what_it_is(fullname: str) -> str | None:
    """Say what a name is that was imported as if it were a module."""
    path, _, name = fullname.rpartition(".")
    names = _ROWS.get(path)
    if not isinstance(names, Mapping):
        return None
    match names.get(name):
        case Missing(why):
            return f"{name}, which Celery has in {_celerys(path)}, {why}"
        case Home():
            hint = paths.HINTS.get(fullname)
            return f"{fullname} is not a module; write: from {path} import {name}{f'; {hint}' if hint else ''}"
    return None


def _celerys(path: str) -> str:
    return path.replace(_PACKAGE, "celery", 1)


def look_up(path: str, name: str) -> Any:
    """Return what Celery has under a name of one of its modules.

    Raises:
        AttributeError: celeriac does not have it; the text says why, and what to do instead.
    """
    names = _ROWS[path]
    match names.get(name) if isinstance(names, Mapping) else None:
        case Home(module, attribute):
            return getattr(import_module(module), attribute)
        case Missing():
            raise AttributeError(_what_it_is(f"{path}.{name}"), name=name)
    if f"{path}.{name}" in _ROWS:
        try:
            return import_module(f"{path}.{name}")
        except ImportError as error:
            raise AttributeError(str(error), name=name) from error
    raise AttributeError(f"module {path!r} has no attribute {name!r}", name=name)


def names_of(path: str) -> list[str]:
    """List the names that exist at a path."""
    names = _ROWS[path]
    return [name for name, home in names.items() if isinstance(home, Home)] if isinstance(names, Mapping) else []


class _Attributes:
    """Be the `__getattr__` and `__dir__` of a module."""

    def __init__(self, module: ModuleType) -> None:
        self._module = module

    def get(self, name: str) -> Any:
        value = look_up(self._module.__name__, name)
        setattr(self._module, name, value)
        return value

    def list(self) -> list[str]:
        return sorted({*vars(self._module), *names_of(self._module.__name__)})


def extend(module: ModuleType) -> None:
    """Give a module the names that the table has for it and the module itself does not."""
    attributes = _Attributes(module)
    module.__dict__.setdefault("__path__", [])
    module.__dict__["__getattr__"] = attributes.get
    module.__dict__["__dir__"] = attributes.list


class _TableLoader(Loader):
    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        module.__doc__ = f"What Celery has in {_celerys(module.__name__)}."
        module.__dict__["__all__"] = names_of(module.__name__)
        extend(module)


class _FailingLoader(Loader):
    def __init__(self, text: str) -> None:
        self._text = text

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        raise ImportError(self._text, name=spec.name)

    def exec_module(self, module: ModuleType) -> None:
        raise ImportError(self._text, name=module.__name__)


class ExtendingLoader(Loader):
    """Load a real module and extend it; afterwards nothing of this loader remains in it.

    Args:
        loader: loads the module.
    """

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Make the module as its own loader does."""
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """Run the module, then add names."""
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        extend(module)
