"""The process that starts children, and tells when they die.

It is forked off the supervisor before the app is imported, because importing an app is what starts threads, and a
process forked beside a running thread hangs on the locks that the thread held. It imports the app itself, stays
single-threaded and forks children on request: copy-on-write, a few milliseconds each. Should the app have started
threads nevertheless, children are started as fresh interpreters instead, which is slower and safe.

Only the parent of a process can say how it ended, so deaths are told from here, never by the end of a socket. Signals
for children are sent from here as well: a child that has died keeps its pid until this process has looked, so no
signal reaches a stranger.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import select
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NoReturn

import msgspec

from celeriac.worker import packets

_PR_SET_PDEATHSIG: Final = 1

_NOT_STARTED: Final = 1 << 8
"""Wait status of a child that never was: as of one that exits with 1."""


class Spawn(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """Start a child for a slot. The descriptors of its socket and of its line come with it."""

    slot: int
    place: int
    capacity: int


class Kill(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """Send a signal to a child; to everything it has started, too, when it is to be gone for good."""

    slot: int
    signal: int
    group: bool


class Imported(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """The app was imported. `threads` names those that run beside the main thread by now."""

    threads: tuple[str, ...]


class Started(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """A child runs."""

    slot: int
    pid: int


class Died(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """A child ended. `status` is as `os.waitpid` gives it; `peak_kib` is the most memory that it had."""

    slot: int
    pid: int
    status: int
    peak_kib: int


Request = Spawn | Kill
Notice = Imported | Started | Died

_encode: Final = msgspec.msgpack.Encoder().encode
_decode_request: Final = msgspec.msgpack.Decoder(Request).decode
_decode_notice: Final = msgspec.msgpack.Decoder(Notice).decode


def die_with_parent(parent: int) -> None:
    """Ask the kernel to kill this process when `parent` has gone, and go now if it has already."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def outlive_parent() -> None:
    """Take back what `die_with_parent` asked for."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, 0)


def ignore_stop_signals() -> None:
    """Leave stopping to the supervisor, though systemd signals every process of a service.

    With handlers instead of SIG_IGN, because what is ignored stays ignored in programs that a task starts.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP):
        signal.signal(number, _nothing)


def _nothing(number: int, frame: object) -> None:
    return


def is_left_to_supervisor(number: int) -> bool:
    """Say whether this process ignores a signal only because stopping is for the supervisor."""
    return signal.getsignal(number) is _nothing


class ForkServer:
    """Serve one supervisor.

    Args:
        control: this end of the channel to the supervisor; its end means that the supervisor has gone.
        body: what a forked child does with its place, its capacity, its socket and its line, for the rest of its life;
            its exit code.
        command: arguments of a fresh interpreter that does the same; descriptors, place and capacity are appended.
        before_spawn: called before each child is started.
        fresh: start all children as fresh interpreters (`worker_pool_start_method`).
    """

    def __init__(
        self,
        control: socket.socket,
        body: Callable[[int, int, socket.socket, socket.socket], int],
        command: Sequence[str],
        *,
        before_spawn: Callable[[], object],
        fresh: bool = False,
    ) -> None:
        self._control = control
        self._body = body
        self._command = command
        self._before_spawn = before_spawn
        self._fresh = fresh
        self._pids: dict[int, int] = {}
        self._threaded = False

    def serve(self) -> NoReturn:
        """Start children until the supervisor has gone. The app is imported by now. Never returns."""
        # From now on the end of the channel tells of the supervisor's death, so that there is time to take along what
        # the bodies have started.
        outlive_parent()
        wake, woken = socket.socketpair()
        wake.setblocking(False)
        woken.setblocking(False)
        signal.signal(signal.SIGCHLD, _nothing)
        signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
        threads = other_threads()
        self._threaded = bool(threads)
        # What is alive now is shared with all children; a collection must not touch (and so copy) it.
        gc.collect()
        gc.freeze()
        self._tell(Imported(threads))
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        poll.register(woken, select.POLLIN)
        while True:
            poll.poll()
            with contextlib.suppress(BlockingIOError):
                woken.recv(4096)
            self._reap()
            self._obey()

    def _tell(self, notice: Notice) -> None:
        try:
            packets.send(self._control, _encode(notice))
        except OSError:
            self._end()

    def _end(self) -> NoReturn:
        """Leave nothing behind: neither children nor what they have started."""
        for slot in list(self._pids):
            self._kill(slot, signal.SIGKILL, group=True)
        os._exit(0)

    def _obey(self) -> None:
        while True:
            try:
                data, descriptors = packets.receive_descriptors(self._control, packets.DONT_WAIT)
            except BlockingIOError:
                return
            except OSError:
                data, descriptors = b"", ()
            if not data:
                self._end()
            match _decode_request(data):
                case Spawn() as spawn:
                    self._spawn(spawn, *descriptors)
                case Kill(slot=slot, signal=number, group=group):
                    self._kill(slot, number, group=group)

    def _spawn(self, spawn: Spawn, end: int, line: int) -> None:
        slot = spawn.slot
        self._before_spawn()
        starts = self._execute if self._fresh or self._threaded else self._fork
        try:
            pid = starts(spawn, end, line)
        except OSError as exc:  # no process or no memory left: what runs in other children must not end with it
            sys.stderr.write(f"no child could be started: {exc}\n")
            self._tell(Died(slot, 0, _NOT_STARTED, 0))
            return
        finally:
            os.close(end)
            os.close(line)
        self._pids[slot] = pid
        self._tell(Started(slot, pid))

    def _fork(self, spawn: Spawn, end: int, line: int) -> int:
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            try:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                self._control.close()
                become_child(parent)
                own, orders = socket.socket(fileno=end), socket.socket(fileno=line)
                os._exit(self._body(spawn.place, spawn.capacity, own, orders))
            except BaseException:  # noqa: BLE001 - a child has nobody to raise it to
                traceback.print_exc()
            finally:
                os._exit(1)
        return pid

    def _execute(self, spawn: Spawn, end: int, line: int) -> int:
        for descriptor in (end, line):
            os.set_inheritable(descriptor, True)
        numbers = (end, line, spawn.place, spawn.capacity, os.getpid())
        arguments = [*self._command, *map(str, numbers)]
        return os.posix_spawn(self._command[0], arguments, dict(os.environ))

    def _kill(self, slot: int, number: int, *, group: bool) -> None:
        pid = self._pids.get(slot)
        if pid is None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):  # the latter: a body has changed its user
            os.kill(pid, number)
        if group:
            signal_group(pid, number)

    def _reap(self) -> None:
        for slot, pid in list(self._pids.items()):
            if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                # What it has started must not outlive it: nobody would ever settle that work. Before the wait, while
                # the number is still its own.
                signal_group(pid, signal.SIGKILL)
                _, status, usage = os.wait4(pid, 0)
                del self._pids[slot]
                self._tell(Died(slot, pid, status, usage.ru_maxrss))


def become_child(parent: int) -> None:
    """Lead a process group of its own, so that a hard kill takes everything that a task has started."""
    die_with_parent(parent)
    os.setpgid(0, 0)
    ignore_stop_signals()


def signal_group(child: int, number: int) -> None:
    """Send a signal to a child's group: itself, and what its bodies have started. A group that has gone is no error."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child, number)


def other_threads() -> tuple[str, ...]:
    """Name the threads of this process besides the main one, those of C libraries too."""
    named = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
    try:
        count = len(list(Path("/proc/self/task").iterdir())) - 1
    except OSError:
        count = len(named)
    return (*named, *("(a library's own thread)" for _ in range(count - len(named))))


class ForkServerHandle:
    """Give orders to the forkserver, from the supervisor."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control

    def fileno(self) -> int:
        return self._control.fileno()

    def spawn(
        self, slot: int, child_end: socket.socket, line: socket.socket, *, place: int = 0, capacity: int = 1
    ) -> None:
        request = _encode(Spawn(slot, place, capacity))
        packets.send_descriptors(self._control, request, (child_end.fileno(), line.fileno()))

    def kill(self, slot: int, number: int, *, group: bool = False) -> None:
        """Send a signal to a slot's child, and with `group` to all that it has started."""
        with contextlib.suppress(OSError):  # the forkserver has gone, and its children with it
            packets.send(self._control, _encode(Kill(slot, number, group)))

    def notices(self) -> list[Notice] | None:
        """Return the notices that have come in, or None when the forkserver is dead."""
        found: list[Notice] = []
        while True:
            try:
                data = packets.receive(self._control, packets.DONT_WAIT)
            except BlockingIOError:
                return found
            except OSError:
                return found or None
            if not data:
                return found or None
            found.append(_decode_notice(data))

    def close(self) -> None:
        self._control.close()
