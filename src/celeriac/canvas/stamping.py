"""Stamps: headers that all messages of a canvas carry, and what decides on them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from celeriac.ids import new_id

if TYPE_CHECKING:
    from celeriac.canvas.signature import Signature


class StampingVisitor(ABC):
    """Be shown each part of a canvas, and say how it is to be stamped.

    Each method returns stamps as a dict, or None. All its keys are stamps, unless the key ``stamped_headers`` lists
    those that are; the others are headers for the methods that follow.
    """

    @abstractmethod
    def on_signature(self, sig: Signature[Any], **headers: Any) -> dict[str, Any] | None:
        """Return the stamps of one call."""

    def on_group_start(self, sig: Any, **headers: Any) -> dict[str, Any] | None:
        """Return stamps for all members of a group."""
        return {}

    def on_group_end(self, sig: Any, **headers: Any) -> None:  # noqa: B027 - a visitor need not care
        """Be told that all members of a group are stamped."""

    def on_chain_start(self, sig: Any, **headers: Any) -> dict[str, Any] | None:
        """Return stamps for all steps of a chain."""
        return {}

    def on_chain_end(self, sig: Any, **headers: Any) -> None:  # noqa: B027 - a visitor need not care
        """Be told that all steps of a chain are stamped."""

    def on_chord_header_start(self, sig: Any, **headers: Any) -> dict[str, Any] | None:
        """Return stamps for the header of a chord, which is a group."""
        return self.on_group_start(sig.header_group(), **headers)

    def on_chord_header_end(self, sig: Any, **headers: Any) -> None:
        """Be told that the header of a chord is stamped."""
        self.on_group_end(sig.header_group(), **headers)

    def on_chord_body(self, sig: Any, **headers: Any) -> dict[str, Any] | None:
        """Return stamps for the body of a chord."""
        return {}

    def on_callback(self, callback: Signature[Any], **headers: Any) -> dict[str, Any] | None:
        """Return stamps for a callback."""
        return {}

    def on_errback(self, errback: Signature[Any], **headers: Any) -> dict[str, Any] | None:
        """Return stamps for an errback."""
        return {}


class GroupStampingVisitor(StampingVisitor):
    """Stamp each call with the ids of the groups that it is in, the outermost first."""

    def __init__(self, groups: list[str] | None = None, stamped_headers: list[str] | None = None) -> None:
        self.groups = groups or []
        self.stamped_headers = stamped_headers or []
        if "groups" not in self.stamped_headers:
            self.stamped_headers.append("groups")

    def on_signature(self, sig: Signature[Any], **headers: Any) -> dict[str, Any]:
        """Return the groups that the call is in."""
        return {"groups": list(self.groups), "stamped_headers": list(self.stamped_headers)}

    def on_group_start(self, sig: Any, **headers: Any) -> dict[str, Any]:
        """Enter a group, which has an id from now on."""
        if sig.id is None:
            sig.set(task_id=new_id())
        if sig.id not in self.groups:
            self.groups.append(sig.id)
        return {}

    def on_group_end(self, sig: Any, **headers: Any) -> None:
        """Leave it."""
        self.groups.pop()


def merged_stamps(
    options: Mapping[str, Any], headers: Mapping[str, Any], own: Mapping[str, Any], *, append: bool
) -> dict[str, Any]:
    """Return the options that stamp a call: what it has, what is for all, and what is for it, in this order.

    Args:
        options: of the call as it is.
        headers: for all.
        own: what a visitor says of it.
        append: gather the values of one stamp, instead of having the last one win.
    """
    found: dict[str, Any] = {}
    names: dict[str, None] = {}
    if options.get("stamped_headers"):
        names |= dict.fromkeys(options["stamped_headers"])
    for stamps in (headers, own):
        declared = stamps.get("stamped_headers")
        names |= dict.fromkeys(
            declared if declared is not None else [key for key in stamps if key != "stamped_headers"]
        )
        for name, value in stamps.items():
            if name == "stamped_headers":
                continue
            if append and name in found and found[name] != value:
                value = _gathered(found[name], value)
            found[name] = value
    if append:
        for name in found:
            if name in names and name in (options.get("stamped_headers") or ()) and options.get(name) != found[name]:
                found[name] = _gathered(found[name], options.get(name))
    return {**found, "stamped_headers": list(names)}


def _gathered(first: Any, second: Any) -> list[Any]:
    """Return the values of two stamps of one name as one list, each once."""
    gathered: list[Any] = []
    for value in (first, second):
        for each in (
            sorted(value)
            if isinstance(value, (set, frozenset))
            else value
            if isinstance(value, (list, tuple))
            else [value]
        ):
            if each not in gathered:
                gathered.append(each)
    return gathered
