"""How held messages end: after an outcome, a kill, a crash or a stop. `settle.py` decides; here it is done."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Final

from celeriac.app.application import Celery
from celeriac.app.records import wants_result
from celeriac.brokers.base import Consumer, Release, Settlement
from celeriac.exceptions import DecodeError
from celeriac.states import FAILURE, REVOKED
from celeriac.wire.forms import RecordForm
from celeriac.worker.aftermath import Aftermath
from celeriac.worker.cancelling import Cancelling
from celeriac.worker.counting import Counting
from celeriac.worker.decide import Policy
from celeriac.worker.errbacks import Errbacks
from celeriac.worker.forkserver import Died
from celeriac.worker.held import Held, Verdict
from celeriac.worker.lost_runs import LostRuns
from celeriac.worker.revoked_signal import RevokedSignal
from celeriac.worker.runs import Outcome
from celeriac.worker.saying import (
    saying_failed,
    saying_given_back,
    saying_killed,
    saying_outcome,
    saying_retried,
)
from celeriac.worker.settle import acks_failure, after_crash, after_kill, after_run, how_it_died, lost_error
from celeriac.worker.settler import Ending, Settler

logger: Final = logging.getLogger("celeriac.worker")


class Endings:
    """Have messages settled, or given back, once it is known how their runs ended.

    Args:
        app: its tasks are registered.
        consumer: whose claims they are.
        settler: settles.
        cancelling: knows which runs somebody has ended, and how.
        aftermath: has hooks called that the process of a run cannot call any more.
        errbacks: what follows a failure that no child has told of.
        counting: counts members of chords of whose end no child has told.
        revoked_signal: tells receivers of what was revoked under way.
        policy: how often a run may crash.
        form: how records are written.
        now: returns the store's clock.
        done_at: returns the time of now as records write it.
        is_cold: says whether the node stops without waiting, so that what its children die of is no crash.
    """

    def __init__(
        self,
        app: Celery,
        consumer: Consumer,
        settler: Settler,
        *,
        cancelling: Cancelling,
        aftermath: Aftermath,
        errbacks: Errbacks,
        counting: Counting,
        revoked_signal: RevokedSignal,
        policy: Policy,
        form: RecordForm,
        now: Callable[[], float],
        done_at: Callable[[], str],
        is_cold: Callable[[], bool],
    ) -> None:
        self._app = app
        self._consumer = consumer
        self._settler = settler
        self._cancelling = cancelling
        self._aftermath = aftermath
        self._errbacks = errbacks
        self._counting = counting
        self._revoked_signal = revoked_signal
        self._lost_runs = LostRuns(app)
        self._policy = policy
        self._form = form
        self._now = now
        self._done_at = done_at
        self._is_cold = is_cold

    def note_outcome(self, held: Held, outcome: Outcome) -> None:
        """End a run that has come to something by itself."""
        if held.ended is not None:
            return
        if outcome.dead_reason is not None:
            logger.error("message %s was dead-lettered: %s", held.intake.id, outcome.dead_reason)
        if held.revocation is not None:
            verdict = self._cancelling.after_outcome(held, outcome)
            if verdict is not None:
                self._end_by(held, verdict)
                return
            if outcome.state == REVOKED:
                self._tell_revoked(held, verdict)
        if held.is_watched:
            held.says = saying_outcome(outcome)
        how = after_run(held.delivery, outcome)
        if outcome.dead_reason is not None and outcome.joins is None and isinstance(how, Settlement):
            how = self._counting.add_to(how, DecodeError(outcome.dead_reason))  # no child could read it
        self._settler.add(Ending(held, how))

    def note_killed(self, held: Held, verdict: Verdict) -> None:
        """End a run whose child was killed because of it."""
        if held.ended is not None:
            self._aftermath.give_up(held)
            return
        self._end_by(held, verdict)
        self._aftermath.of(held, verdict)

    def _end_by(self, held: Held, verdict: Verdict) -> None:
        if held.is_watched:
            held.says = saying_killed(verdict)
        task, facts = self._app.tasks[held.intake.task], held.intake
        wanted = wants_result(task, facts.ignore_result) or task.store_errors_even_if_ignored
        dead = verdict.state == FAILURE and task.acks_late and not acks_failure(task, verdict.error)
        how = after_kill(
            held.delivery, facts, verdict, wanted=wanted, dead=dead, done_at=self._done_at(), form=self._form
        )
        if verdict.state == FAILURE:
            how = self._errbacks.add_to(how, calls_inline=True)
        else:
            self._tell_revoked(held, verdict)
        self._settler.add(Ending(held, self._counting.add_to(how, verdict.error, state=verdict.state)))

    def _tell_revoked(self, held: Held, verdict: Verdict | None) -> None:
        signum = verdict.signum if verdict is not None else None
        self._revoked_signal.send(
            held.delivery.message, held.intake.task, terminated=True, signum=signum, expired=False
        )

    def note_crash(self, held: Held, died: Died) -> None:
        """End a run whose child died under it: it is tried again later, or has failed."""
        if self._is_cold() or held.ended is not None:
            self.end_unfinished(held)
            return
        text = how_it_died(died.status, died.peak_kib)
        logger.error("the child (pid %d) that ran task %s[%s] %s", died.pid, held.intake.task, held.intake.id, text)
        task = self._app.tasks[held.intake.task]
        retried = self._lost_runs.retried(held.delivery, text) if task.retry_on_worker_lost else None
        if retried is not None:
            if held.is_watched:
                held.says = saying_retried(lost_error(held.delivery, held.intake, text))
            self._settler.add(Ending(held, retried))
            return
        how = after_crash(
            held.delivery,
            held.intake,
            died=text,
            again=not held.acked and task.reject_on_worker_lost is not False and not task.retry_on_worker_lost,
            policy=self._policy,
            now=self._now(),
            done_at=self._done_at(),
            form=self._form,
        )
        if isinstance(how, Settlement):
            error = lost_error(held.delivery, held.intake, text)
            how = self._counting.add_to(self._errbacks.add_to(how, calls_inline=True), error)
            self._aftermath.of(held, Verdict(FAILURE, error))
            if held.is_watched:
                held.says = saying_failed(error)
            if how.dead_reason is not None:
                logger.error("message %s was dead-lettered: %s", held.intake.id, how.dead_reason)
        elif held.is_watched:
            held.says = saying_given_back()
        self._settler.add(Ending(held, how))

    def end_unfinished(self, held: Held) -> None:
        """End what this stop cut short: it runs again elsewhere, or, when it was acked before its run, it failed."""
        delivery = held.delivery
        if held.ended is not None:
            self._aftermath.give_up(held)
            return
        if not held.acked:
            self._settler.add(Ending(held, Release(delivery=delivery)))
            return
        text = "was stopped"
        lost = after_crash(
            delivery,
            held.intake,
            died=text,
            again=False,
            policy=self._policy,
            now=self._now(),
            done_at=self._done_at(),
            form=self._form,
        )
        if isinstance(lost, Settlement):
            error = lost_error(delivery, held.intake, text)
            lost = self._counting.add_to(self._errbacks.add_to(lost), error)
            if held.is_watched:
                held.says = saying_failed(error)
        self._settler.add(Ending(held, lost))

    def hand_back(self, unstarted: Iterable[Held]) -> None:
        """Give back what no child has begun; what the store has forgotten already is published again."""
        for held in unstarted:
            if held.ended is not None:
                self._aftermath.give_up(held)
                continue
            how: Settlement | Release = Release(delivery=held.delivery)
            if held.acked:
                how = Settlement(delivery=held.delivery, publish=(held.delivery.message,))
            self._consumer.note_ended(held.delivery)
            self._settler.add(Ending(held, how))
