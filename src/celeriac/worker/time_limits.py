"""Time limits: which a run has, and when it has used them up.

There is no timer per message. The node has one, for the earliest instant at which something may be due; then it looks
at the runs that have limits, and sets it anew.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from math import inf
from typing import Any, Final

from celeriac.app.task import Task
from celeriac.exceptions import TimeLimitExceeded
from celeriac.states import FAILURE
from celeriac.wire.protocol import Intake
from celeriac.worker.held import Held, TimeLimit, Verdict
from celeriac.worker.orders import Interrupt
from celeriac.worker.under_way import UnderWay

logger: Final = logging.getLogger("celeriac.worker")

PREFORK: Final = "prefork"
SOLO: Final = "solo"

NOT_LATER_THAN: Final = 0.002
"""Seconds by which a look may be early for a limit: timers are not exact."""

TRY_AGAIN_AFTER: Final = 0.05
"""Seconds until the next try to tell a body something for which there was no room in its child's line."""


class TimeLimits:
    """Know the limits of runs: what the message says, else its task, else the node.

    Args:
        tasks: those that are registered here.
        hard, soft: seconds for runs about which nothing else is said, or None.
    """

    def __init__(self, tasks: Mapping[str, Task[..., Any]], *, hard: float | None, soft: float | None) -> None:
        self._tasks = tasks
        self._hard = hard
        self._soft = soft
        self._of_tasks: dict[str, TimeLimit | None] = {}

    @property
    def any(self) -> bool:
        """True when tasks that are registered now have limits, or the node has."""
        return any(self._of_task(name) is not None for name in self._tasks) or bool(self._hard or self._soft)

    def of(self, facts: Intake) -> TimeLimit | None:
        """Return the limits of a run, or None when it has none."""
        try:
            usual = self._of_tasks[facts.task]
        except KeyError:
            usual = self._of_task(facts.task)
        if facts.time_limit is None and facts.soft_time_limit is None:
            return usual
        hard = facts.time_limit or (usual.hard if usual is not None else None)
        soft = facts.soft_time_limit or (usual.soft if usual is not None else None)
        return TimeLimit(hard, soft) if hard or soft else None

    def reread(self, name: str) -> None:
        """Learn that the limits of a task have changed."""
        self._of_tasks.pop(name, None)

    def _of_task(self, name: str) -> TimeLimit | None:
        task = self._tasks[name]
        hard, soft = task.time_limit or self._hard, task.soft_time_limit or self._soft
        limit = self._of_tasks[name] = TimeLimit(hard, soft) if hard or soft else None
        return limit

    def vain(self) -> list[str]:
        """Say of which tasks, and of the node, the soft limit is never reached, because the hard one comes first."""
        named: list[tuple[str, float | None, float | None]] = [("this node", self._hard, self._soft)]
        named += [
            (f"task {name!r}", task.time_limit or self._hard, task.soft_time_limit or self._soft)
            for name, task in self._tasks.items()
            if task.time_limit or task.soft_time_limit
        ]
        return [
            f"{who}: soft {soft:g} s, hard {hard:g} s" for who, hard, soft in named if hard and soft and soft >= hard
        ]


def concern_of(limits: TimeLimits, pool: str) -> str | None:
    """Say what a pool of that name cannot keep of the limits that tasks or the node have, for people; or None."""
    if pool == PREFORK or not limits.any:
        return None
    if pool == SOLO:
        return (
            "the pool 'solo' cannot kill a run: a hard time limit raises TimeLimitExceeded in the body, which may "
            "swallow it; use prefork where that must not be"
        )
    return (
        f"in the pool {pool!r} a soft time limit is raised when Python code runs, or at an await: a call that waits is "
        "not interrupted; a hard limit kills the process, and what else it runs begins again"
    )


class TimeKeeper:
    """Tell bodies that their soft limits are over, and kill those whose hard limits are.

    Args:
        under_way: the runs.
        can_kill: False where that would kill the node (pool `solo`): hard limits are raised in the body.
    """

    def __init__(self, under_way: UnderWay, *, can_kill: bool = True) -> None:
        self._under_way = under_way
        self._can_kill = can_kill
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    def note_sent(self, limit: TimeLimit) -> None:
        """Learn that a run with limits may have begun."""
        due = self._loop.time() + limit.first
        if self._timer is None:
            self._timer = self._loop.call_at(due, self._look)
        elif due < self._timer.when():
            self._timer.cancel()
            self._timer = self._loop.call_at(due, self._look)

    def stop(self) -> None:
        """Look no more. May be called twice."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        now = time.monotonic()
        following = None
        for held in self._under_way.all():
            if held.time_limit is None or held.verdict is not None:
                continue
            due = _next_due(held, held.time_limit)
            if due is not None and now - (held.began_at or now) + NOT_LATER_THAN >= due:
                if not self._under_way.runs(held):
                    continue
                # Only now is it known when it began: what ran before it may have ended unheard.
                self._see_to(held, held.time_limit, now - held.began_at + NOT_LATER_THAN)
                due = _next_due(held, held.time_limit)
            if due is not None:
                due_at = (held.began_at or now) + due
                following = min(following or inf, due_at if due_at > now + NOT_LATER_THAN else now + TRY_AGAIN_AFTER)
        if following is not None:
            wait = max(NOT_LATER_THAN, following - time.monotonic())
            self._timer = self._loop.call_later(wait, self._look)
        self._under_way.let_go()

    def _see_to(self, held: Held, limit: TimeLimit, ran: float) -> None:
        facts = held.intake
        if limit.hard is not None and ran >= limit.hard:
            if self._end(held, limit.hard):
                logger.error("Hard time limit (%ss) exceeded for %s[%s]", limit.hard, facts.task, facts.id)
        elif limit.soft is not None and ran >= limit.soft and not held.is_soft_told:
            if held.revocation is not None:  # it was told to end already
                held.is_soft_told = True
            elif self._under_way.interrupt(held, Interrupt(held.number, "soft")):
                held.is_soft_told = True
                logger.warning("Soft time limit (%ss) exceeded for %s[%s]", limit.soft, facts.task, facts.id)

    def _end(self, held: Held, seconds: float) -> bool:
        if self._can_kill:
            return self._under_way.kill_run(held, Verdict(FAILURE, TimeLimitExceeded(seconds)))
        if held.is_hard_told:
            return False
        if not self._under_way.interrupt(held, Interrupt(held.number, "hard", seconds)):
            return False
        held.is_hard_told = held.is_soft_told = True
        return True


def _next_due(held: Held, limit: TimeLimit) -> float | None:
    """Return the seconds after its begin at which something is to be done about a run next, or None."""
    if limit.soft is not None and not held.is_soft_told:
        return limit.first
    return None if held.verdict is not None or held.is_hard_told else limit.hard
