"""Commands that keep tasks from running, or end them where they run."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final

from celeriac.app import revoking as shared
from celeriac.brokers.revocations import Revocation
from celeriac.exceptions import OperationalError
from celeriac.wire.control import flag, ids_in, signal_name, text
from celeriac.wire.stamps import stamp_ids, stamps_in
from celeriac.worker.commands.panel import built_in, ok
from celeriac.worker.commands.state import State

logger: Final = logging.getLogger("celeriac.worker")

_SHOWN_MAX: Final = 100


@built_in("control", variadic="task_id", signature="[id1 [id2 [... [idN]]]]")
async def revoke(state: State, task_id: Any, terminate: Any = False, signal: Any = None, **more: Any) -> dict[str, str]:
    """Have tasks not run, by their ids."""
    return await _end(state, task_id, {**more, "signal": signal}, terminate=bool(terminate))


@built_in("control", variadic="task_id", args=[("signal", str)], signature="<signal> [id1 [id2 [... [idN]]]]")
async def terminate(state: State, signal: Any, task_id: Any, **more: Any) -> dict[str, str]:
    """Have tasks not run, and end those that do by a signal to their process."""
    return await _end(state, task_id, {**more, "signal": signal}, terminate=True)


@built_in("control", variadic="task_id", signature="[id1 [id2 [... [idN]]]]")
async def cancel(state: State, task_id: Any, **more: Any) -> dict[str, str]:
    """Have tasks not run, and end those that do with TaskCancelled."""
    return await _end(state, task_id, {**more, "cancel": True}, terminate=False)


@built_in("control", variadic="headers", signature="[key1=value1 [key2=value2 [... [keyN=valueN]]]]")
async def revoke_by_stamped_headers(
    state: State, headers: Any, terminate: Any = False, signal: Any = None, **more: Any
) -> dict[str, str]:
    """Have tasks not run, by what they are stamped with."""
    stamps = stamps_in(headers)
    said = dict(pair.split("=", 1) for pair in headers) if isinstance(headers, list) else headers
    ids = stamp_ids(stamps)
    revocations = shared.revocations_of(ids, terminate=bool(terminate), signal=signal_name(signal))
    concerned = state.node.revoking.running_with(stamps) if terminate else {}
    await _obey(state, revocations, stored=flag(more, "stored"))
    if not terminate:
        return ok(f"headers {said} flagged as revoked, but not terminated")
    if not concerned:
        return ok(f"headers {said} were not terminated")
    logger.info("Terminating what is stamped with %s (%s)", concerned, revocations[0].signal)
    return ok(f"headers {concerned} revoked")


@built_in("inspect", alias="dump_revoked")
def revoked(state: State, **more: Any) -> list[str]:
    """List the ids of tasks that are not to run."""
    return state.node.revoking.revoked.ids()


async def _end(state: State, task_id: Any, said: Mapping[str, Any], *, terminate: bool) -> dict[str, str]:
    ids = ids_in(task_id)
    cancel, grace = flag(said, "cancel"), said.get("grace")
    revocations = shared.revocations_of(
        ids,
        reason=text(said, "reason"),
        by=text(said, "by"),
        terminate=terminate,
        signal=signal_name(said.get("signal")),
        grace=float(grace) if isinstance(grace, (int, float)) and grace >= 0 else None,
        cancel=cancel,
    )
    concerned = state.node.revoking.held_of(ids)
    await _obey(state, revocations, stored=flag(said, "stored"))
    if terminate:
        logger.info("Terminating %s (%s)", ", ".join(concerned) or "nothing", revocations[0].signal)
        return ok(f"terminate: {', '.join(concerned) or 'tasks unknown'}")
    if cancel:
        logger.info("Cancelling %s", ", ".join(concerned) or "nothing")
        return ok(f"cancel: {', '.join(concerned) or 'tasks unknown'}")
    logger.info("Tasks flagged as revoked: %s", ", ".join(ids[:_SHOWN_MAX]))
    return ok(f"tasks {{{', '.join(map(repr, ids))}}} flagged as revoked")


async def _obey(state: State, revocations: Sequence[Revocation], *, stored: bool) -> None:
    """Act on revocations: those that are stored already, those that are to be, and those of this node alone."""
    if stored:
        await state.node.revoking.refresh()
    elif state.is_for_all:
        await _store(state, revocations)
    else:
        state.node.revoking.revoke_here(revocations)


async def _store(state: State, revocations: Sequence[Revocation]) -> None:
    """Store what a client of Celery has said to those who listen now, so that it lasts and everybody obeys."""
    try:
        news = set(await asyncio.to_thread(shared.store, state.app, revocations))
    except OperationalError as exc:
        logger.warning("what is revoked cannot be stored, and holds in this node only: %s", exc)
        state.node.revoking.revoke_here(revocations)
        return
    await state.node.revoking.refresh()
    told = [one for one in revocations if one.task_id in news]
    if told:  # else another node has heard it first, and does this
        await asyncio.to_thread(shared.record, state.app, told)
