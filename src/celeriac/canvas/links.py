"""What follows a call: callbacks and errbacks, kept in its options."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self, TypeVar

from celeriac.canvas.parts import Parts

T = TypeVar("T")


class Linked(Parts):
    """Keep what is sent when a run succeeds (``link``) and what is called when it fails (``link_error``)."""

    def link(self, callback: T) -> T:
        """Have `callback` sent when the run succeeds, its result in front of the arguments; return `callback`."""
        return self.append_to_list_option("link", callback)

    def link_error(self, errback: T) -> T:
        """Have `errback` called when the run fails; return `errback`."""
        return self.append_to_list_option("link_error", errback)

    def on_error(self, errback: Any) -> Self:
        """Do what `link_error` does, and return the signature itself."""
        self.link_error(errback)
        return self

    def append_to_list_option(self, key: str, value: T) -> T:
        """Add a value to an option that is a list, unless it is there already; return it."""
        items = self._list_option(key)
        if value not in items:
            items.append(value)
        return value

    def extend_list_option(self, key: str, value: Any) -> None:
        """Add values, or one, to an option that is a list."""
        self._list_option(key).extend(listed(value))

    def _list_option(self, key: str) -> list[Any]:
        items = self.options.setdefault(key, [])
        if not isinstance(items, list):
            items = self.options[key] = listed(items)
        return items


def listed(value: Any) -> list[Any]:
    """Return an option that may be a list, one value or None, as a list."""
    if value is None:
        return []
    return list(value) if isinstance(value, Sequence) else [value]
