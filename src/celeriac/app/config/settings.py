"""The object that holds what an app chose."""

from __future__ import annotations

import datetime
import os
from collections.abc import ItemsView, Iterator, KeysView, Mapping, ValuesView
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final, NoReturn
from zoneinfo import ZoneInfo

from celeriac.app import kinds
from celeriac.app.config.setting import Setting
from celeriac.app.config.table import SETTINGS, AllSettings
from celeriac.exceptions import UnknownSetting
from celeriac.wire.forms import RecordForm
from celeriac.wire.limits import Limits
from celeriac.wire.serializers import Accept

_DEFAULTS: Final = {name: setting.default for name, setting in SETTINGS.items()}

_ENVIRONMENT: Final = {
    "broker_url": ("CELERIAC_BROKER_URL", "CELERY_BROKER_URL"),
    "result_backend": ("CELERIAC_RESULT_BACKEND", "CELERY_RESULT_BACKEND"),
}


class Settings(AllSettings):
    """Hold the settings of one app, as attributes and as items.

    What is said on the command line wins over the environment, that over what the program says, that over the
    defaults. Values are checked when they are given, so reading one is a plain attribute. Attributes are typed as they
    read; `update` and items take all that a setting accepts, such as a list of modules or a timedelta.

    Attributes:
        version: another number after every change, so that what is derived from settings knows when it is stale.
    """

    version: int

    def __init__(self, values: Mapping[str, Any], *, environ: Mapping[str, str] = os.environ) -> None:
        # From the weakest to the strongest: what the program says, the environment, the command line.
        self.__dict__["_layers"] = ({}, _check(_from_environment(environ)), {})
        self.__dict__["version"] = 0
        self.update(values)

    def update(self, values: Mapping[str, Any] | None = None, /, **more: Any) -> None:
        """Change settings, all of them or, when one is wrong, none.

        Raises:
            UnknownSetting: there is none of that name; the text has the nearest.
            ImproperlyConfigured: a value is not of the setting's kind.
        """
        self._say(0, {**(values or {}), **more})

    def override(self, values: Mapping[str, Any]) -> None:
        """Change settings as the command line does: nothing said elsewhere counts against it."""
        self._say(2, values)

    def _say(self, layer: int, values: Mapping[str, Any]) -> None:
        layers = self.__dict__["_layers"]
        layers[layer].update(_check(values))
        said = dict(_DEFAULTS)
        for values in layers:
            said.update(values)
        self.__dict__.update(said, version=self.version + 1)

    def value_of(self, name: str) -> Any:
        """Return what a setting is."""
        return self[name]

    def get(self, name: str, default: Any = None) -> Any:
        """Return a setting, or `default` when none is called that."""
        return self.__dict__[name] if name in SETTINGS else default

    def keys(self) -> KeysView[str]:
        """Return the names of all settings, so that `dict` can copy them."""
        return SETTINGS.keys()

    def values(self) -> ValuesView[Any]:
        """Return what all settings are now, in the order of their names."""
        return dict(self).values()

    def items(self) -> ItemsView[str, Any]:
        """Return all settings with what they are now."""
        return dict(self).items()

    def __getitem__(self, name: str) -> Any:
        if name not in SETTINGS:
            raise KeyError(name)
        return self.__dict__[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self.update({name: value})

    if not TYPE_CHECKING:  # a type checker that saw these would know of every misspelled setting

        def __setattr__(self, name: str, value: Any) -> None:
            self.update({name: value})

        def __getattr__(self, name: str) -> NoReturn:
            raise AttributeError(_unknown(name))

    def __contains__(self, name: object) -> bool:
        return name in SETTINGS

    def __iter__(self) -> Iterator[str]:
        return iter(SETTINGS)

    def __len__(self) -> int:
        return len(SETTINGS)

    def __repr__(self) -> str:
        changed = [name for name in SETTINGS if self.__dict__[name] != _DEFAULTS[name]]
        return f"<Settings: {', '.join(changed) or 'all at their defaults'}>"

    @property
    def zone(self) -> datetime.tzinfo:
        """The zone in which times without one are meant."""
        if isinstance(self.timezone, str):
            return ZoneInfo(self.timezone)
        if self.timezone is not None:
            return self.timezone
        if self.enable_utc:
            return datetime.UTC
        from tzlocal import get_localzone  # 5 ms to import, for those who leave UTC and name no zone

        return get_localzone()

    @property
    def accept(self) -> Accept:
        """What may be decoded of messages.

        Raises:
            ImproperlyConfigured: a serializer in `accept_content` needs a library that is not installed.
        """
        return Accept.of(self.accept_content, pickle_queues=self.accept_pickle_from)

    @property
    def record_form(self) -> RecordForm:
        """How records of results are written, and which are read.

        Raises:
            ImproperlyConfigured: they would be written as nobody may read them.
        """
        return RecordForm.of(
            serializer=self.result_serializer,
            compression=self.result_compression,
            accept=self.result_accept_content,
            accept_content=self.accept_content,
            max_bytes=self.message_max_bytes,
        )

    @property
    def limits(self) -> Limits:
        """The limits of messages, as readers and writers of them want to be told."""
        return Limits(
            max_bytes=self.message_max_bytes, max_depth=self.message_max_depth, max_headers=self.message_max_headers
        )


def _from_environment(environ: Mapping[str, str]) -> dict[str, str]:
    said = {}
    for setting, variables in _ENVIRONMENT.items():
        value = next((environ[variable] for variable in variables if environ.get(variable)), None)
        if value is not None:
            said[setting] = value
    return said


def _check(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: kinds.read(_setting(name).kind, name, value) for name, value in values.items()}


def _setting(name: str) -> Setting:
    try:
        return SETTINGS[name]
    except KeyError:
        raise UnknownSetting(_unknown(name)) from None


def _unknown(name: str) -> str:
    near = get_close_matches(name.lower().removeprefix("celery_"), SETTINGS, n=1, cutoff=0.75)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"there is no setting {name!r}{hint}"
