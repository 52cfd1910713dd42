"""Where the settings of one app come from: layers of what is said, the stronger over the weaker."""

from __future__ import annotations

import copy
import os
import warnings
from collections.abc import Callable, Mapping
from enum import IntEnum
from pathlib import Path
from typing import Any, Final

import msgspec

from celeriac.app.config.environment import CONFIG_MODULE, from_environment
from celeriac.app.config.names import Names
from celeriac.app.config.objects import DEFAULT_MODULES, ConfigSource, default_source
from celeriac.app.config.project import FILE, settings_in_project
from celeriac.app.config.said import Said, check
from celeriac.app.config.table import SETTINGS
from celeriac.exceptions import NotConfigured

Defaults = Mapping[str, Any] | Callable[[], Mapping[str, Any]]


class Layer(IntEnum):
    """Rank the sources, the strongest last."""

    ADDED = 0  # add_defaults
    PROJECT = 1  # pyproject.toml
    OBJECT = 2  # config_from_object and the like
    PROGRAM = 3  # arguments of the app, conf.update, attributes
    ENVIRONMENT = 4
    COMMAND_LINE = 5


Layers = tuple[Mapping[str, Said], ...]

_FOLLOWERS: Final = tuple((setting.name, setting.follows) for setting in SETTINGS.values() if setting.follows)


class Sources(msgspec.Struct, frozen=True, kw_only=True):
    """Hold what the sources of one app say, and which of them are still to be read. A change makes another one.

    Attributes:
        layers: what is said, by `Layer`.
        names: what settings are called.
        source: the object to read, or None.
        pending: what `add_defaults` was given and has not been read yet.
        loaded: whether object, project and environment have been read.
        environ: the environment.
        takes_default: read `celeriacconfig` or `celeryconfig` when there is no other object.
        warned: settings without effect of which a warning told.
    """

    layers: Layers = ({},) * len(Layer)
    names: Names = Names()
    source: ConfigSource | None = None
    pending: tuple[Defaults, ...] = ()
    loaded: bool = False
    environ: Mapping[str, str] = os.environ
    takes_default: bool = False
    warned: frozenset[str] = frozenset()

    def saying(self, layer: Layer, said: Mapping[str, Said]) -> Sources:
        """Return sources of which one layer says that as well; it counts from now on."""
        layers = list(self.layers)
        layers[layer] = {**layers[layer], **said}
        return msgspec.structs.replace(self, layers=tuple(layers))

    def with_defaults(self) -> Sources:
        """Return sources in which nothing is pending: later defaults win over earlier ones.

        Raises:
            ImproperlyConfigured: a value is not of the kind of the setting that it is for.
        """
        names, said = self.names, {}
        for defaults in self.pending:
            values = defaults() if callable(defaults) else defaults
            names = names.also_known(values)
            said.update(check(values, names, "add_defaults"))
        return msgspec.structs.replace(self.saying(Layer.ADDED, said), names=names, pending=())

    def read(self) -> Sources:
        """Return sources that have read everything: defaults, project, object and environment. Imports modules.

        Raises:
            ImproperlyConfigured: something is wrong; the text says what, and where it stands.
        """
        new = self.with_defaults()
        names = new.names
        source = self._object()
        layers = list(new.layers)
        layers[Layer.PROJECT] = check(settings_in_project(Path.cwd()), names, FILE)
        names, layers[Layer.OBJECT] = source.read_with_names(names) if source is not None else (names, {})
        layers[Layer.ENVIRONMENT] = from_environment(self.environ, names)
        return msgspec.structs.replace(new, layers=tuple(layers), names=names, loaded=True)

    def _object(self) -> ConfigSource | None:
        if self.source is not None:
            return self.source
        for variable in CONFIG_MODULE:
            if self.environ.get(variable):
                return ConfigSource(self.environ[variable], asked_by=variable)
        if not self.takes_default:
            return None
        found = default_source()
        if found is None and self.environ.get("C_WNOCONF"):
            text = f"there is no configuration module ({' or '.join(DEFAULT_MODULES)})"
            warnings.warn(text, NotConfigured, stacklevel=2)
        return found

    def values(self, defaults: Mapping[str, Any]) -> dict[str, Any]:
        """Return what every setting is, by name.

        Args:
            defaults: what settings are of which nothing is said.
        """
        values = {**dict.fromkeys(self.names.table), **defaults}
        for layer in self.layers:
            values.update((name, said.value) for name, said in layer.items())
        for follower, leader in _FOLLOWERS:
            if values[follower] is None:
                values[follower] = values[leader]
        return values

    def said(self) -> dict[str, Said]:
        """Return the settings of which something is said, each as its strongest source has it."""
        return {name: said for layer in self.layers for name, said in layer.items()}


def fresh_defaults() -> dict[str, Any]:
    """Return the defaults of all settings: dicts of one's own, which a program may change in place."""
    return {
        name: copy.deepcopy(setting.default) if isinstance(setting.default, dict) else setting.default
        for name, setting in SETTINGS.items()
    }
