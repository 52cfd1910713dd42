"""The supervisor: starts the parts of a node in order, stops them in reverse.

It never runs a task body. It owns the node's claims, its lease and its timers, and talks to the children that do.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
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
from celeriac.worker.settle import after_start
from celeriac.worker.settler import Settler
from celeriac.worker.shutdown import Shutdown
from celeriac.worker.slots import Slots
from celeriac.worker.stalled import StalledWatch
from celeriac.worker.start import Crew, Plan
from celeriac.worker.stepping import Stepping
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
        self._is_at_work = False
        self._shutdown = Shutdown(plan, self._signals, begin_no_more=self._begin_no_more, kill=self._kill)

    async def run(self) -> int:
        """Start, work, stop; return the exit code.

        Raises:
            OperationalError: the broker cannot be used at all.
        """
        if self._plan.hears_signals:
            self._shutdown.listen_to_signals()
        if not await open_consumer(self._consumer, self._app.broker, Patience.of(self._app.conf), self._shutdown.begun):
            return self._shutdown.exit_code
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
            await self._shutdown.begun.wait()
        finally:
            await self._giving_back.stop()
            await self._shut_down()
        return self._shutdown.exit_code

    async def _start_steps(self) -> bool:
        """Start what users have added; False when the node is to end, because that failed or somebody wants it to."""
        if self._stepping is None:
            return True
        starting = asyncio.create_task(self._stepping.start())
        stopping = asyncio.create_task(self._shutdown.begun.wait())
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        for task in (starting, stopping):
            task.cancel()
        if not starting.done() or starting.cancelled():
            return False
        error = starting.exception()
        if error is not None:
            logger.critical("a step of the app could not be started", exc_info=error)
            self._shutdown.fail(f"a step of the app could not be started: {error!r}")
        return error is None

    def _make_parts(self) -> None:
        app, plan, shutdown = self._app, self._plan, self._shutdown
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
            is_cold=shutdown.cold.is_set,
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
        burst = Burst(lambda: app.broker.depths(consuming.claimed), end=shutdown.end_burst) if plan.burst else None
        message_signals = MessageSignals(app, plan.node, plan.worker, self._announcer)
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
            signals=message_signals,
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
            give_up=None if app.conf.broker_connection_retry else shutdown.fail,
            errbacks=self._errbacks,
            counting=self._counting,
            shared_limits=shared_limits,
            time_limits=time_limits,
            burst=burst,
            dropper=dropper,
            revoked=self._revoking.revoked,
            signals=message_signals,
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
            lifetime=shutdown,
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
        self._reloading = None if plan.reload is None else Reloading(plan.reload, on_change=shutdown.reload)
        self._watchdog = Watchdog(
            is_idle=lambda: self._slots.idle and not shutdown.begun.is_set(),
            completed_at=lambda: self._intake.completed_at,
            rebuild=self._rebuild,
            give_up=shutdown.fail,
        )

    def _make_autoscaling(self, resizing: Resizing | None) -> Autoscaling | None:
        bounds, plan = self._plan.autoscale, self._plan
        if bounds is None or resizing is None:
            return None
        return Autoscaling(plan.autoscaler(resizing, bounds.most, bounds.least, worker=plan.worker), self._slots)

    async def _announce(self) -> None:
        stopping = asyncio.create_task(self._shutdown.begun.wait())
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
        if not self._shutdown.begun.is_set():
            self._shutdown.turn_cold()
            self._shutdown.fail(self._crew.gone)

    # -- stopping -----------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Stop warmly. Called in the loop's thread; may be called again."""
        self._shutdown.stop()

    def _begin_no_more(self) -> None:
        """Give back what no child has begun, and have the children end with what they run: from now on nothing begins.

        What a claim that is under way still brings stays with the slots, to be given back as well.
        """
        if self._is_at_work:
            self._endings.hand_back(self._slots.withdraw())
            self._slots.finish()

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
        if not self._shutdown.cold.is_set():
            self._begin_no_more()
            await self._wait_for_children()
        if self._slots.alive:
            await self._kill_children()
        self._endings.hand_back(self._slots.withdraw())  # what dead children had not read
        settled = await self._settler.stop(_SETTLE_WITHIN)
        if self._stepping is not None:
            await self._stepping.stop(at_once=self._shutdown.cold.is_set())
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
            self._shutdown.note_unsettled()

    async def _wait_for_children(self) -> None:
        self._shutdown.begin_grace()
        while self._slots.alive and not self._shutdown.cold.is_set():
            if self._shutdown.is_over:
                self._shutdown.note_late(self._slots.running)
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.05):
                    await self._shutdown.cold.wait()

    def _kill(self) -> None:
        if self._is_at_work:
            self._slots.kill()

    async def _kill_children(self) -> None:
        self._shutdown.turn_cold()
        self._kill()
        until = time.monotonic() + _DIE_WITHIN
        while self._slots.alive and time.monotonic() < until:
            await asyncio.sleep(0.01)
