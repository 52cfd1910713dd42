"""The settings: one table of what exists, and the object that holds what an app chose."""

from __future__ import annotations

import datetime
import os
from collections.abc import ItemsView, Iterator, KeysView, Mapping, ValuesView
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final, Literal, NoReturn
from zoneinfo import ZoneInfo

import msgspec

from celeriac.app import kinds
from celeriac.app.kinds import (
    FLAG,
    ROUTES,
    SECONDS,
    TEXT,
    TEXT_LIST,
    TIME_ZONE,
    URL,
    Kind,
    log_format,
    one_of,
    or_none,
    whole,
)
from celeriac.backends.base import RESULT_EXPIRES
from celeriac.brokers.base import DEAD_LETTER_EXPIRES, DEAD_LETTER_MAX, MESSAGE_MAX_BYTES
from celeriac.exceptions import UnknownSetting
from celeriac.wire.limits import Limits

Origin = Literal["celery", "celeriac"]

LOG_FORMAT: Final = "[%(asctime)s: %(levelname)s/%(processName)s] %(message)s"
TASK_LOG_FORMAT: Final = "[%(asctime)s: %(levelname)s/%(processName)s] %(task_name)s[%(task_id)s]: %(message)s"


class Setting(msgspec.Struct, frozen=True):
    """Describe one setting: what it is called, may be and does, and whose name it is."""

    name: str
    kind: Kind
    default: Any
    doc: str
    origin: Origin = "celery"


def _ours(name: str, kind: Kind, default: Any, doc: str) -> Setting:
    return Setting(name, kind, default, doc, "celeriac")


_JSON_ONLY: Final = one_of("json")

_TABLE: Final = (
    Setting("accept_content", kinds.some_of("json", "application/json"), ("json",), "Serializers that are decoded."),
    Setting("broker_url", or_none(URL), None, "Where messages are kept; None is the app's own SQLite file."),
    Setting("enable_utc", FLAG, True, "Times without a `timezone` are in UTC, else in the machine's zone."),
    Setting("imports", TEXT_LIST, (), "Modules that define tasks; imported by a worker, before `include`."),
    Setting("include", TEXT_LIST, (), "Modules that define tasks; imported by a worker."),
    Setting("result_backend", or_none(URL), None, "Where results are kept; None is the broker's own store."),
    Setting("result_expires", or_none(SECONDS), RESULT_EXPIRES, "Seconds for which a result is kept; None: for ever."),
    Setting("task_acks_late", FLAG, True, "Acknowledge after the run, so that a crash runs the task again."),
    Setting(
        "task_default_priority", or_none(whole(at_least=0, at_most=255)), None, "Priority of a message; None is 0."
    ),
    Setting("task_default_queue", TEXT, "celery", "Queue of the tasks that no route names."),
    Setting("task_ignore_result", FLAG, False, "Keep no results unless a task or a call asks for it."),
    Setting("task_routes", or_none(ROUTES), None, "Task names or globs, and the queues that they go to."),
    Setting("task_serializer", _JSON_ONLY, "json", "How arguments travel."),
    Setting("task_track_started", FLAG, False, "Store STARTED when a run begins."),
    Setting("timezone", or_none(TIME_ZONE), None, "Zone in which times without one are meant; None: see `enable_utc`."),
    Setting("worker_concurrency", or_none(whole(at_least=1)), None, "Runs at once in a node; None: its CPUs."),
    Setting("worker_log_color", or_none(FLAG), None, "Colour log lines; None: when they go to a terminal."),
    Setting("worker_log_format", log_format(), LOG_FORMAT, "Format of a worker's log lines."),
    Setting("worker_pool", one_of("prefork", "solo"), "prefork", "What runs task bodies."),
    Setting(
        "worker_prefetch_multiplier",
        or_none(whole(at_least=0, meaning="0 = no limit")),
        None,
        "Unsettled deliveries per slot; None: as many as finish in 50 ms.",
    ),
    Setting(
        "worker_task_log_format",
        log_format("task_name", "task_id"),
        TASK_LOG_FORMAT,
        "Format of the log lines of tasks.",
    ),
    _ours("dead_letter_expires", SECONDS, DEAD_LETTER_EXPIRES, "Seconds for which a dead letter is kept."),
    _ours("dead_letter_max", whole(at_least=1), DEAD_LETTER_MAX, "Dead letters kept per queue."),
    _ours("message_max_bytes", whole(at_least=1024), MESSAGE_MAX_BYTES, "Largest message that is sent or run."),
    _ours("message_max_depth", whole(at_least=8, at_most=900), 128, "Deepest nesting in a message."),
    _ours("message_max_headers", whole(at_least=32), 256, "Most headers of a message."),
    _ours("task_max_crashes", whole(at_least=1), 3, "Runs that may die under a message before it is a dead letter."),
    _ours("task_max_node_losses", whole(at_least=1), 10, "Nodes that may die under a message likewise."),
    _ours("task_publish_timeout", SECONDS, 3.0, "Seconds within which a call is confirmed by the broker or fails."),
    _ours("task_unknown_release_for", SECONDS, 600.0, "Seconds for which an unknown task is offered to other nodes."),
    _ours("worker_dispatch", one_of("adaptive", "default", "fair"), "adaptive", "How a node picks a slot."),
    _ours("worker_stop_grace", or_none(SECONDS), 30.0, "Seconds that a warm stop gives running tasks; None: all."),
)

SETTINGS: Final[Mapping[str, Setting]] = {setting.name: setting for setting in _TABLE}
"""Every setting there is, by name."""

_DEFAULTS: Final = {setting.name: setting.default for setting in _TABLE}

_ENVIRONMENT: Final = {
    "broker_url": ("CELERIAC_BROKER_URL", "CELERY_BROKER_URL"),
    "result_backend": ("CELERIAC_RESULT_BACKEND", "CELERY_RESULT_BACKEND"),
}


class Settings:
    """Hold the settings of one app, as attributes and as items.

    What is said on the command line wins over the environment, that over what the program says, that over the
    defaults. Values are checked when they are given, so reading one is a plain attribute. Attributes are typed as they
    read; `update` and items take all that a setting accepts, such as a list of modules or a timedelta.

    Attributes:
        version: another number after every change, so that what is derived from settings knows when it is stale.
    """

    accept_content: tuple[str, ...]
    broker_url: str | None
    dead_letter_expires: float
    dead_letter_max: int
    enable_utc: bool
    imports: tuple[str, ...]
    include: tuple[str, ...]
    message_max_bytes: int
    message_max_depth: int
    message_max_headers: int
    result_backend: str | None
    result_expires: float | None
    task_acks_late: bool
    task_default_priority: int | None
    task_default_queue: str
    task_ignore_result: bool
    task_max_crashes: int
    task_max_node_losses: int
    task_publish_timeout: float
    task_routes: Any
    task_serializer: str
    task_track_started: bool
    task_unknown_release_for: float
    timezone: str | datetime.tzinfo | None
    worker_concurrency: int | None
    worker_dispatch: str
    worker_log_color: bool | None
    worker_log_format: str
    worker_pool: str
    worker_prefetch_multiplier: int | None
    worker_stop_grace: float | None
    worker_task_log_format: str
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
