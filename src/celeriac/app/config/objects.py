"""Settings in objects: modules, classes, instances and dicts; given as they are, or by where they are."""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any, Final

import msgspec

from celeriac.app.config.names import Names
from celeriac.app.config.said import Said, check
from celeriac.app.imports import module_failed
from celeriac.app.standing import stands_for_celery
from celeriac.exceptions import ConfigurationNotFound

DEFAULT_MODULES: Final = ("celeriacconfig", "celeryconfig")
"""Modules that an app without a name and without a configuration reads, the first one that is there."""

_NO_VALUES: Final = (type, ModuleType, FunctionType, BuiltinFunctionType, MethodType)
_DJANGO_ZONE: Final = "TIME_ZONE"


class ConfigSource(msgspec.Struct, frozen=True):
    """Say what an app reads its settings from.

    Attributes:
        target: an object with settings, or the place of one: ``package.module``, ``package.module:attribute`` or
            ``package.module.attribute``.
        silent: read nothing, without an error, when it is not there. One that is there and raises is an error always.
        asked_by: who names it, for errors and origins; "" for the program.
    """

    target: Any
    silent: bool = False
    asked_by: str = ""

    @property
    def origin(self) -> str:
        """The source in words: ``module celeryconfig``, ``class shop.Config``, ``dict``."""
        by = f" of {self.asked_by}" if self.asked_by else ""
        match self.target:
            case str() as path:
                return f"{'object' if ':' in path else 'module'} {path}{by}"
            case ModuleType():
                return f"module {self.target.__name__}"
            case type():
                return f"class {self.target.__module__}.{self.target.__qualname__}"
            case _ if self.asked_by:
                return f"{type(self.target).__name__}{by}"
        return f"{type(self.target).__name__} given to config_from_object"

    def read(self, names: Names) -> dict[str, Said]:
        """Return what the object says; see `read_with_names`."""
        return self.read_with_names(names)[1]

    def read_with_names(self, names: Names) -> tuple[Names, dict[str, Said]]:
        """Return what the object says; of names that claim to be settings, all.

        Where celeriac stands for Celery, so do names of packages (`CELERY_ONCE`), and they are known then.

        Raises:
            ConfigurationNotFound: it is not where it should be.
            ModuleFailed: importing it raises.
            ImproperlyConfigured: what it says is wrong.
        """
        target = self.target
        if isinstance(target, str):
            try:
                with _importing_from_here():
                    target = _find(target, f"which {self.asked_by or 'config_from_object'} asks for")
            except ConfigurationNotFound:
                if self.silent:
                    return names, {}
                raise
        if stands_for_celery():
            names = names.also_known(_own_names(target, names))
        return names, _read(target, names, self.origin)

    def portable(self) -> ConfigSource:
        """Return a source that says the same and can be pickled: a module goes by its name."""
        if isinstance(self.target, ModuleType):
            return msgspec.structs.replace(self, target=self.target.__name__)
        return self


def default_source() -> ConfigSource | None:
    """Return the source of an app that was told none, or None when no such module is there."""
    with _importing_from_here():
        found = next((name for name in DEFAULT_MODULES if name in sys.modules or find_spec(name)), None)
    return ConfigSource(found) if found is not None else None


def _own_names(target: Any, names: Names) -> Iterator[str]:
    """Yield what an object says that is of no setting, and like none: with a prefix only what has it."""
    values = target if isinstance(target, Mapping) else _Attributes(target)
    for key in values:
        if not isinstance(key, str) or key.startswith("_") or (names.namespace and not names.claims(key)):
            continue
        if names.is_own(key) and not isinstance(values[key], _NO_VALUES):
            yield key


def _read(target: Any, names: Names, origin: str) -> dict[str, Said]:
    values = target if isinstance(target, Mapping) else _Attributes(target)
    chosen: dict[str, Any] = {}
    for key in values:
        if not isinstance(key, str) or key.startswith("_") or not names.claims(key):
            continue
        value = values[key]
        if isinstance(value, _NO_VALUES) and not _is_setting(key, value, names):
            continue
        chosen[key] = value
    said = check(chosen, names, origin)
    if "timezone" not in said and _DJANGO_ZONE in values:  # Django's name for it, as in Celery
        said |= check({"timezone": values[_DJANGO_ZONE]}, names, f"{_DJANGO_ZONE} of {origin}")
    return said


def _is_setting(key: str, value: Any, names: Names) -> bool:
    """Say whether a module, class or function is the value of a setting, and not just something called like one.

    A configuration module may import `timezone` from `datetime`, or define a function `include`.
    """
    name = names.find(key)
    if name is None:
        return False
    try:
        names.table[name].kind.accept(value)
    except ValueError:
        return False
    return True


class _Attributes(Mapping[str, Any]):
    """Show the attributes of an object as a mapping; one that raises is not there."""

    def __init__(self, target: Any) -> None:
        self._target = target

    def __getitem__(self, key: str) -> Any:
        try:
            return getattr(self._target, key)
        except AttributeError:
            raise KeyError(key) from None

    def __iter__(self) -> Iterator[str]:
        return iter(dir(self._target))

    def __len__(self) -> int:
        return len(dir(self._target))


def _find(path: str, asked_for: str) -> Any:
    name, colon, attribute = path.partition(":")
    if colon:
        return _attribute(_import(name, asked_for), attribute, asked_for)
    try:
        return _import(path, asked_for)
    except ConfigurationNotFound:
        parent, _, attribute = path.rpartition(".")
        if not parent or attribute == "py":  # the name of a file
            raise
        try:
            module = _import(parent, asked_for)
        except ConfigurationNotFound:
            raise ConfigurationNotFound(_not_there(path, asked_for)) from None
        return _attribute(module, attribute, asked_for)


def _import(name: str, asked_for: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):  # it is there; what it imports is not
            raise module_failed(name, asked_for, error) from error
        raise ConfigurationNotFound(_not_there(name, asked_for)) from error
    except (TypeError, ValueError):  # a relative or an empty name
        raise ConfigurationNotFound(_not_there(name, asked_for)) from None
    except (Exception, SystemExit) as error:
        raise module_failed(name, asked_for, error) from error


def _not_there(name: str, asked_for: str) -> str:
    hint = "leave out the .py" if name.endswith(".py") else "correct the name, or start where it can be imported"
    return f"there is no module {name!r}, {asked_for}; {hint}"


def _attribute(module: ModuleType, path: str, asked_for: str) -> Any:
    found: Any = module
    for part in path.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise ConfigurationNotFound(f"module {module.__name__!r} has no {path!r}, {asked_for}") from None
    return found


@contextlib.contextmanager
def _importing_from_here() -> Iterator[None]:
    """Find modules in the working directory besides, as Celery does."""
    here = str(Path.cwd())
    if here in sys.path:
        yield
        return
    sys.path.insert(0, here)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(here)
