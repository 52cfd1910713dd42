"""The child's side of orders: raise in the body of a run what the supervisor asks for, and nowhere else.

Orders are read by the handler of a signal, in the main thread. How an exception gets into a body depends on where
that runs: in the main thread the handler raises it; in another thread the interpreter does, at its next bytecode; a
coroutine gets it at its next await. `app/guard.py` says why none of these can miss.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import threading
from functools import partial
from types import FrameType
from typing import Any, Final, NoReturn

from celeriac.app.context import Context
from celeriac.app.guard import note_told
from celeriac.exceptions import SoftTimeLimitExceeded, TaskCancelled, TimeLimitExceeded
from celeriac.shelter import DEPTHS, LATER
from celeriac.worker.forkserver import is_left_to_supervisor
from celeriac.worker.orders import ORDER_SIGNAL, Interrupt, Leave, Replaced, Signal, read_orders

_EARLY_MAX: Final = 64
_EXIT_FAILED: Final = 1

_set_async_exc: Final = ctypes.pythonapi.PyThreadState_SetAsyncExc
_set_async_exc.argtypes = (ctypes.c_ulong, ctypes.py_object)


class Interrupts:
    """Know the runs of this process, and interrupt them as ordered.

    Args:
        line: this process's end of the line.
    """

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._runs: dict[int, Context] = {}
        self._early: dict[int, BaseException] = {}
        self._main = threading.main_thread().ident
        self.is_replaced = False
        """Another child takes the place of this one."""

    def listen(self) -> None:
        """Obey orders from now on. For the main thread."""
        signal.signal(getattr(signal, ORDER_SIGNAL), self._on_signal)

    def close(self) -> None:
        """Hear no more orders."""
        self._line.close()

    def begin(self, number: int, context: Context) -> None:
        """Take a run for one that can be interrupted."""
        self._runs[number] = context
        if self._early:
            self._interrupt_early(number, context)

    def end(self, number: int) -> None:
        """Take a run for over."""
        self._runs.pop(number, None)

    def _interrupt_early(self, number: int, context: Context) -> None:
        exc = self._early.pop(number, None)
        if exc is not None:
            context.interrupt = exc
            context.is_cancelled = isinstance(exc, TaskCancelled)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        instead = self.obey()
        if instead is not None:
            raise instead

    def obey(self) -> BaseException | None:
        """Obey the orders that have come in; return what is to be raised in the body that runs in this very thread."""
        instead = None
        for order in read_orders(self._line):  # all of them: signals that come close together are one
            match order:
                case Interrupt():
                    instead = self._deliver(order) or instead
                case Signal(number=run, signal=wanted):
                    if run in self._runs:
                        _die_of(wanted)
                case Leave():
                    os._exit(_EXIT_FAILED)
                case Replaced():
                    self.is_replaced = True
        return instead

    def _deliver(self, order: Interrupt) -> BaseException | None:
        """Get an exception into a body; return it when it is to be raised in this very thread."""
        exc = _exception_of(order)
        context = self._runs.get(order.number)
        if context is None:  # it has been read and has not begun, or it has ended
            if len(self._early) >= _EARLY_MAX:
                del self._early[next(iter(self._early))]
            self._early[order.number] = exc
            return None
        if isinstance(exc, TaskCancelled):
            context.is_cancelled = True
        if context.driver is not None:
            context.driver.interrupt(exc)
        elif context.thread == self._main:
            if context.in_body and self._main in DEPTHS:
                LATER[self._main] = partial(_raise_within, context, exc)
            elif context.in_body:
                note_told(context, exc)
                return exc
            else:
                context.interrupt = exc
        else:
            _raise_elsewhere(context, exc)
        return None


def _raise_elsewhere(context: Context, exc: BaseException) -> None:
    """Have `exc` raised in the thread that runs a body, or when it begins.

    Between the question whether it runs and the call there is no point at which another thread could go on. After the
    call there is one, and the body may be over then: what is to be known of it is noted before.
    """
    carrier, thread, set_async_exc = _carrier(exc), ctypes.c_ulong(context.thread), _set_async_exc
    cancelled = exc if isinstance(exc, TaskCancelled) else context.cancelled
    later = partial(_raise_within, context, exc)
    if context.in_body and context.thread in DEPTHS:
        LATER[context.thread] = later
    elif context.in_body:
        context.cancelled = cancelled
        set_async_exc(thread, carrier)
    else:
        context.interrupt = exc


def _raise_within(context: Context, exc: BaseException) -> NoReturn:
    """Raise in a body what has met it in a shelter."""
    note_told(context, exc)
    raise exc


def _carrier(exc: BaseException) -> type[BaseException]:
    """Make a class whose instance is `exc`: only classes can be raised in other threads."""

    def give(cls: type, *args: Any) -> BaseException:
        return exc

    return type(type(exc).__name__, (BaseException,), {"__new__": give})


def _exception_of(order: Interrupt) -> BaseException:
    match order.kind:
        case "soft":
            return SoftTimeLimitExceeded()
        case "hard":
            return TimeLimitExceeded(order.seconds)
        case "cancel":
            return TaskCancelled(order.reason, order.by)


def _die_of(number: int) -> None:
    """Leave a signal to the handler that a body has set for it; without one, end."""
    os.kill(os.getpid(), signal.SIGKILL if is_left_to_supervisor(number) else number)
