"""Elections among nodes, in the events by which Celery's workers hold theirs. Pure.

A command asks all nodes to elect one of them. Each stands, by an event `worker-elect` with its logical clock; the
lowest clock wins, the lower name where two are equal. Celery's workers answer every such event by one
`worker-elect-ack`, and choose when they have heard as many answers as there are other workers. Ours choose some time
after they have heard the first: by then they know what Celery's workers knew when they chose.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from celeriac.wire.events import SOFTWARE

ELECT: Final = "worker-elect"
ACK: Final = "worker-elect-ack"

_VERSION: Final = 1
_TEXT_MAX_CHARS: Final = 1_024


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """Stand for an election.

    Attributes:
        clock: its logical clock when it stood.
        name: its node's name, a dot, and the number of its process.
        topic: what kind of thing the winner is to do.
        action: what that is.
        is_ours: it is a node of celeriac, which waits before it chooses.
    """

    clock: int
    name: str
    topic: str
    action: Any
    is_ours: bool


class Ack(msgspec.Struct, frozen=True):
    """Answer somebody who stands."""


Heard = Candidate | Ack


def name_of(hostname: str, pid: int) -> str:
    """Return what a candidate is called."""
    return f"{hostname}.{pid}"


def standing(id: str, topic: str, action: Any) -> dict[str, Any]:
    """Return what an event says by which a node stands."""
    return {"id": id, "topic": topic, "action": action, "cver": _VERSION, "sw_ident": SOFTWARE}


def read_heard(event: Mapping[str, Any]) -> tuple[str, Heard] | None:
    """Read one event.

    Args:
        event: has what every event must have (`wire.events.fault_of`).

    Returns:
        The id of the election, and what was said; None when it is nothing of an election, or cannot be understood.
    """
    kind, id = event["type"], event.get("id")
    if kind not in (ELECT, ACK) or not _is_text(id):
        return None
    if kind == ACK:
        return str(id), Ack()
    topic, clock, pid = event.get("topic"), event.get("clock"), event.get("pid")
    if not _is_text(topic) or type(clock) is not int or type(pid) is not int:
        return None
    return str(id), Candidate(
        clock=clock,
        name=name_of(event["hostname"], pid),
        topic=str(topic),
        action=event.get("action"),
        is_ours=event.get("sw_ident") == SOFTWARE,
    )


def leader_of(heard: Sequence[Heard]) -> Candidate | None:
    """Choose the winner of an election from all that was heard of it, in that order; None when nobody stands."""
    candidates = [one for one in heard if isinstance(one, Candidate)]
    if all(one.is_ours for one in candidates):
        return min(candidates, key=_rank, default=None)
    return min(_known_at_the_choice(heard, others=len(candidates) - 1), key=_rank)


def _known_at_the_choice(heard: Sequence[Heard], *, others: int) -> list[Candidate]:
    """Return the candidates that a worker of Celery knows of when it chooses."""
    known: list[Candidate] = []
    acks = 0
    for one in heard:
        if isinstance(one, Candidate):
            known.append(one)
            continue
        acks += 1
        if known and acks >= others:
            break
    return known


def _rank(candidate: Candidate) -> tuple[int, str]:
    return candidate.clock, candidate.name


def _is_text(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _TEXT_MAX_CHARS
