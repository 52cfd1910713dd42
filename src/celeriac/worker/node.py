"""What one node runs: its app, its name, and what was asked for on the command line."""

from __future__ import annotations

import logging
import os
import socket
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Final

import msgspec
from setproctitle import setproctitle

from celeriac.app.application import Celery
from celeriac.app.discovery import find_app
from celeriac.app.imports import import_tasks
from celeriac.app.log_fields import carry_into_threads
from celeriac.app.log_setup import set_process_name
from celeriac.app.user_options import read_own_options
from celeriac.brokers.queues import Queues
from celeriac.brokers.topology import worker_direct
from celeriac.exceptions import ImproperlyConfigured
from celeriac.worker.autoscale import find_autoscaler
from celeriac.worker.child import serve
from celeriac.worker.cpus import usable_cpus
from celeriac.worker.instance import Worker
from celeriac.worker.interrupts import Interrupts
from celeriac.worker.names import file_name, node_name
from celeriac.worker.node_signals import say_configured, say_init, say_process_init, say_process_shutdown
from celeriac.worker.options import NodeOptions
from celeriac.worker.pools.base import Pool
from celeriac.worker.pools.solo import Solo
from celeriac.worker.pools.table import find_pool
from celeriac.worker.recycling import EXIT_REPLACED, Recycling
from celeriac.worker.reloading import Reload
from celeriac.worker.scaling import Bounds
from celeriac.worker.shutdown import EXIT_DONE, EXIT_FAILED
from celeriac.worker.start import Plan
from celeriac.worker.stepping import steps_for_bodies
from celeriac.worker.strategies import strategy_of

logger: Final = logging.getLogger("celeriac.worker")


class Node:
    """Know what a node runs: its app, its name, and what was asked for on the command line.

    Made in each of its processes, from the same options, to the same effect.

    Args:
        options: as given to `processes.run`.
        first: this is the process that was started.

    Attributes:
        app: found, configured, its task modules imported.
        pool: what runs the bodies.
        capacities: bodies at once in each child.
        accept: which messages may be decoded.
        record_form: how records of results are written.
        autoscale: between which numbers of bodies at once it chooses, or None; `autoscaler` is the class that does.
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
        self._steps: list[object] = []
        self.worker = Worker(self, runs_tasks=issubclass(self.pool, Solo) is first)
        say_configured(self.worker)
        self.accept = self.app.conf.accept
        self.record_form = self.app.conf.record_form
        self.autoscale = None if options.autoscale is None else Bounds(*options.autoscale)
        self.autoscaler = find_autoscaler(conf.worker_autoscaler)
        if self.autoscale is not None and self.pool is Solo:
            raise ImproperlyConfigured("--autoscale: the pool solo runs one task at a time; leave one of them out")
        self.capacities = self._layout_at_first()
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

    def _layout_at_first(self) -> tuple[int, ...]:
        if self.autoscale is not None:
            return self.layout(self.autoscale.within(0))
        conf, options = self.app.conf, self.options
        asked = options.concurrency or conf.worker_concurrency
        return self.pool.layout(
            asked or self.pool.usual_concurrency(usable_cpus()), options.processes or conf.worker_processes
        )

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
            autoscale=self.autoscale,
            autoscaler=self.autoscaler,
            recycling=self.recycling,
            alive_within=conf.worker_proc_alive_timeout or None,
            fresh=self.starts_fresh,
            burst=options.burst,
            heartbeat=options.heartbeat or None,
            gossip=self.worker.gossip if options.gossip else None,
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

    def prepare_for_bodies(self) -> None:
        """Have users prepare a process in which bodies run, or from which such processes are forked."""
        say_init(self.worker)
        self._steps = steps_for_bodies(self.worker, (self.app.steps["worker"], self.app.steps["consumer"]))

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


def has_terminal() -> bool:
    """Say whether somebody sits before this node."""
    return sys.stdin is not None and sys.stdin.isatty()
