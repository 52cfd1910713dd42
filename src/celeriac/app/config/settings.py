"""The object that holds what an app chose."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, ItemsView, Iterable, Iterator, KeysView, Mapping, Sequence, ValuesView
from contextlib import contextmanager
from pprint import pformat
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from celeriac.app.config.derived import DerivedSettings
from celeriac.app.config.names import NAMESPACES
from celeriac.app.config.objects import ConfigSource
from celeriac.app.config.said import Said, check
from celeriac.app.config.setting import Setting
from celeriac.app.config.sources import Defaults, Layer, Sources, fresh_defaults
from celeriac.app.config.table import NEW_NAMES, SETTINGS
from celeriac.app.config.texts import read_assignments
from celeriac.app.config.unused import warn_without_effect
from celeriac.app.standing import stands_for_celery
from celeriac.exceptions import UnknownSetting
from celeriac.masking import masked

Values = Mapping[str, Any] | Iterable[tuple[str, Any]]

COMMAND_LINE: Final = "command line"
AT_START: Final = "arguments of the app"

_changing = threading.RLock()


def _forget_lock() -> None:
    """Have a forked child begin with a lock that nobody holds."""
    global _changing
    _changing = threading.RLock()


os.register_at_fork(after_in_child=_forget_lock)


class FoundOption(NamedTuple):
    """Say which setting a part of a name means, as Celery's `find_option` does."""

    namespace: str | None
    key: str
    type: Setting


class Settings(DerivedSettings):
    """Hold the settings of one app, as attributes and as items, by their new and their old names.

    What is said on the command line wins over the environment, that over the program (arguments of the app, `update`,
    attributes), that over the object of `config_from_object`, that over `[tool.celeriac]` in `pyproject.toml`, that
    over `add_defaults`, that over the defaults. Objects, project and environment are read when a setting is first
    needed; then all of it holds, or none.

    Values are checked when they are given, so reading one is a plain attribute. Attributes are typed as they read;
    `update` and items take all that a setting accepts, such as a list of modules or a timedelta.

    Args:
        values: what the program says at once; each mapping is a source by itself, so names are not mixed in it.
        environ: the environment.
        namespace: what names begin with in objects, such as ``CELERY``.
        source: the object to read.
        before_load: called before objects, project and environment are read.
        after_load: called when they have been.

    Attributes:
        version: another number after every change, so that what is derived from settings knows when it is stale.
    """

    version: int

    def __init__(
        self,
        *values: Mapping[str, Any],
        environ: Mapping[str, str] = os.environ,
        namespace: str | None = None,
        source: ConfigSource | None = None,
        before_load: Callable[[], object] = lambda: None,
        after_load: Callable[[], object] = lambda: None,
    ) -> None:
        sources = Sources(environ=environ, source=source)
        self.__dict__.update(
            version=0,
            _sources=_named(sources, namespace),
            _defaults=fresh_defaults(),
            _loading=set(),
            _before_load=before_load,
            _after_load=after_load,
        )
        for source_values in values:
            self._say(Layer.PROGRAM, source_values, AT_START)

    # Saying

    def update(self, values: Values = (), /, **more: Any) -> None:
        """Change settings, all of them or, when one is wrong, none.

        Raises:
            UnknownSetting: there is none of that name; the text has the nearest.
            ImproperlyConfigured: a value is not of the setting's kind.
        """
        self._say(Layer.PROGRAM, {**dict(values), **more}, "conf.update")

    def override(self, values: Mapping[str, Any]) -> None:
        """Change settings as the command line does: nothing said elsewhere counts against it."""
        self._say(Layer.COMMAND_LINE, values, COMMAND_LINE)

    @contextmanager
    def overridden(self, values: Mapping[str, Any]) -> Iterator[None]:
        """Change settings as `override` does, for the length of a `with` block."""
        with _changing:
            before = self._sources.layers[Layer.COMMAND_LINE]
            self.override(values)
        try:
            yield
        finally:
            with _changing:
                self._change(_with_layers(self._sources, {Layer.COMMAND_LINE: before}))

    def read_arguments(self, arguments: Sequence[str], *, namespace: str = "") -> None:
        """Change settings as the command line does, by ``name=value`` texts; see `read_assignments`."""
        self.override(read_assignments(arguments, self._sources.names, COMMAND_LINE, namespace=namespace))

    def setdefault(self, name: str, value: Any) -> Any:
        """Change a setting unless somebody has; return what it is."""
        if not self.value_set_for(name):
            self[name] = value
        return self[name]

    def clear(self) -> None:
        """Take back all that the program said: arguments of the app, `update`, attributes."""
        self._take_back(self.changes)

    def add_defaults(self, defaults: Defaults) -> None:
        """Add defaults that win over celeriac's own, and over those that were added before.

        Names that are no settings become some, which may be anything. A function is called when settings are read.
        """
        with _changing:
            new = msgspec.structs.replace(self._sources, pending=(*self._sources.pending, defaults))
            self._change(new.with_defaults() if new.loaded else new)

    def read_object(self, source: ConfigSource, *, force: bool = False, namespace: str | None = None) -> None:
        """Read settings from another object: when one is needed, or at once when they have been read or `force` is on.

        Raises:
            ImproperlyConfigured: it was read, and something is wrong; then nothing has changed.
        """
        with _changing:
            before = self._sources
            self.__dict__["_sources"] = _named(msgspec.structs.replace(before, source=source), namespace)
        if force or before.loaded:
            try:
                self._load()
            except BaseException:
                old = {"source": before.source, "names": before.names}
                self.__dict__["_sources"] = msgspec.structs.replace(self._sources, **old)
                raise

    def take_default_module(self) -> None:
        """Read `celeriacconfig` or `celeryconfig` when there is no other object, as the app that nobody made does."""
        self.__dict__["_sources"] = msgspec.structs.replace(self._sources, takes_default=True)

    def finalize(self) -> Settings:
        """Read all sources, unless they have been; return the settings.

        Raises:
            ImproperlyConfigured: one is wrong.
        """
        if not self._sources.loaded:
            self._load()
        return self

    # Reading

    def value_of(self, name: str) -> Any:
        """Return a setting by its new name. While sources are being read, it is what is known so far."""
        if self._sources.loaded or self._load():
            return self.__dict__[name]
        return self._sources.values(self._defaults)[name]

    def get(self, name: str, default: Any = None) -> Any:
        """Return a setting, or `default` when none is called that."""
        found = self._find(name)
        return default if found is None else self.value_of(found)

    def first(self, *names: str) -> Any:
        """Return the first of these settings that is not None; None when all are, or there are none of that name."""
        return next((value for name in names if (value := self.get(name)) is not None), None)

    def keys(self) -> KeysView[str]:
        """Return the names of all settings, so that `dict` can copy them."""
        return self.finalize()._sources.names.table.keys()

    def values(self) -> ValuesView[Any]:
        """Return what all settings are now, in the order of their names."""
        return dict(self).values()

    def items(self) -> ItemsView[str, Any]:
        """Return all settings with what they are now."""
        return dict(self).items()

    def origin_of(self, name: str) -> str:
        """Return where a setting comes from, such as ``conf.update``, ``module celeryconfig`` or ``default``."""
        said = self.finalize()._sources.said().get(self._known(name))
        return said.origin if said is not None else "default"

    def setting(self, name: str) -> Setting:
        """Return the description of a setting.

        Raises:
            UnknownSetting: there is none of that name.
        """
        try:
            return self.finalize()._sources.names.table[self._known(name)]
        except KeyError:
            raise UnknownSetting(self._no_such(name)) from None

    def value_set_for(self, name: str) -> bool:
        """Say whether any source says something of a setting."""
        found = self._sources.names.find(name)
        return found is not None and found in self.finalize()._sources.said()

    def without_defaults(self) -> dict[str, Any]:
        """Return the settings of which any source says something."""
        return {name: said.value for name, said in self.finalize()._sources.said().items()}

    @property
    def changes(self) -> dict[str, Any]:
        """What the program says: arguments of the app, `update`, attributes."""
        return _values(self._sources.layers[Layer.PROGRAM])

    @property
    def overrides(self) -> dict[str, Any]:
        """What the command line says."""
        return _values(self._sources.layers[Layer.COMMAND_LINE])

    @property
    def source(self) -> ConfigSource | None:
        """The object that settings are read from, when the program named one."""
        return self._sources.source

    @property
    def namespace(self) -> str | None:
        """What names begin with in objects."""
        return self._sources.names.namespace or None

    @property
    def loaded(self) -> bool:
        """Whether the sources have been read."""
        return self._sources.loaded

    @property
    def deprecated_settings(self) -> frozenset[str]:
        """The old names in use."""
        layers = self.finalize()._sources.layers
        return frozenset(said.key for layer in layers for said in layer.values() if said.key in NEW_NAMES)

    def table(self, with_defaults: bool = False, censored: bool = True) -> dict[str, Any]:
        """Return the settings that were changed, or all; what must not be shown is hidden, unless `censored` is off."""
        shown = dict(self) if with_defaults else self.without_defaults()
        return {name: masked(name, value) for name, value in shown.items()} if censored else shown

    def humanize(self, with_defaults: bool = False, censored: bool = True) -> str:
        """Return what `table` does as lines of text."""
        shown = self.table(with_defaults, censored)
        return "\n".join(f"{name}: {pformat(value, width=50)}" for name, value in shown.items())

    def find_option(self, name: str, namespace: str = "") -> FoundOption:
        """Find a setting by the end of its name: ``prefetch_multiplier`` is that of ``worker``.

        Args:
            namespace: the beginning to try first.

        Raises:
            KeyError: no setting ends like that.
        """
        key = name.lower()
        for beginning in (namespace.lower(), *NAMESPACES):
            found = SETTINGS.get(f"{beginning}_{key}")
            if found is not None:
                return FoundOption(beginning, key, found)
        return FoundOption(None, key, SETTINGS[key])

    def find_value_for_key(self, name: str, namespace: str = "celery") -> Any:
        """Return the setting that `find_option` finds."""
        return self[self.find_option(name, namespace).type.name]

    def get_by_parts(self, *parts: str) -> Any:
        """Return the setting whose name the parts make: ``"worker", "concurrency"``."""
        return self["_".join(part for part in parts if part)]

    def copy(self) -> Settings:
        """Return settings of their own that are now as these are."""
        self.finalize()
        copied = type(self).__new__(type(self))
        with _changing:
            copied.__dict__.update(self.__dict__, _loading=set(), _defaults=fresh_defaults())
            copied._change(copied._sources)
        return copied

    __copy__ = copy

    def __getitem__(self, name: str) -> Any:
        return self.value_of(self._known(name))

    def __setitem__(self, name: str, value: Any) -> None:
        self._say(Layer.PROGRAM, {name: value}, f"conf.{name}")

    def __delitem__(self, name: str) -> None:
        """Take back what the program said of a setting.

        Raises:
            KeyError: it said nothing.
        """
        known = self._known(name)
        if known not in self.changes:
            raise KeyError(name)
        self._take_back((known,))

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._find(name) is not None

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __len__(self) -> int:
        return len(self.keys())

    def __repr__(self) -> str:
        sources: Sources = self._sources
        defaults = self._defaults
        changed = [name for name, said in sources.said().items() if said.value != defaults.get(name)]
        return f"<Settings: {', '.join(sorted(changed)) or 'all at their defaults'}>"

    if TYPE_CHECKING:
        _sources: Sources
        _defaults: dict[str, Any]
        _loading: set[int]
        _before_load: Callable[[], object]
        _after_load: Callable[[], object]
    else:  # a type checker that saw these would know of every misspelled setting

        def __setattr__(self, name: str, value: Any) -> None:
            self[name] = value

        def __getattr__(self, name: str) -> Any:
            """Return a setting by an old name, or one that no source has been read for yet."""
            found = None if name.startswith("_") else self._find(name)
            if found is None:
                raise AttributeError(self._no_such(name))
            return self.value_of(found)

    # Inside

    def _say(self, layer: Layer, values: Mapping[str, Any], origin: str) -> None:
        with _changing:
            sources = self._sources
            if sources.pending and any(sources.names.find(name) is None for name in values):
                sources = sources.with_defaults()
            if stands_for_celery():
                own = (name for name in values if sources.names.is_own(name))
                sources = msgspec.structs.replace(sources, names=sources.names.also_known(own))
            names = sources.names
            values = {
                name if names.find(name) else names.find_own(name) or name: value for name, value in values.items()
            }
            said = check(values, names, origin)
            self._change(sources.saying(layer, said))

    def _take_back(self, names: Iterable[str]) -> None:
        gone = set(names)
        with _changing:
            left = {name: said for name, said in self._sources.layers[Layer.PROGRAM].items() if name not in gone}
            self._change(_with_layers(self._sources, {Layer.PROGRAM: left}))

    def _load(self) -> bool:
        """Read all sources; False when this thread is at it already, and what it imports asks for a setting.

        Nothing is locked meanwhile: importing may wait for a thread that wants to change a setting. Two threads that
        read at once read the same.
        """
        me = threading.get_ident()
        if me in self._loading:
            return False
        self._loading.add(me)
        try:
            self._before_load()
            read = self._sources.read()
            with _changing:
                now = self._sources
                strong = {layer: now.layers[layer] for layer in (Layer.PROGRAM, Layer.COMMAND_LINE)}
                self._change(_with_layers(read, strong))
        finally:
            self._loading.discard(me)
        self._after_load()
        return True

    def _change(self, sources: Sources) -> None:
        """Have these sources hold from now on; with `_changing` held. Nothing changes when a warning is an error."""
        if sources.loaded:
            sources = warn_without_effect(sources)
            self.__dict__.update(sources.values(self._defaults))
        self.__dict__.update(_sources=sources, version=self.version + 1)

    def _find(self, name: str) -> str | None:
        found = self._sources.names.find(name)
        sources: Sources = self._sources
        if found is None and (sources.pending or (not sources.loaded and stands_for_celery())):
            # Defaults may make a setting of it, and so may an object where programs are written for Celery.
            found = self.finalize()._sources.names.find(name)
        return found or self._sources.names.find_own(name)

    def _known(self, name: str) -> str:
        found = self._find(name)
        if found is None:
            raise KeyError(name)
        return found

    def _no_such(self, name: str) -> str:
        near = self._sources.names.nearest(name)
        return f"there is no setting {name!r}" + (f"; did you mean {near!r}?" if near else "")


def _named(sources: Sources, namespace: str | None) -> Sources:
    if not namespace:
        return sources
    return msgspec.structs.replace(sources, names=msgspec.structs.replace(sources.names, namespace=namespace))


def _with_layers(sources: Sources, layers: Mapping[Layer, Mapping[str, Said]]) -> Sources:
    return msgspec.structs.replace(sources, layers=tuple(layers.get(layer, sources.layers[layer]) for layer in Layer))


def _values(layer: Mapping[str, Said]) -> dict[str, Any]:
    return {name: said.value for name, said in layer.items()}
