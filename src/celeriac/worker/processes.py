"""Start one node: fork, import the app, and become what the pool asks for."""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import logging
import os
import signal
import socket
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable
from typing import Final, NoReturn

from celeriac.app.log_fields import carry_into_threads
from celeriac.exceptions import ImproperlyConfigured, OperationalError, SettingWithoutEffect
from celeriac.worker import packets
from celeriac.worker.child import serve
from celeriac.worker.early_signals import EarlySignals, Stopped
from celeriac.worker.forkserver import ForkServer, die_with_parent, ignore_stop_signals, outlive_parent
from celeriac.worker.greeting import accepts_stores, check_limits, greet
from celeriac.worker.interrupts import Interrupts
from celeriac.worker.left_threads import end_without
from celeriac.worker.loops import fast_loop
from celeriac.worker.names import file_name
from celeriac.worker.node import Node, has_terminal
from celeriac.worker.node_signals import (
    say_before_fork,
    say_init,
    say_process_init,
    say_set_up,
)
from celeriac.worker.options import NodeOptions
from celeriac.worker.pid_file import pid_file
from celeriac.worker.pools.solo import Solo
from celeriac.worker.privileges import check_privileges, is_root
from celeriac.worker.shutdown import EXIT_DONE, EXIT_FAILED, EXIT_RESTART
from celeriac.worker.start import Crew, Foreground, ForkedCrew
from celeriac.worker.supervisor import Supervisor
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
        early.only_note()  # what is raised amid a fork is lost there
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
            early.check()
            node = Node(options, first=True)
            early.check()
            if node.app.conf.worker_pidfile is not None:
                held.enter_context(pid_file(file_name(node.app.conf.worker_pidfile, node.name, process=0)))
            check_privileges(node.accept, root=is_root(), environment=os.environ)
            check_limits(node)
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
            node.prepare_for_bodies()
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
        if not accepts_stores(node):
            return EXIT_UNAVAILABLE
        greet(node)
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
    supervisor = Supervisor(node.app, node.plan(), make_crew())
    try:
        return await supervisor.run()
    except ImproperlyConfigured as exc:  # the settings do not fit what the broker has
        logger.critical("%s", exc)
        return EXIT_FAILED


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
    node.prepare_for_bodies()
    node.set_up_process("MainProcess")
    if not sys.stdin.isatty():  # else a debugger may want to talk to somebody
        node.redirect_output()
    carry_into_threads()
    say_process_init(node.worker)
    serve(node.pool_in_child(node.concurrency, interrupts), end)
    end.shutdown(socket.SHUT_RDWR)  # the supervisor has this end open too; only this tells it
    return os.waitstatus_to_exitcode(os.waitpid(supervisor, 0)[1])
