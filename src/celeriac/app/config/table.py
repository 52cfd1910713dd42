"""Every setting there is, gathered from the groups in which they are declared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from celeriac.app.config.broker import BrokerSettings, MessageSettings
from celeriac.app.config.general import GeneralSettings
from celeriac.app.config.monitoring import ControlSettings, EventSettings, SecuritySettings
from celeriac.app.config.results import ResultSettings
from celeriac.app.config.setting import Declared, Group, Setting
from celeriac.app.config.stores import (
    CacheSettings,
    CassandraSettings,
    CloudSettings,
    DatabaseSettings,
    DocumentStoreSettings,
    RedisSettings,
)
from celeriac.app.config.task import TaskSettings
from celeriac.app.config.worker import BeatSettings, WorkerSettings


class AllSettings(
    GeneralSettings,
    BrokerSettings,
    MessageSettings,
    TaskSettings,
    WorkerSettings,
    ResultSettings,
    BeatSettings,
    EventSettings,
    ControlSettings,
    SecuritySettings,
    RedisSettings,
    DatabaseSettings,
    CacheSettings,
    DocumentStoreSettings,
    CassandraSettings,
    CloudSettings,
):
    """Have every setting as a typed attribute."""


GROUPS: Final[tuple[type[Group], ...]] = AllSettings.__bases__
"""The groups, in the order of the documentation."""


def settings_of(group: type[Group]) -> Iterator[Setting]:
    """Yield the settings that a group declares, in its order."""
    return (declared.setting for declared in vars(group).values() if isinstance(declared, Declared))


SETTINGS: Final[Mapping[str, Setting]] = {setting.name: setting for group in GROUPS for setting in settings_of(group)}
"""Every setting there is, by name."""

NEW_NAMES: Final[Mapping[str, str]] = {setting.old: name for name, setting in SETTINGS.items() if setting.old}
"""The settings by the upper-case names that Celery had for them before version 4."""
