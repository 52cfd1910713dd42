"""Write events as lines, for people."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, TextIO

from celeriac.app.current import current_app
from celeriac.app.events.snapshot import hear_for_ever
from celeriac.wire.events import Event

if TYPE_CHECKING:
    from celeriac.app.application import Celery

_COMMON: Final = frozenset(
    {"hostname", "timestamp", "type", "uuid", "pid", "clock", "utcoffset", "local_received", "name", "args", "kwargs"}
)
_NAMES_MAX: Final = 10_000


class Dumper:
    """Write a line for each event. What a task is called is told by its first events, and remembered for the later.

    Args:
        out: where to.
    """

    def __init__(self, out: TextIO | None = None) -> None:
        self.out = out or sys.stdout
        self._names: dict[str, str] = {}

    def say(self, msg: str) -> None:
        """Write a line at once."""
        print(msg, file=self.out, flush=True)

    def on_event(self, ev: Event) -> None:
        """Write an event."""
        self.say(self.line(ev))

    def line(self, ev: Mapping[str, Any]) -> str:
        """Return the line for an event, without what would break it."""
        at = datetime.fromtimestamp(ev["timestamp"]).isoformat(sep=" ", timespec="milliseconds")
        about = f" {self._task(ev)}" if "uuid" in ev else ""
        fields = " ".join(f"{name}={_shown(value)}" for name, value in ev.items() if _tells(name, value))
        return f"{_one_line(ev['hostname'])} [{at}] {ev['type']}{about} {fields}".rstrip()

    def _task(self, ev: Mapping[str, Any]) -> str:
        uuid = ev["uuid"]
        name = ev.get("name")
        if isinstance(name, str):
            if len(self._names) >= _NAMES_MAX:
                self._names.pop(next(iter(self._names)))
            self._names[uuid] = name
            return f"{_one_line(name)}({uuid}) args={_shown(ev.get('args'))} kwargs={_shown(ev.get('kwargs'))}"
        return f"{_one_line(self._names.get(uuid, '?'))}({_one_line(uuid)})"


def evdump(app: Celery | None = None, out: TextIO | None = None) -> None:
    """Write events as they come, until Ctrl-C.

    Raises:
        ImproperlyConfigured: the broker has no bus.
    """
    dumper = Dumper(out)
    dumper.say("-> evdump: hearing events")
    hear_for_ever(app or current_app(), {"*": dumper.on_event})


def _tells(name: str, value: Any) -> bool:
    return name not in _COMMON and value is not None


def _shown(value: Any) -> str:
    return _one_line(value) if isinstance(value, str) else repr(value)


def _one_line(text: str) -> str:
    """Leave out what moves the cursor: whoever sends events must not draw on this terminal."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
