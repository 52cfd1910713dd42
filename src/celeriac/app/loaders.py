"""Loaders, as programs for Celery have them: they read settings, import modules, and are told what happens in nodes.

An app has the plain one unless it names a class of its own (`Celery(loader=…)`, `CELERY_LOADER`, `--loader`). What such
a class overrides is called where Celery calls it, by way of the signals that tell of the same things.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from importlib.util import find_spec
from types import ModuleType
from typing import Any, ClassVar, Final, NoReturn, Protocol

from celeriac.app.autodiscovery import import_related
from celeriac.app.config.environment import CONFIG_MODULE
from celeriac.app.config.objects import DEFAULT_MODULES, ConfigSource
from celeriac.app.config.settings import Settings
from celeriac.app.imports import import_tasks, imported
from celeriac.app.signals import task_postrun, task_prerun, worker_init, worker_process_init, worker_shutdown
from celeriac.exceptions import ConfigurationNotFound, ImproperlyConfigured

DEFAULT_CONFIG_MODULE: Final = DEFAULT_MODULES[-1]

VARIABLE: Final = "CELERY_LOADER"
"""Names the class of the loader of every app of the process that says none itself."""


class _Loads(Protocol):
    """What a loader needs of its app."""

    conf: Settings

    def import_named_modules(self) -> None:
        """Import the modules that the settings name, and those to be discovered."""

    def config_from_object(self, obj: Any, silent: bool = False) -> Any:
        """Read settings from an object, or from where it is."""


class BaseLoader:
    """Read settings and import modules for an app; a subclass may do more, and hear what happens in nodes.

    Args:
        app: whose loader it is.

    Attributes:
        builtin_modules: modules that `import_default_modules` imports as well.
        task_modules: names of the modules that it has imported.
        worker_initialized: `init_worker` was called.
    """

    builtin_modules: ClassVar[Iterable[str]] = frozenset()
    worker_initialized = False

    def __init__(self, app: _Loads, **more: Any) -> None:
        self.app = app
        self.task_modules: set[str] = set()

    # -- what a subclass may do otherwise ----------------------------------------------------------------------

    def read_configuration(self, env: str = "CELERY_CONFIG_MODULE") -> Any:
        """Return what to read settings from, where the program names nothing; None for nothing.

        A subclass returns a dict, or anything else that `config_from_object` takes.
        """
        return os.environ.get(env) or None

    def on_task_init(self, task_id: str, task: Any) -> None:
        """Be called before a run of a task."""

    def on_process_cleanup(self) -> None:
        """Be called after a run of a task."""

    def on_worker_init(self) -> None:
        """Be called when a node starts."""

    def on_worker_process_init(self) -> None:
        """Be called when a process starts that runs tasks."""

    def on_worker_shutdown(self) -> None:
        """Be called when a node stops."""

    def import_default_modules(self) -> None:
        """Import the modules of `imports` and `include` and those to be discovered, as a worker does.

        Raises:
            ImproperlyConfigured: one is not there, or raises; the text has its traceback.
        """
        for module in self.builtin_modules:
            self.import_task_module(module)
        self.app.import_named_modules()

    # -- what programs ask of it -------------------------------------------------------------------------------

    @property
    def conf(self) -> Settings:
        """The settings of the app."""
        return self.app.conf

    @property
    def configured(self) -> bool:
        """Whether settings have been read."""
        return self.app.conf.loaded

    @property
    def default_modules(self) -> tuple[str, ...]:
        """Names of the modules that `import_default_modules` imports, but for those to be discovered."""
        return (*self.builtin_modules, *self.conf.imports, *self.conf.include)

    def now(self, utc: bool = True) -> datetime:
        """Return the time, in UTC; or in the machine's zone, without saying so."""
        return datetime.now(UTC) if utc else datetime.now()

    def import_task_module(self, module: str) -> ModuleType:
        """Import a module for the tasks that it defines.

        Raises:
            ImproperlyConfigured: it is not there, or raises; the text has its traceback.
        """
        self.task_modules.add(module)
        import_tasks(module, "`app.loader.import_task_module`")
        return importlib.import_module(module)

    def import_module(self, module: str, package: str | None = None) -> ModuleType:
        """Import any module, as `importlib.import_module` does."""
        return importlib.import_module(module, package)

    def import_from_cwd(
        self, module: str, imp: Callable[..., ModuleType] | None = None, package: str | None = None
    ) -> ModuleType:
        """Import any module; where it is looked for is `sys.path`, which has the working folder in commands."""
        return (imp or self.import_module)(module, package=package)

    def find_module(self, module: str) -> Any:
        """Return where a module is, or None, without importing it."""
        return find_spec(module)

    def autodiscover_tasks(self, packages: Iterable[str], related_name: str = "tasks") -> None:
        """Import a module of each package that has one, at once."""
        import_related(packages or (), related_name)

    def config_from_object(self, obj: Any, silent: bool = False) -> bool:
        """Have the app read settings from an object; see `app.config_from_object`."""
        self.app.config_from_object(obj, silent=silent)
        return True

    def init_worker(self) -> None:
        """Import what a worker imports, and call `on_worker_init`; once."""
        if not self.worker_initialized:
            self.worker_initialized = True
            self.import_default_modules()
            self.on_worker_init()

    def init_worker_process(self) -> None:
        """Call `on_worker_process_init`."""
        self.on_worker_process_init()

    def shutdown_worker(self) -> None:
        """Call `on_worker_shutdown`."""
        self.on_worker_shutdown()

    def cmdline_config_parser(self, args: Iterable[str], namespace: str = "celery", **more: Any) -> NoReturn:
        """Raise: settings on the command line are read without a loader."""
        raise NotImplementedError("settings of the command line are read by `app.config_from_cmdline(argv)`")


class AppLoader(BaseLoader):
    """Be the loader of apps that name none."""


class Loader(BaseLoader):
    """Read settings from `celeriacconfig` or `celeryconfig`, or the module that the environment names."""

    def read_configuration(self, fail_silently: bool = True) -> Any:  # type: ignore[override]  # as Celery has it
        """Return the attributes of that module, by name; none where there is no such module.

        Raises:
            ConfigurationNotFound: with `fail_silently` off, there is none.
        """
        named = [os.environ[variable] for variable in CONFIG_MODULE if os.environ.get(variable)]
        for name in named or DEFAULT_MODULES:
            if named or find_spec(name) is not None:
                module = self.import_from_cwd(name)
                return {key: value for key, value in vars(module).items() if not key.startswith("_")}
        if not fail_silently:
            raise ConfigurationNotFound(f"there is no configuration module ({' or '.join(DEFAULT_MODULES)})")
        return {}


ALIASES: Final[Mapping[str, type[BaseLoader]]] = {
    "app": AppLoader,
    "celery.loaders.app:AppLoader": AppLoader,
    "default": Loader,
    "celery.loaders.default:Loader": Loader,
}
"""Loaders by the names that Celery's programs have for them, also where `celery` cannot be imported."""

_HEARD: Final = ("on_task_init", "on_process_cleanup", "on_worker_init", "on_worker_process_init", "on_worker_shutdown")

_NOT_CALLED: Final[Mapping[str, str]] = {
    "init_worker": "override on_worker_init, or import_default_modules",
    "init_worker_process": "override on_worker_process_init",
    "shutdown_worker": "override on_worker_shutdown",
    "cmdline_config_parser": "settings of the command line are read without a loader",
    "setup_settings": "override read_configuration",
}
"""Methods that Celery calls and nothing here does, and what to do instead."""


def loader_class(said: type | str | None, default: type | str | None = None) -> type[BaseLoader]:
    """Return the class of a loader.

    Args:
        said: the class, its path or ``app`` or ``default``; None is what `CELERY_LOADER` says, else the default.
        default: the same for a class of apps; None is the plain loader.

    Raises:
        ImproperlyConfigured: there is no such class; or it overrides what nothing here calls.
    """
    asked_by = "Celery(loader=…)" if said else VARIABLE
    said = said or os.environ.get(VARIABLE) or default or AppLoader
    if isinstance(said, str):
        said = ALIASES[said] if said in ALIASES else imported(said, asked_by)
    if not isinstance(said, type) or not issubclass(said, BaseLoader):
        raise ImproperlyConfigured(
            f"{asked_by} names {said!r}, which is no class of loaders; derive it from celeriac.loaders.base.BaseLoader"
        )
    for name, instead in _NOT_CALLED.items():
        if getattr(said, name, None) is not getattr(BaseLoader, name, None):
            raise ImproperlyConfigured(f"the loader {said.__qualname__} has {name}, which nothing calls: {instead}")
    return said


def says_settings(kind: type[BaseLoader]) -> bool:
    """Say whether a class of loaders has settings of its own to tell."""
    return kind.read_configuration is not BaseLoader.read_configuration


def source_of(loader: BaseLoader) -> ConfigSource | None:
    """Return what a loader reads settings from, or None."""
    said = loader.read_configuration()
    return None if said is None else ConfigSource(said, asked_by=f"the loader {type(loader).__qualname__}")


def connect_hooks(loader: BaseLoader) -> None:
    """Have a loader hear what its class wants to hear; where it overrides nothing, nothing is called."""
    kind, app = type(loader), loader.app
    heard = {name for name in _HEARD if getattr(kind, name) is not getattr(BaseLoader, name)}

    def of_this_app(sender: Any) -> bool:
        return getattr(sender, "app", None) is app

    def on_prerun(sender: Any = None, task_id: str = "", task: Any = None, **more: Any) -> None:
        if of_this_app(sender):
            loader.on_task_init(task_id, task)

    def on_postrun(sender: Any = None, **more: Any) -> None:
        if of_this_app(sender):
            loader.on_process_cleanup()

    def on_init(sender: Any = None, **more: Any) -> None:
        if of_this_app(sender):
            loader.on_worker_init()

    def on_shutdown(sender: Any = None, **more: Any) -> None:
        if of_this_app(sender):
            loader.on_worker_shutdown()

    def on_process_init(**more: Any) -> None:
        loader.on_worker_process_init()

    for name, signal, receiver in (
        ("on_task_init", task_prerun, on_prerun),
        ("on_process_cleanup", task_postrun, on_postrun),
        ("on_worker_init", worker_init, on_init),
        ("on_worker_process_init", worker_process_init, on_process_init),
        ("on_worker_shutdown", worker_shutdown, on_shutdown),
    ):
        if name in heard:
            signal.connect(receiver, weak=False)
