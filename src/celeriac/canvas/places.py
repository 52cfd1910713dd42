"""Which runs of a signature report to a chord that it is in, and where: found in signatures as messages carry them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

_OF_PLACE: Final = ("chord", "group_id", "group_index")


class Place(NamedTuple):
    """Say where a run stands in the header of a chord.

    Attributes:
        task_id: names the run.
        chord: body of the chord.
        group_id: of the header.
        place: in the header, or None.
    """

    task_id: str
    chord: Mapping[str, Any]
    group_id: str
    place: int | None


def places_of(call: Mapping[str, Any], outer: Mapping[str, Any] | None = None) -> Iterator[Place]:
    """Yield the places of those runs of a signature that report to a chord around it.

    A chain reports by its last step, a group by its members, a chord by its body. Runs that have no id yet, or whose
    signature does not say so, report to nobody.

    Args:
        outer: options of what the signature is part of, which are its own where it says nothing.
    """
    kwargs, options = call.get("kwargs") or {}, call.get("options") or {}
    said = {name: options.get(name, (outer or {}).get(name)) for name in _OF_PLACE}
    match call.get("subtask_type"):
        case "chain":
            for step in reversed(kwargs.get("tasks") or ()):
                found = list(places_of(step, said))
                if found:
                    yield from found
                    return
        case "group":
            for index, member in enumerate(kwargs.get("tasks") or ()):
                yield from places_of(member, {**said, "group_index": index})
        case "chord":
            if kwargs.get("body"):
                yield from places_of(kwargs["body"], said)
        case _:
            task_id, chord, group_id = options.get("task_id"), said["chord"], said["group_id"]
            if isinstance(task_id, str) and isinstance(chord, Mapping) and chord and isinstance(group_id, str):
                place = said["group_index"]
                yield Place(task_id, chord, group_id, place if isinstance(place, int) else None)
            for step in options.get("chain") or ():
                yield from places_of(step)
