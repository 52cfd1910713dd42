"""What is revoked: ids of which no run is to begin any more, or to go on. Pure: adapters keep a `Revocation` of each.

Whoever revokes stores it, and only then tells the nodes that listen. Each revocation that says something new raises a
*version*, which every claim returns; a node that has seen a lower one asks for what has come since, before it begins
anything of that claim.
"""

from __future__ import annotations

from typing import Final

import msgspec

from celeriac.exceptions import TaskCancelled, TaskRevokedError

REVOCATION_EXPIRES: Final = 180 * 86_400.0
"""Seconds for which an id stays revoked."""

REVOCATIONS_MAX: Final = 250_000
"""Ids that are kept as revoked; the oldest go first."""

FEED_MAX: Final = 5_000
"""Revocations that are told in one answer, unless somebody asks for fewer."""

RENEWED_BY: Final = 86_400.0
"""Seconds by which a revocation that says what is known must last longer to be news."""

AGAIN_AFTER: Final = 1.0
"""Seconds after which to end a run by the same words is another command, and not the same heard by several nodes."""


class Revocation(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Forbid the runs of one id, wherever its message is.

    Attributes:
        task_id: names the runs.
        at: unix instant of the decision.
        expires_at: unix instant at which it is forgotten.
        reason: why, for people; or None.
        by: who wanted it, for people; or None.
        terminate: also end a run that is under way, by `signal`.
        signal: name of a signal, such as ``SIGTERM``.
        grace: seconds that a cancelled run has to clean up; None leaves it to the node.
        cancel: raise `TaskCancelled` in a run that is under way, and end one that has not begun with it.
    """

    task_id: str
    at: float
    expires_at: float
    reason: str | None = None
    by: str | None = None
    terminate: bool = False
    signal: str = "SIGTERM"
    grace: float | None = None
    cancel: bool = False

    @property
    def ends_runs(self) -> bool:
        """True when a run that is under way is not to go on."""
        return self.terminate or self.cancel


class Feed(msgspec.Struct, frozen=True, gc=False):
    """Answer what was revoked since a version.

    Attributes:
        version: up to which this is complete; ask with it next. It is below the version asked with when the store was
            replaced, or has forgotten all: then nothing that was heard before counts.
        revocations: in the order in which they were stored.
        more: there are later ones already.
    """

    version: int
    revocations: list[Revocation]
    more: bool = False


def error_of(revocation: Revocation) -> TaskRevokedError:
    """Return what a run ends with that was revoked before it began."""
    if revocation.cancel:
        return TaskCancelled(revocation.reason, revocation.by)
    return TaskRevokedError("revoked")


class _Said(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Hold what a revocation says beside whom it is about and when: one that says the same is no news."""

    reason: str | None = None
    by: str | None = None
    terminate: bool = False
    signal: str = "SIGTERM"
    grace: float | None = None
    cancel: bool = False


_read_said = msgspec.json.Decoder(_Said, strict=True).decode
_PLAIN: Final = _Said()


def said_by(revocation: Revocation) -> str:
    """Write what a revocation says, as stores keep it: a JSON object."""
    said = _Said(*(getattr(revocation, name) for name in _Said.__struct_fields__))
    return msgspec.json.encode(said).decode()


def kept_revocation(task_id: str, at: float, expires_at: float, said: str | bytes) -> Revocation:
    """Read a revocation that a store has kept. What it says and nobody can read is not said; the id stays revoked."""
    try:
        read = _read_said(said)
    except (msgspec.MsgspecError, UnicodeError, TypeError):
        read = _PLAIN
    return Revocation(task_id=task_id, at=at, expires_at=expires_at, **msgspec.structs.asdict(read))


class Kept(msgspec.Struct, frozen=True, gc=False):
    """Be what a store has of a revocation.

    Attributes:
        said: see `said_by`.
    """

    at: float
    expires_at: float
    said: str


def is_news(kept: Kept | None, revocation: Revocation) -> bool:
    """Say whether a revocation changes what is kept of its id: several nodes may hear the same command."""
    if kept is None or kept.said != said_by(revocation) or revocation.expires_at >= kept.expires_at + RENEWED_BY:
        return True
    return revocation.ends_runs and revocation.at >= kept.at + AGAIN_AFTER
