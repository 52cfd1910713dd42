"""Start one node: fork, import the app, and become what the pool asks for."""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import logging
import math
import os
import signal
import socket
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NoReturn

import msgspec
from setproctitle import setproctitle

from celeriac.app.application import Celery
from celeriac.app.discovery import find_app
from celeriac.app.imports import import_tasks
from celeriac.app.log_fields import carry_into_threads
from celeriac.app.log_setup import set_process_name
from celeriac.app.task import Task
from celeriac.app.user_options import read_own_options
from celeriac.brokers.base import Incarnation
from celeriac.brokers.queues import Queues
from celeriac.brokers.topology import worker_direct
from celeriac.exceptions import ImproperlyConfigured, OperationalError, SettingWithoutEffect
from celeriac.worker import packets
from celeriac.worker.banner import banner
from celeriac.worker.child import serve
from celeriac.worker.early_signals import EarlySignals, Stopped
from celeriac.worker.forkserver import ForkServer, die_with_parent, ignore_stop_signals, outlive_parent
from celeriac.worker.instance import Worker
from celeriac.worker.interrupts import Interrupts
from celeriac.worker.left_threads import end_without
from celeriac.worker.loops import fast_loop
from celeriac.worker.names import file_name, node_name
from celeriac.worker.node_signals import (
    say_before_fork,
    say_configured,
    say_init,
    say_process_init,
    say_process_shutdown,
    say_set_up,
)
from celeriac.worker.options import NodeOptions
from celeriac.worker.pid_file import pid_file
from celeriac.worker.pools.base import Pool
from celeriac.worker.pools.solo import Solo
from celeriac.worker.pools.table import find_pool
from celeriac.worker.privileges import check_privileges, is_root
from celeriac.worker.recycling import EXIT_REPLACED, Recycling
from celeriac.worker.reloading import Reload
from celeriac.worker.start import Crew, Foreground, ForkedCrew, Plan
from celeriac.worker.strategies import strategy_of
from celeriac.worker.supervisor import EXIT_DONE, EXIT_FAILED, EXIT_RESTART, Supervisor
from celeriac.worker.time_limits import TimeLimits, concern_of
from celeriac.worker.waiting import Patience, open_broker

logger: Final = logging.getLogger("celeriac.worker")

EXIT_UNAVAILABLE: Final = 69

_REAP_WITHIN: Final = 1.0


def run(options: NodeOptions) -> int:
    """Run a node in this process until it is stopped; return the exit code, `EXIT_RESTART` when it is to run again.

    Call it before the app is imported: the process that later forks the children is forked off here, while nothing
    runs that a fork would break.

    Raises:
        ImproperlyConfigured: the app cannot be found, or its settings cannot work.
    """
    if options.workdir:
        os.chdir(options.workdir)
    if not has_terminal() and signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
        signal.signal(signal.SIGHUP, _nothing)  # a node that starts anyway need not start again
    with EarlySignals() as early:
        ours, theirs = packets.pair()
        line, line_end = packets.pair()
        parent = os.getpid()
        forked = os.fork()
        if forked == 0:
            line.close()
            _run_forked(options, theirs, ours, line_end, parent, early)
        theirs.close()
        line_end.close()
        try:
            return _run_first(options, ours, line, forked, early)
        except Stopped as stop:
            if not options.quiet:
                sys.stderr.write(f"{stop}: stopped before this node took work\n")
            return EXIT_DONE


def _run_first(options: NodeOptions, ours: socket.socket, line: socket.socket, forked: int, early: EarlySignals) -> int:
    """Be the process that was started; return the exit code."""
    with contextlib.ExitStack() as held:
        try:
            node = Node(options, first=True)
            early.check()
            if node.app.conf.worker_pidfile is not None:
                held.enter_context(pid_file(file_name(node.app.conf.worker_pidfile, node.name, process=0)))
            check_privileges(node.accept, root=is_root(), environment=os.environ)
        except BaseException:
            with contextlib.suppress(OSError):
                ours.shutdown(socket.SHUT_RDWR)  # a supervisor has this end open too
            ours.close()
            line.close()
            os.kill(forked, signal.SIGTERM)  # forkservers do without
            _reap(forked)
            raise
        if node.pool is Solo:
            earlier = threading.enumerate()
            code = _run_bodies_here(node, ours, line, forked)
            held.close()
            if code != EXIT_RESTART:
                end_without(earlier, code)
            return code
        line.close()
        try:
            return _supervise(node, lambda: ForkedCrew(ours), early)
        finally:
            _reap(forked)


def has_terminal() -> bool:
    """Say whether somebody sits before this node."""
    return sys.stdin is not None and sys.stdin.isatty()


def _nothing(number: int, frame: object) -> None:
    return


def _reap(pid: int) -> None:
    """Wait for the forkserver, which has nobody to serve any more; kill it when it does not notice."""
    until = time.monotonic() + _REAP_WITHIN
    while os.waitpid(pid, os.WNOHANG)[0] == 0:
        if time.monotonic() > until:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.005)


def _run_forked(
    options: NodeOptions,
    end: socket.socket,
    other: socket.socket,
    line: socket.socket,
    parent: int,
    early: EarlySignals,
) -> NoReturn:
    """Be the second process of a node."""
    code = EXIT_FAILED
    try:
        die_with_parent(parent)
        os.setpgid(0, 0)
        ignore_stop_signals()
        early.only_note()
        warnings.simplefilter("ignore", SettingWithoutEffect)  # the first process reads the same, and warns
        try:
            node = Node(options)
        except BaseException:  # noqa: BLE001 - the first process meets the same error, and reports it
            os._exit(EXIT_FAILED)
        if node.pool is Solo:
            code = _supervise_foreground(node, end, other, line, parent, early)
        else:
            ignore_stop_signals()
            other.close()
            line.close()
            say_init(node.worker)
            node.set_up_process("ForkServer")
            ForkServer(
                end,
                node.run_child,
                node.child_command(),
                before_spawn=lambda: say_before_fork(node.worker),
                fresh=node.starts_fresh,
            ).serve()
    except ImproperlyConfigured:
        os._exit(code)  # the first process meets the same error, and reports it
    except BaseException:  # noqa: BLE001 - this process has nobody to raise it to
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def _supervise(node: Node, make_crew: Callable[[], Crew], early: EarlySignals) -> int:
    # Written by a handler in C, so it tells also where this process hangs.
    faulthandler.register(signal.SIGUSR1, all_threads=True, chain=False)
    try:
        early.check()
        say_init(node.worker)
        node.set_up_process("MainProcess")
        say_set_up(node.worker)
        open_broker(node.app.broker, Patience.of(node.app.conf))
        if not node.accepts_stores():
            return EXIT_UNAVAILABLE
        node.greet()
        with asyncio.Runner(loop_factory=fast_loop()) as runner:
            return runner.run(_run_supervisor(node, make_crew))
    except OperationalError as exc:
        logger.critical("%s", exc)
        return EXIT_UNAVAILABLE
    except Stopped as stop:
        node.say(f"{stop}: stopped before this node took work")
        return EXIT_DONE
    finally:
        early.only_note()  # the loop has heard them so far; the exit code is that of what was done
        node.app.close()


async def _run_supervisor(node: Node, make_crew: Callable[[], Crew]) -> int:
    return await Supervisor(node.app, node.plan(), make_crew()).run()


def _supervise_foreground(
    node: Node, end: socket.socket, handle: socket.socket, line: socket.socket, parent: int, early: EarlySignals
) -> int:
    outlive_parent()
    return _supervise(node, lambda: Foreground(end, handle, line, parent), early)


def _run_bodies_here(node: Node, end: socket.socket, line: socket.socket, supervisor: int) -> int:
    """Be the only child of a node whose supervisor was forked from here (pool `solo`)."""

    def hand_on(number: int, frame: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(supervisor, number)

    interrupts = Interrupts(line)
    interrupts.listen()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:  # as `nohup` has it
            signal.signal(number, hand_on)
    say_init(node.worker)
    node.set_up_process("MainProcess")
    if not sys.stdin.isatty():  # else a debugger may want to talk to somebody
        node.redirect_output()
    carry_into_threads()
    say_process_init(node.worker)
    serve(node.pool_in_child(node.concurrency, interrupts), end)
    end.shutdown(socket.SHUT_RDWR)  # the supervisor has this end open too; only this tells it
    return os.waitstatus_to_exitcode(os.waitpid(supervisor, 0)[1])


class Node:
    """Know what a node runs: its app, its name, and what was asked for on the command line.

    Made in each of its processes, from the same options, to the same effect.

    Args:
        options: as given to `run`.
        first: this is the process that was started.

    Attributes:
        app: found, configured, its task modules imported.
        pool: what runs the bodies.
        capacities: bodies at once in each child.
        accept: which messages may be decoded.
        record_form: how records of results are written.
        own_options: values of the app's own options, by name.
        queues_added: what receivers of signals have added to its queues.
        worker: what these receivers see of it.
    """

    def __init__(self, options: NodeOptions, *, first: bool = False) -> None:
        self._began_at = time.time()
        self.options = options
        found = find_app(options.app)
        self.app: Celery = found.app
        self.spec = found.spec
        self.app.conf.override(options.settings)
        self.app.load_tasks()
        self.own_options = read_own_options(self.app, options.own)
        for module in options.include:
            import_tasks(module, "-I")
        conf = self.app.conf
        self.pool = find_pool(options.pool or conf.worker_pool, "-P" if options.pool else "worker_pool")
        self.name = node_name(options.node_name)
        self.capacities: tuple[int, ...] = ()
        self.queues_added: list[str] = []
        self._selected_in: Queues | None = None
        self.worker = Worker(self, runs_tasks=issubclass(self.pool, Solo) is first)
        say_configured(self.worker)
        self.accept = self.app.conf.accept
        self.record_form = self.app.conf.record_form
        self.capacities = self.pool.layout(
            options.concurrency or conf.worker_concurrency or self.pool.usual_concurrency(usable_cpus()),
            options.processes or conf.worker_processes,
        )
        strategy_of(self.dispatch, self.app.conf.worker_dispatch_weights)  # made again where it is used
        if not self.queues:
            raise ImproperlyConfigured("-X leaves no queue to consume; name those that the node is for with -Q")
        if not self.app.broker.capabilities.crosses_processes:
            raise ImproperlyConfigured(
                f"{self.app.broker.url} exists inside one process only, where a worker is another; "
                "leave broker_url out for a SQLite file, or name one: sqlite:////path/to/file.sqlite3"
            )

    @property
    def queues(self) -> tuple[str, ...]:
        """What it consumes: `-Q`, else all that `task_queues` lists; without `-X`; and what is its own."""
        table = self.app.amqp.queues
        if table is not self._selected_in:
            self._select(table)
        chosen = (*table.consume_from, *self.queues_added)
        return tuple(dict.fromkeys(queue for queue in chosen if queue not in self.options.exclude_queues))

    def _select(self, table: Queues) -> None:
        try:
            table.select(self.options.queues)
        except KeyError as error:
            raise ImproperlyConfigured(
                f"-Q names queue {error}, which is not in task_queues; add it there, or set task_create_missing_queues"
            ) from None
        table.deselect(self.options.exclude_queues)
        if self.app.conf.worker_direct:
            table.select_add(worker_direct(self.name))
        self._selected_in = table

    @property
    def concurrency(self) -> int:
        """Bodies at once."""
        return sum(self.capacities)

    def layout(self, concurrency: int) -> tuple[int, ...]:
        """Return how many bodies each child is to run when the node is to run so many at once from now on.

        Raises:
            ImproperlyConfigured: that cannot be had.
        """
        processes = self.options.processes or self.app.conf.worker_processes
        return self.pool.layout(concurrency, processes and min(processes, concurrency))

    @property
    def dispatch(self) -> str | type:
        """The strategy that picks a slot."""
        return self.options.dispatch or self.app.conf.worker_dispatch

    @property
    def prefetch_multiplier(self) -> int | None:
        """Messages held per slot; without prefetching one, which is the one that it runs."""
        if self.app.conf.worker_disable_prefetch:
            return 1
        asked = self.options.prefetch_multiplier
        return self.app.conf.worker_prefetch_multiplier if asked is None else asked

    @property
    def starts_fresh(self) -> bool:
        """Say whether children are to be fresh interpreters."""
        return self.app.conf.worker_pool_start_method == "spawn"

    @property
    def recycling(self) -> Recycling | None:
        """What a child may come to; None where nothing is said, or nothing can replace the process (pool `solo`)."""
        conf = self.app.conf
        said = Recycling(max_tasks=conf.worker_max_tasks_per_child, max_memory_kib=conf.worker_max_memory_per_child)
        if said == Recycling():
            return None
        if self.pool is Solo:
            logger.warning(
                "worker_max_tasks_per_child and worker_max_memory_per_child have no effect with the pool solo: "
                "nothing can replace the process that you started"
            )
            return None
        return said

    def plan(self) -> Plan:
        """Decide everything that the supervisor needs to know."""
        conf, options = self.app.conf, self.options
        return Plan(
            node=self.name,
            queues=self.queues,
            capacities=self.capacities,
            dispatch=self.dispatch,
            prefetch_multiplier=self.prefetch_multiplier,
            stop_grace=conf.worker_stop_grace if options.stop_grace is None else options.stop_grace,
            soft_stop=conf.worker_soft_shutdown_timeout,
            term_is=os.environ.get("REMAP_SIGTERM"),
            has_terminal=has_terminal(),
            accept=self.accept,
            form=self.record_form.without_code_of_users(),
            pool=f"{self.pool.__module__}:{self.pool.__qualname__}",
            layout=None if self.pool is Solo else self.layout,
            recycling=self.recycling,
            alive_within=conf.worker_proc_alive_timeout or None,
            fresh=self.starts_fresh,
            burst=options.burst,
            heartbeat=options.heartbeat or None,
            reload=Reload(Path.cwd(), self._began_at) if options.reload else None,
            say_ready=self.say_ready,
            say=self.say,
            worker=self.worker,
        )

    def set_up_process(self, role: str, *, number: int = 0) -> None:
        """Name this process, and send what it logs where it belongs.

        Args:
            number: children count from 1.
        """
        conf, options = self.app.conf, self.options
        if conf.worker_umask is not None:
            os.umask(conf.worker_umask)
        log, pattern = self.app.log, options.logfile or conf.worker_logfile
        file_of_its_own = pattern is not None and "%i" in pattern.lower()
        if number and log.already_setup and not file_of_its_own:
            set_process_name(role)  # all else came with the fork
        else:
            log.already_setup = False
            logfile = pattern and file_name(pattern, self.name, process=number)
            log.setup(options.loglevel, logfile, colorize=options.color, process_name=role)
        setproctitle(f"[celeriac: {self.name}:{role}]")

    def redirect_output(self) -> None:
        """Make log lines of what bodies print in this process, unless the settings say otherwise."""
        if self.app.conf.worker_redirect_stdouts and not self.app.log.handled:
            self.app.log.redirect_stdouts(self.app.conf.worker_redirect_stdouts_level)

    def run_child(self, place: int, capacity: int, end: socket.socket, line: socket.socket) -> int:
        """Be a child, until the supervisor has no more work for it; return its exit code."""
        self.set_up_process(f"{self.pool.role}-{place + 1}", number=place + 1)
        self.redirect_output()
        carry_into_threads()
        say_process_init(self.worker)
        interrupts = Interrupts(line)
        interrupts.listen()
        code = EXIT_FAILED
        try:
            serve(self.pool_in_child(capacity, interrupts), end)
            interrupts.obey()  # nothing has made it look into its line since the last run
            code = EXIT_REPLACED if interrupts.is_replaced else EXIT_DONE
        finally:
            say_process_shutdown(self.worker, code)
        return code

    def pool_in_child(self, capacity: int, interrupts: Interrupts) -> Pool:
        """Make what runs the bodies of this process, so many at once."""
        return self.pool(self.app, self.name, capacity, interrupts)

    def child_command(self) -> list[str]:
        """Return the command of a fresh interpreter that does as `run_child`."""
        options = msgspec.json.encode(replace(self.options, node_name=self.name)).decode()
        return [sys.executable, "-m", "celeriac.worker.fresh_child", options]

    def accepts_stores(self) -> bool:
        """Look at how broker and result backend are set up, and warn; with `--strict` say whether all is well.

        Raises:
            OperationalError: the broker cannot be asked.
        """
        broker, backend = self.app.broker, self.app.backend
        checkups = {broker.url: broker.check_up()}
        if backend is not None and not broker.consumer(Incarnation.begin(self.name)).shares_store_with(backend):
            try:
                checkups[backend.url] = backend.check_up()
            except OperationalError as error:  # not needed before the first result, and said again then
                logger.warning("%s", error)
        level = logging.CRITICAL if self.options.strict else logging.WARNING
        found = [(url, one) for url, checkup in checkups.items() if checkup for one in checkup.concerns]
        for url, concern in found:
            logger.log(level, "%s: %s; %s", url, concern.found, concern.cure)
        if found and self.options.strict:
            logger.critical("not starting, for --strict takes warnings about stores for errors")
        return not (found and self.options.strict)

    def greet(self) -> None:
        """Print the banner, and purge when that was asked for."""
        described = banner(
            self.app,
            node=self.name,
            spec=self.spec,
            pool=self.pool.name,
            capacities=self.capacities,
            dispatch=self.dispatch if isinstance(self.dispatch, str) else self.dispatch.__qualname__,
            queues=self.queues,
        )
        self.say(described)
        at_risk = lost_with_neighbours(self.app.tasks.values()) if max(self.capacities) > 1 else []
        if at_risk:
            logger.warning(
                "tasks are acknowledged before they run (acks_late=False) and share a process with others: one that "
                "kills it loses the others' runs. Leave these to -P prefork, or let them be acknowledged late: %s",
                ", ".join(at_risk),
            )
        conf = self.app.conf
        limits = TimeLimits(self.app.tasks, hard=conf.task_time_limit, soft=conf.task_soft_time_limit)
        concern = concern_of(limits, self.pool.name)
        if concern is not None:
            logger.warning("%s", concern)
        if vain := limits.vain():
            logger.warning(
                "a soft time limit that is not below the hard one is never reached, so runs are killed untold: %s",
                "; ".join(vain),
            )
        if self.options.purge:
            count = sum(self.app.broker.purge(queue) for queue in self.queues)
            self.say(f"{count} messages were purged")

    def say_ready(self) -> None:
        """Tell that work is taken now: as Celery does, in the log, and without a log line to those who see none."""
        if logger.isEnabledFor(logging.INFO):
            logger.info("%s ready.", self.name)
        else:
            self.say(f"{self.name} ready.")

    def say(self, text: str) -> None:
        """Tell the person at the terminal something, unless they asked for quiet."""
        if not self.options.quiet:
            sys.stderr.write(f"{text}\n")
            sys.stderr.flush()


def lost_with_neighbours(tasks: Iterable[Task[..., Any]]) -> list[str]:
    """Name the tasks whose runs are lost when another run in their process kills it: those that are acked early."""
    return sorted(task.name for task in tasks if not task.acks_late and not task.name.startswith("celery."))


def usable_cpus() -> int:
    """Count the CPUs that this process may use: those of its affinity, and no more than its cgroup's quota."""
    try:
        count = len(os.sched_getaffinity(0))
    except AttributeError:
        count = os.cpu_count() or 1
    return max(1, min(count, math.ceil(cgroup_quota(Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")))))


def cgroup_quota(root: Path, membership: Path) -> float:
    """Return the CPUs that cgroup v2 allows this process, by its own group or one above; 1e9 without a limit."""
    try:
        own = next(line[3:] for line in membership.read_text().splitlines() if line.startswith("0::"))
    except (OSError, StopIteration):
        return 1e9
    quota = 1e9
    group = root / own.strip("/")
    for folder in (group, *group.parents):
        try:
            limit, period = (folder / "cpu.max").read_text().split()
        except (OSError, ValueError):
            continue
        if limit != "max":
            quota = min(quota, int(limit) / int(period))
    return quota
