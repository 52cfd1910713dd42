"""The supervisor: starts the parts of a node in order, stops them in reverse.

It never runs a task body. It owns the node's claims, its lease and its timers, and talks to the children that do.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import time
from collections.abc import Callable
from typing import Final

from celeriac.app.application import Celery
from celeriac.app.records import wants_result
from celeriac.brokers.base import Incarnation
from celeriac.brokers.joins import JOINS_QUEUE
from celeriac.exceptions import OperationalError
from celeriac.wire.times import iso_text
from celeriac.worker import state as worker_state
from celeriac.worker.admission import Admission
from celeriac.worker.aftermath import Aftermath
from celeriac.worker.announcing import Announcer
from celeriac.worker.autoscale import Autoscaling
from celeriac.worker.burst import Burst
from celeriac.worker.cancelling import Cancelling
from celeriac.worker.commands.state import Helm
from celeriac.worker.consuming import Consuming
from celeriac.worker.control import Control
from celeriac.worker.counting import Counting
from celeriac.worker.crew_notices import CrewNotices
from celeriac.worker.decide import Policy
from celeriac.worker.dispatch import Durations
from celeriac.worker.dropping import Dropper
from celeriac.worker.elections import Elections
from celeriac.worker.endings import Endings
from celeriac.worker.errbacks import Errbacks
from celeriac.worker.gathering import gather_seconds
from celeriac.worker.giving_back import GivingBack
from celeriac.worker.held import Held, Holdings
from celeriac.worker.intake import Intake
from celeriac.worker.leases import Leases
from celeriac.worker.limit_changes import LimitChanges
from celeriac.worker.limits import Limits
from celeriac.worker.message_signals import MessageSignals
from celeriac.worker.node_events import NodeEvents
from celeriac.worker.node_rates import NodeRates
from celeriac.worker.node_signals import NodeSignals
from celeriac.worker.registration import Registration
from celeriac.worker.reloading import Reloading
from celeriac.worker.resizing import Resizing
from celeriac.worker.revoked import Revoked
from celeriac.worker.revoked_signal import RevokedSignal
from celeriac.worker.revoking import Revoking
from celeriac.worker.settle import (
    after_start,
)
from celeriac.worker.settler import Settler
from celeriac.worker.slots import Slots
from celeriac.worker.stalled import StalledWatch
from celeriac.worker.start import Crew, Plan
from celeriac.worker.stepping import Stepping
from celeriac.worker.stopping import Stage, Stopping
from celeriac.worker.strategies import strategy_of
from celeriac.worker.time_limits import TimeKeeper, TimeLimits
from celeriac.worker.under_way import UnderWay
from celeriac.worker.upkeep import Upkeep
from celeriac.worker.views import View
from celeriac.worker.waiting import Patience, open_consumer
from celeriac.worker.watchdog import Watchdog

logger: Final = logging.getLogger("celeriac.worker")

_SETTLE_WITHIN: Final = 5.0
_DIE_WITHIN: Final = 5.0
_TELL_WITHIN: Final = 5.0

EXIT_DONE: Final = 0
EXIT_FAILED: Final = 1
EXIT_RESTART: Final = 88
"""Not the end: whoever started the node is to start it again, as it was."""


class Supervisor:
    """Run one node until it is told to stop.

    Args:
        app: its tasks are registered.
        plan: what was decided about this node before it started.
        crew: starts its children, and tells of their deaths.
    """

    def __init__(self, app: Celery, plan: Plan, crew: Crew) -> None:
        self._app = app
        self._plan = plan
        self._crew = crew
        self._announcer = Announcer()
        self._signals = NodeSignals(plan.worker, self._announcer)
        self._incarnation = Incarnation.begin(plan.node)
        self._consumer = app.broker.consumer(self._incarnation)
        self._holdings = Holdings()
        self._errbacks = Errbacks(app)
        self._counting = Counting(app, form=plan.form)
        self._durations = Durations()
        self._policy = Policy(
            max_crashes=app.conf.task_max_crashes,
            max_node_losses=app.conf.task_max_node_losses,
            unknown_release_for=app.conf.task_unknown_release_for,
        )
        self._stopping = Stopping(soft_timeout=plan.soft_stop, term_is=plan.term_is)
        self._stop_until: float | None = None
        self._exit_code = EXIT_DONE
        self._is_at_work = False
        self._stop = asyncio.Event()
        self._cold = asyncio.Event()

    async def run(self) -> int:
        """Start, work, stop; return the exit code.

        Raises:
            OperationalError: the broker cannot be used at all.
        """
        if self._plan.hears_signals:
            self._listen_to_signals()
        if not await open_consumer(self._consumer, self._app.broker, Patience.of(self._app.conf), self._stop):
            return self._exit_code
        await self._consumer.attend(self._plan.queues)
        self._make_parts()
        self._crew.start(self._slots, self._plan.capacities)
        self._is_at_work = True
        CrewNotices(self._crew, self._slots, fresh=self._plan.fresh, on_gone=self._lose_crew).start()
        self._stalled.start()
        # From the inside out: whoever hands something on starts after the one who takes it.
        self._settler.start()
        self._leases.start()
        self._upkeep.start()
        self._revoking.start()
        self._events.start()
        if await self._start_steps():
            self._intake.start()
        self._control.start()
        self._watchdog.start()
        if self._autoscaling is not None:
            self._autoscaling.start()
        if self._reloading is not None:
            self._reloading.start()
        self._giving_back.start()
        try:
            await self._announce()
            await self._stop.wait()
        finally:
            await self._giving_back.stop()
            await self._shut_down()
        return self._exit_code

    async def _start_steps(self) -> bool:
        """Start what users have added; False when the node is to end, because that failed or somebody wants it to."""
        if self._stepping is None:
            return True
        starting = asyncio.create_task(self._stepping.start())
        stopping = asyncio.create_task(self._stop.wait())
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        for task in (starting, stopping):
            task.cancel()
        if not starting.done() or starting.cancelled():
            return False
        error = starting.exception()
        if error is not None:
            logger.critical("a step of the app could not be started", exc_info=error)
            self._fail(f"a step of the app could not be started: {error!r}")
        return error is None

    def _make_parts(self) -> None:
        app, plan = self._app, self._plan
        steps = (app.steps["worker"], app.steps["consumer"])
        self._stepping = Stepping(plan.worker, steps) if plan.worker is not None and any(steps) else None
        strategy = strategy_of(plan.dispatch, app.conf.worker_dispatch_weights)
        self._slots = Slots(
            self._crew,
            strategy,
            self._durations,
            on_outcome=lambda held, outcome: self._endings.note_outcome(held, outcome),
            on_crash=lambda held, died: self._endings.note_crash(held, died),
            on_killed=lambda held, verdict: self._endings.note_killed(held, verdict),
            on_start=self._note_start,
            foretell=None if self._consumer.notes_last else self._foretell,
            recycling=plan.recycling,
            alive_within=plan.alive_within,
        )
        self._registration = Registration(
            self._consumer, self._holdings, self._slots, on_away=lambda: self._intake.note_away()
        )
        under_way = UnderWay(self._slots)
        self._stalled = StalledWatch(self._slots)
        self._settler = Settler(
            self._consumer,
            app.broker,
            app.backend,
            self._holdings,
            on_settled=lambda: self._intake.freed(),
            on_ended=lambda held, published: self._events.ended(held, published),
            done_at=self._done_at,
            form=plan.form,
            gather_for=lambda: gather_seconds(self._slots.behind, self._durations.mean, self._slots.bodies),
            publisher=app.write_broker,
            counting=self._counting,
        )
        self._time_keeper = TimeKeeper(under_way, can_kill=self._crew.can_kill)
        cancelling = Cancelling(
            under_way,
            grace=app.conf.task_cancel_grace,
            can_signal=lambda: self._crew.can_kill and self._slots.lives.run_one_each,
            can_kill=self._crew.can_kill,
        )
        revoked_signal = RevokedSignal(app, plan.node, self._announcer)
        dropper = Dropper(app, self._settler, revoked_signal, self._counting, done_at=self._done_at, form=plan.form)
        self._revoking = Revoking(Revoked(app.broker), self._holdings, self._slots, dropper, end_run=cancelling.end_run)
        self._endings = Endings(
            app,
            self._consumer,
            self._settler,
            cancelling=cancelling,
            aftermath=Aftermath(self._slots, self._holdings),
            errbacks=self._errbacks,
            counting=self._counting,
            revoked_signal=revoked_signal,
            policy=self._policy,
            form=plan.form,
            now=lambda: self._intake.now(),
            done_at=self._done_at,
            is_cold=self._cold.is_set,
        )
        self._giving_back = GivingBack(self._slots, self._endings)
        # Whatever a node consumes, it makes bodies of chords too.
        joins = app.backend is not None and app.backend.counts_members
        consuming = Consuming(plan.queues, besides=(JOINS_QUEUE,) if joins else ())
        rates_obeyed = not app.conf.worker_disable_rate_limits
        shared_limits = Limits(app.tasks, rates_obeyed=rates_obeyed)
        node_rates = NodeRates(app.tasks, rates_obeyed=rates_obeyed)
        time_limits = TimeLimits(app.tasks, hard=app.conf.task_time_limit, soft=app.conf.task_soft_time_limit)
        resizing = None if plan.layout is None else Resizing(self._slots, plan.layout)
        self._autoscaling = scaling = self._make_autoscaling(resizing)
        view = View(
            app,
            plan.node,
            holdings=self._holdings,
            slots=self._slots,
            durations=self._durations,
            strategy=strategy,
            strategy_name=plan.dispatch if isinstance(plan.dispatch, str) else plan.dispatch.__qualname__,
            pool=plan.pool,
            prefetch_multiplier=plan.prefetch_multiplier,
            recycling=plan.recycling,
            autoscaler=None if scaling is None else scaling.scaler,
        )
        self._view = view
        worker_state.show(view, self._revoking.revoked)
        self._events = NodeEvents(app, plan.node, view, freq=plan.heartbeat, of_tasks=app.conf.worker_send_task_events)
        admission = Admission(
            self._consumer,
            app.tasks,
            slots=self._slots,
            settler=self._settler,
            holdings=self._holdings,
            backend=app.backend,
            shared_limits=shared_limits,
            node_rates=node_rates,
            revoking=self._revoking,
            now=lambda: self._intake.now(),
        )
        self._intake = Intake(
            self._consumer,
            consuming,
            app.tasks,
            admission=admission,
            slots=self._slots,
            settler=self._settler,
            holdings=self._holdings,
            strategy=strategy,
            durations=self._durations,
            policy=self._policy,
            limits=app.conf.limits,
            zone=app.conf.zone,
            limit=plan.prefetch_multiplier,
            done_at=self._done_at,
            accept=plan.accept,
            form=plan.form,
            lease_lost=self._registration.renew,
            give_up=None if app.conf.broker_connection_retry else self._fail,
            errbacks=self._errbacks,
            counting=self._counting,
            shared_limits=shared_limits,
            time_limits=time_limits,
            burst=Burst(lambda: app.broker.depths(consuming.claimed), end=self._end_burst) if plan.burst else None,
            dropper=dropper,
            revoked=self._revoking.revoked,
            signals=MessageSignals(app, plan.node, plan.worker, self._announcer),
            events=self._events,
            spare=None if scaling is None else lambda: scaling.scaler.spare,
            on_waiting=None if scaling is None else scaling.note_waiting,
        )
        self._consumer.hand_over_to(self._intake)
        gossip = plan.gossip
        elections = None if gossip is None else Elections(app, plan.node, self._events, gossip.election_handlers)
        helm = Helm(
            view=view,
            revoking=self._revoking,
            consuming=consuming,
            limits=LimitChanges(
                shared=shared_limits,
                node_rates=node_rates,
                time_limits=time_limits,
                holdings=self._holdings,
                slots=self._slots,
                noted=admission.note_limits,
            ),
            lifetime=self,
            pool=resizing,
            autoscaler=None if scaling is None else scaling.scaler,
            events=self._events,
            elections=elections,
            attend=self._consumer.attend,
        )
        self._control = Control(app, plan.node, helm, elections, gossip)
        self._leases = Leases(
            self._consumer,
            self._incarnation,
            self._holdings,
            lease_lost=self._registration.renew,
            on_beat=self._signals.beat,
        )
        cleaners: list[Callable[[], int]] = [app.broker.clean]
        if app.backend is not None:
            cleaners.append(app.backend.expire)
        self._upkeep = Upkeep(cleaners)
        self._reloading = None if plan.reload is None else Reloading(plan.reload, on_change=self._reload)
        self._watchdog = Watchdog(
            is_idle=lambda: self._slots.idle and not self._stop.is_set(),
            completed_at=lambda: self._intake.completed_at,
            rebuild=self._rebuild,
            give_up=self._fail,
        )

    def _make_autoscaling(self, resizing: Resizing | None) -> Autoscaling | None:
        bounds, plan = self._plan.autoscale, self._plan
        if bounds is None or resizing is None:
            return None
        return Autoscaling(plan.autoscaler(resizing, bounds.most, bounds.least, worker=plan.worker), self._slots)

    async def _announce(self) -> None:
        stopping = asyncio.create_task(self._stop.wait())
        coming_up = asyncio.create_task(self._slots.lives.up.wait())
        await asyncio.wait({stopping, coming_up}, return_when=asyncio.FIRST_COMPLETED)
        for task in (stopping, coming_up):
            task.cancel()
        if self._slots.lives.up.is_set():
            self._plan.say_ready()
            self._signals.ready()

    def _done_at(self) -> str:
        return iso_text(time.time(), zone=self._app.conf.zone)

    # -- what happens to messages -------------------------------------------------------------------------------

    async def _foretell(self, held: Held) -> None:
        await self._consumer.foretell(held.delivery)

    def _note_start(self, held: Held, pid: int | None) -> None:
        if held.ended is None:
            if pid is None:
                self._consumer.note_ended(held.delivery)
            else:
                self._consumer.note_started(held.delivery)
        if pid is None:
            held.began_at = 0.0
            return
        if held.time_limit is not None:
            self._time_keeper.note_sent(held.time_limit)
        if held.ended is not None:
            return
        task = self._app.tasks[held.intake.task]
        if task.track_started and wants_result(task, held.intake.ignore_result):
            node, form = self._plan.node, self._plan.form
            self._settler.note_started(held, after_start(held.delivery, held.intake, pid=pid, node=node, form=form))

    # -- what others notice -------------------------------------------------------------------------------------

    async def _rebuild(self) -> None:
        await self._intake.stop()
        try:
            await self._registration.renew()
        finally:
            self._intake.start()

    def _lose_crew(self) -> None:
        """End, because nobody can start children any more, or tell of their deaths."""
        for held in self._slots.abandon():
            self._endings.end_unfinished(held)
        if not self._stop.is_set():
            self._cold.set()
            self._fail(self._crew.gone)

    # -- stopping -----------------------------------------------------------------------------------------------

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            loop.add_signal_handler(number, self._note_stop_signal, number.name)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as `nohup` has it
            loop.add_signal_handler(signal.SIGHUP, self._note_hangup)

    def _note_hangup(self) -> None:
        if self._plan.has_terminal:  # which has gone
            self._note_stop_signal("SIGHUP")
        else:
            self.restart("SIGHUP")

    def _note_stop_signal(self, name: str) -> None:
        match self._stopping.next(name):
            case Stage.WARM:
                grace = self._plan.stop_grace
                bound = "as long as they take" if grace is None else f"up to {grace:.0f} s"
                self._begin_no_more()  # first: whoever reads that line may rely on it
                self._plan.say(f"{name}: warm shutdown; running tasks have {bound} (again: cold shutdown)")
                self._signals.shutting_down(name, "Warm", EXIT_DONE)
                self._stop.set()
            case Stage.SOFT:
                seconds = self._plan.soft_stop
                self._begin_no_more()
                self._plan.say(f"{name}: soft shutdown; running tasks have {seconds:g} s (again: cold shutdown)")
                self._signals.shutting_down(name, "Soft", EXIT_DONE)
                self._stop_until = time.monotonic() + seconds
                self._stop.set()
            case Stage.COLD:
                self._stop_cold(name)
            case Stage.NOW:
                self._plan.say(f"{name}: ending at once; other nodes find out what this one held")
                self._slots.kill()
                os._exit(EXIT_FAILED)  # the forkserver ends with this process, and every child with it

    def stop(self) -> None:
        """Stop warmly. Called in the loop's thread; may be called again."""
        self._stopping.note_stop()
        self._begin_no_more()
        self._stop.set()

    def _begin_no_more(self) -> None:
        """Give back what no child has begun, and have the children end with what they run: from now on nothing begins.

        What a claim that is under way still brings stays with the slots, to be given back as well.
        """
        if self._is_at_work:
            self._endings.hand_back(self._slots.withdraw())
            self._slots.finish()

    def restart(self, why: str) -> None:
        """Stop warmly, and have the node started again. Called in the loop's thread; nothing when it stops already."""
        if not self._stop.is_set():
            self._plan.say(f"{why}: restarting; running tasks end first")
            self._exit_code = EXIT_RESTART
            self.stop()

    def _reload(self, path: str) -> None:
        self.restart(f"{path} has changed")

    def _end_burst(self, left: str) -> None:
        self._plan.say(f"burst: {left}; stopping")
        self.stop()

    def _stop_cold(self, name: str) -> None:
        self._plan.say(f"{name}: cold shutdown; what runs is killed and goes back to its queue")
        self._signals.shutting_down(name, "Cold", EXIT_FAILED)
        self._exit_code = EXIT_FAILED
        self._cold.set()
        self._stop.set()

    def _fail(self, reason: str) -> None:
        logger.critical("this node ends: %s", reason)
        self._exit_code = EXIT_FAILED
        self.stop()

    async def _shut_down(self) -> None:
        if self._reloading is not None:
            self._reloading.stop()
        await self._watchdog.stop()
        await self._control.stop()
        worker_state.hide(self._view)
        if self._autoscaling is not None:
            await self._autoscaling.stop()
        await self._intake.stop()
        with contextlib.suppress(OperationalError):
            await self._consumer.take_no_more()
        if not self._cold.is_set():
            self._begin_no_more()
            await self._wait_for_children()
        if self._slots.alive:
            await self._kill_children()
        self._endings.hand_back(self._slots.withdraw())  # what dead children had not read
        settled = await self._settler.stop(_SETTLE_WITHIN)
        if self._stepping is not None:
            await self._stepping.stop(at_once=self._cold.is_set())
        await self._revoking.stop()
        await self._events.stop()
        await self._upkeep.stop()
        await self._leases.stop()
        self._time_keeper.stop()
        self._stalled.stop()
        self._slots.close()
        with contextlib.suppress(OperationalError):
            await self._consumer.close()
        self._crew.close()
        self._signals.shut_down()
        self._announcer.stop(_TELL_WITHIN)
        if not settled:
            self._exit_code = EXIT_FAILED

    async def _wait_for_children(self) -> None:
        if self._stop_until is None and self._plan.stop_grace is not None:
            self._stop_until = time.monotonic() + self._plan.stop_grace
        while self._slots.alive and not self._cold.is_set():
            if self._stop_until is not None and time.monotonic() >= self._stop_until:
                self._note_late()
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.05):
                    await self._cold.wait()

    def _note_late(self) -> None:
        running = self._slots.running
        self._plan.say(f"{running} tasks did not end in time and go back to their queues")
        if running and self._exit_code == EXIT_DONE:  # what is killed was stopped cold, whatever it began as
            self._exit_code = EXIT_FAILED

    async def _kill_children(self) -> None:
        self._cold.set()
        self._slots.kill()
        until = time.monotonic() + _DIE_WITHIN
        while self._slots.alive and time.monotonic() < until:
            await asyncio.sleep(0.01)
