"""Ids in a signature as a message carries it: whose results nobody would ever see, if it were not sent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def frozen_ids(call: Mapping[str, Any]) -> Iterator[str]:
    """Yield the ids of the runs of a signature whose results somebody may hold.

    Of a chord that is its body's, and those of the header, whose runs nobody begins either.
    """
    kwargs = call.get("kwargs") or {}
    match call.get("subtask_type"):
        case "chain" | "group":
            for each in kwargs.get("tasks") or ():
                yield from frozen_ids(each)
        case "chord":
            header = kwargs.get("header") or ()
            for each in [header] if isinstance(header, Mapping) else header:
                yield from frozen_ids(each)
            if kwargs.get("body"):
                yield from frozen_ids(kwargs["body"])
        case _:
            options = call.get("options") or {}
            if isinstance(options.get("task_id"), str) and not options.get("ignore_result"):
                yield options["task_id"]
            for each in options.get("chain") or ():
                yield from frozen_ids(each)
