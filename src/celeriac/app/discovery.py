"""Find the app that a command is about."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import msgspec

from celeriac.app.application import Celery
from celeriac.app.config.environment import CONFIG_MODULE
from celeriac.app.config.objects import DEFAULT_MODULES
from celeriac.app.config.project import APP, read_project
from celeriac.app.current import Proxy
from celeriac.app.imports import module_failed
from celeriac.exceptions import ImproperlyConfigured

_ATTRIBUTES: Final = ("app", "celery")
_FILES: Final = ("celery.py", "app.py", "tasks.py")
_OF_SETTINGS: Final = "celeriac.app.without_app"
"""The app of a project that has settings and makes none, as Celery's programs may."""


class Found(msgspec.Struct, frozen=True):
    """Say which app was found, and how.

    Attributes:
        app: the app.
        spec: what to give to ``-A`` to name it outright.
        tried: what was looked at before, and why it was not that.
    """

    app: Celery
    spec: str
    tried: tuple[str, ...] = ()


class _NoApp(Exception):
    """Nothing here is an app; the text says what was seen."""


def find_app(
    spec: str | None = None, *, workdir: str | os.PathLike[str] | None = None, environ: Mapping[str, str] = os.environ
) -> Found:
    """Import an app: the one named, else the one that the environment, the project or the folder suggests.

    The working directory is put in front of `sys.path`, where it stays.

    Args:
        spec: ``pkg`` or ``pkg.mod:attribute``; None looks at ``CELERIAC_APP``, then at ``[tool.celeriac] app`` in
            `pyproject.toml`, then for `celery.py`, `app.py` and `tasks.py`, then for settings: a module that
            ``CELERY_CONFIG_MODULE`` names, or `celeryconfig.py`. They are those of the default app.
        workdir: folder to look in; None is the current one.
        environ: the environment.

    Raises:
        ImproperlyConfigured: none was found; the text lists what was tried and what each was instead.
        ModuleFailed: a module that was found raises when it is imported; the text has its traceback.
    """
    if spec is not None and not spec.strip():
        raise ImproperlyConfigured("-A names no app: give it module:attribute, or leave it out to have one looked for")
    folder = Path(workdir or Path.cwd()).resolve()
    if sys.path[:1] != [str(folder)]:
        sys.path.insert(0, str(folder))
    tried: list[str] = []
    for source, candidate in _candidates(spec, folder, environ):
        try:
            app = _load(candidate)
        except _NoApp as why:
            tried.append(f"{source}: {why}")
            if source not in _FILES:
                break
        except (Exception, SystemExit) as error:
            how = "found as" if source in _FILES else "named by"
            raise module_failed(candidate.partition(":")[0], f"{how} {source}", error) from error
        else:
            return Found(app, candidate, tuple(tried))
    raise ImproperlyConfigured(_nothing_found(tried, folder))


def _candidates(spec: str | None, folder: Path, environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield where a name stands and the name; whoever is named outright is the only candidate."""
    project = None if spec or environ.get("CELERIAC_APP") else _named_in_project(folder)
    for source, named in (
        (f"-A {spec}", spec),
        ("CELERIAC_APP", environ.get("CELERIAC_APP")),
        ("[tool.celeriac] app in pyproject.toml", project),
    ):
        if named:
            yield source, named
            return
    for name in _FILES:
        if (folder / name).is_file():
            yield name, name.removesuffix(".py")
    settings = [variable for variable in CONFIG_MODULE if environ.get(variable)]
    settings += [f"{name}.py" for name in DEFAULT_MODULES if (folder / f"{name}.py").is_file()]
    if settings:
        yield settings[0], _OF_SETTINGS


def _named_in_project(folder: Path) -> str | None:
    named = read_project(folder).get(APP)
    if named is not None and not isinstance(named, str):
        raise ImproperlyConfigured(f"[tool.celeriac] app in {folder / 'pyproject.toml'} must be a text, got {named!r}")
    return named


def _load(spec: str) -> Celery:
    name, colon, attribute = spec.partition(":")
    module = _import(name)
    if colon:
        return _attribute(module, attribute)
    app = _app_in(module)
    if app is None and hasattr(module, "__path__"):
        submodule = _import_if_there(f"{name}.celery")
        app = _app_in(submodule) if submodule is not None else None
    if app is None:
        raise _NoApp(f"module {name!r} ({_where(module)}) has no app: no attribute in it is a Celery instance")
    return app


def _import(name: str) -> ModuleType:
    module = _import_if_there(name)
    if module is not None:
        return module
    package, _, attribute = name.rpartition(".")
    parent = _import_if_there(package) if package else None
    if parent is not None and isinstance(getattr(parent, attribute, None), Celery):
        raise _NoApp(f"there is no module {name!r}; did you mean {package}:{attribute}?")
    hint = "; leave out the .py" if name.endswith(".py") else ""
    raise _NoApp(f"there is no module {name!r}{hint}")


def _import_if_there(name: str) -> ModuleType | None:
    """Import a module; None when it does not exist, while what is missing inside it is its own error."""
    if not name or name.startswith("."):
        raise _NoApp(f"{name!r} is not the name of a module")
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            return None
        raise


def _attribute(module: ModuleType, path: str) -> Celery:
    value: Any = module
    for part in path.split("."):
        value = _stood_for(getattr(value, part, None))
    if isinstance(value, ModuleType):
        found = _app_in(value)
        if found is not None:
            return found
    if not isinstance(value, Celery):
        others = sorted(name for name, other in vars(module).items() if isinstance(other, Celery))
        hint = f"; it has {', '.join(others)}" if others else ""
        what = "has no such attribute" if value is None else f"has a {type(value).__name__} there, not an app"
        raise _NoApp(f"{module.__name__}:{path}: the module {what}{hint}")
    return value


def _app_in(module: ModuleType) -> Celery | None:
    attributes = vars(module)
    named = [_stood_for(attributes.get(name)) for name in _ATTRIBUTES]
    apps = (value for value in (*named, *attributes.values()) if isinstance(value, Celery))
    return next(apps, None)


def _stood_for(value: Any) -> Any:
    """Return the current app where a module has named what stands for it, as `app = current_app` does."""
    return value._get_current_object() if type(value) is Proxy else value


def _where(module: ModuleType) -> str:
    return str(getattr(module, "__file__", None) or "built in")


def _nothing_found(tried: list[str], folder: Path) -> str:
    if not tried:
        tried = [
            "CELERIAC_APP: not set",
            "[tool.celeriac] app in pyproject.toml: not there",
            f"{', '.join(_FILES)}: no such files",
            f"{', '.join((*CONFIG_MODULE, *(f'{name}.py' for name in DEFAULT_MODULES)))}: no settings of an app",
        ]
    lines = "\n".join(f"  {line}" for line in tried)
    return f"no app was found in {folder}. Name it with -A package.module:attribute. Tried:\n{lines}"
