"""What Celery has in `celery.utils.imports`: modules and what is in them, by name."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Any

from celeriac.app.naming import task_name

if TYPE_CHECKING:
    from celeriac.app.application import Celery


class NotAPackage(Exception):
    """Name a module that was to have modules in it."""


def qualname(obj: Any) -> str:
    """Return the full name of a class or function, or of the class of anything else."""
    named = obj if hasattr(obj, "__name__") else type(obj)
    name = str(getattr(named, "__qualname__", named.__name__))
    return name if "." in name else f"{named.__module__}.{name}"


def symbol_by_name(
    name: Any,
    aliases: Mapping[str, str] | None = None,
    imp: Callable[..., Any] | None = None,
    package: str | None = None,
    sep: str = ".",
    default: Any = None,
    **kwargs: Any,
) -> Any:
    """Import what ``module:name`` or ``module.name`` names; what is not text is returned as it is.

    Args:
        aliases: short names, and what they stand for.
        imp: what imports a module, instead of `importlib.import_module`.
        package: anchor of relative names.
        sep: what stands between module and name when there is no colon.
        default: returned when there is no such thing; None to raise.

    Raises:
        ImportError: there is no such module.
        AttributeError: it has no such name.
    """
    if not isinstance(name, str):
        return name
    name = (aliases or {}).get(name) or name
    module_name, _, attribute = name.rpartition(":" if ":" in name else sep)
    if not module_name:
        module_name, attribute = package or attribute, ""
    try:
        module = (imp or importlib.import_module)(module_name, package=package, **kwargs)
        return getattr(module, attribute) if attribute else module
    except (ImportError, AttributeError):
        if default is None:
            raise
        return default


def instantiate(name: Any, *args: Any, **kwargs: Any) -> Any:
    """Make an object of the class that a name, or the class itself, stands for."""
    return symbol_by_name(name)(*args, **kwargs)


@contextmanager
def cwd_in_path() -> Iterator[str | None]:
    """Import from the working directory within the ``with``, too."""
    try:
        folder = os.getcwd()
    except FileNotFoundError:  # it was deleted under us
        folder = ""
    if not folder or folder in sys.path:
        yield None
        return
    sys.path.insert(0, folder)
    try:
        yield folder
    finally:
        if folder in sys.path:
            sys.path.remove(folder)


def import_from_cwd(module: str, imp: Callable[..., Any] | None = None, package: str | None = None) -> Any:
    """Import a module, from the working directory if it is there."""
    with cwd_in_path():
        return (imp or importlib.import_module)(module, package=package)


def find_module(module: str, path: Any = None, imp: Callable[[str], Any] | None = None) -> Any:
    """Import a module, from the working directory if it is there.

    Raises:
        NotAPackage: a part of the name is a module without modules in it.
        ImportError: there is no such module.
    """
    import_module = imp or importlib.import_module
    with cwd_in_path():
        try:
            return import_module(module)
        except ImportError:
            parts = module.split(".")
            for length in range(1, len(parts)):
                package = ".".join(parts[:length])
                try:
                    found = import_module(package)
                except ImportError:
                    break
                if not hasattr(found, "__path__"):
                    raise NotAPackage(package) from None
            raise


def module_file(module: ModuleType) -> str:
    """Return the path of a module's source."""
    return str(module.__file__).removesuffix("c") if str(module.__file__).endswith(".pyc") else str(module.__file__)


def gen_task_name(app: Celery, name: str, module_name: str | None) -> str:
    """Make the name of a task of the names of its function and module; the app's stands for ``__main__``."""
    return task_name(name, module_name or "__main__", app.main)
