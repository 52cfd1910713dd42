"""Find the task modules of packages: ``app.autodiscover_tasks(["shop", "mail"])``."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from types import ModuleType

from celeriac.app.imports import ModuleMissing, module_failed


def import_related(packages: Iterable[str], related_name: str | None) -> list[ModuleType]:
    """Import the module of that name in each package; a package that has none is passed over.

    Args:
        packages: names of packages; a module's name stands for its package.
        related_name: such as ``tasks``; None imports the packages themselves.

    Raises:
        ModuleMissing: there is no such package.
        ModuleFailed: a module is there and raises when it is imported.
    """
    found = [_import_related(package, related_name) for package in packages]
    return [module for module in found if module is not None]


def _import_related(package: str, related_name: str | None) -> ModuleType | None:
    module = _import(package)
    if related_name is not None and (module is None or not hasattr(module, "__path__")):
        # A name such as shop.apps.ShopConfig stands for the package around it.
        above = package.rpartition(".")[0]
        module = _import(above) if above else module
        package = above if module is not None and above else package
    if module is None:
        raise ModuleMissing(
            f"there is no package {package!r}, which autodiscover_tasks asks for; correct the name", name=package
        )
    return module if related_name is None else _import(f"{package}.{related_name}")


def _import(name: str) -> ModuleType | None:
    """Import a module; None when it is not there, while what is missing inside it is an error."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            return None
        raise module_failed(name, "which autodiscover_tasks asks for", error) from error
    except (Exception, SystemExit) as error:
        raise module_failed(name, "which autodiscover_tasks asks for", error) from error
