"""Children that run many coroutines at once in one event loop (`-P asyncio`)."""

from __future__ import annotations

import asyncio
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from celeriac.worker import packets
from celeriac.worker.awaited import AwaitingExecutor
from celeriac.worker.channel import Channel
from celeriac.worker.loops import fast_loop
from celeriac.worker.pools.base import Pool, divided
from celeriac.worker.runs import Outcome, Run

USUAL_CONCURRENCY: Final = 100
"""Coroutines at once where nobody says how many: they wait most of the time, whatever the number of processors."""


class Coroutines(Pool):
    """Run `async def` tasks in the loop of the child, and plain ones in threads beside it."""

    name = "asyncio"
    role = "AsyncPoolWorker"

    @classmethod
    def usual_concurrency(cls, cpus: int) -> int:
        return USUAL_CONCURRENCY

    @classmethod
    def layout(cls, concurrency: int, processes: int | None) -> tuple[int, ...]:
        return divided(concurrency, processes)

    def serve(self, channel: Channel) -> None:
        with asyncio.Runner(loop_factory=fast_loop()) as runner:
            runner.run(self._serve(channel))

    async def _serve(self, channel: Channel) -> None:
        threads = ThreadPoolExecutor(self.capacity, thread_name_prefix=self.role)
        try:
            executor = AwaitingExecutor(self.app, self.hostname, self.interrupts, threads)
            await _Serving(channel, executor, self.capacity).until_end()
        finally:
            threads.shutdown(wait=False, cancel_futures=True)  # one that still runs has nobody to tell any more


class _Serving:
    """Read runs from the loop while there is room for them, and answer them."""

    def __init__(self, channel: Channel, executor: AwaitingExecutor, capacity: int) -> None:
        self._channel = channel
        self._executor = executor
        self._capacity = self._free = capacity
        self._loop = asyncio.get_running_loop()
        self._running: dict[int, asyncio.Task[None]] = {}  # the loop itself may forget a task that nobody else knows
        self._unsent: deque[Outcome] = deque()
        self._listens = False
        self._comes_more = True
        self._end: asyncio.Future[None] = self._loop.create_future()

    async def until_end(self) -> None:
        """Serve until no more comes and all has ended.

        Raises:
            OSError: the supervisor has gone.
        """
        self._channel.say_ready()
        self._listen()
        await self._end

    # uvloop makes what it watches non-blocking, which nobody minds here: the supervisor's handle on this end is read
    # with MSG_DONTWAIT, and so is the end itself.

    def _listen(self) -> None:
        if not self._listens:
            self._listens = True
            self._loop.add_reader(self._channel.fileno(), self._read)

    def _listen_no_more(self) -> None:
        if self._listens:
            self._listens = False
            self._loop.remove_reader(self._channel.fileno())

    def _read(self) -> None:
        try:
            while self._free:
                run = self._channel.receive(packets.DONT_WAIT)
                if run is None:
                    self._comes_more = False
                    self._listen_no_more()
                    self._note_end()
                    return
                self._begin(run)
        except BlockingIOError:
            self._listen()
            return
        except OSError as exc:
            self._fail(exc)
            return
        self._listen_no_more()  # until one has ended: what is not read can run elsewhere

    def _begin(self, run: Run) -> None:
        self._free -= 1
        self._running[run.number] = self._loop.create_task(self._run(run), name=f"run-{run.number}")

    async def _run(self, run: Run) -> None:
        self._send(await self._executor.run(run))
        del self._running[run.number]
        self._free += 1
        if not self._comes_more:
            self._note_end()
        elif not self._listens:
            self._read()

    def _send(self, outcome: Outcome) -> None:
        if self._unsent:
            self._unsent.append(outcome)
            return
        try:
            self._channel.send(outcome, packets.DONT_WAIT)
        except BlockingIOError:
            self._unsent.append(outcome)
            self._loop.add_writer(self._channel.fileno(), self._send_unsent)
        except OSError as exc:
            self._fail(exc)

    def _send_unsent(self) -> None:
        try:
            while self._unsent:
                self._channel.send(self._unsent[0], packets.DONT_WAIT)
                self._unsent.popleft()
        except BlockingIOError:
            return
        except OSError as exc:
            self._fail(exc)
        self._loop.remove_writer(self._channel.fileno())
        self._note_end()

    def _note_end(self) -> None:
        if not self._comes_more and self._is_all_sent and not self._end.done():
            self._end.set_result(None)

    @property
    def _is_all_sent(self) -> bool:
        return self._free == self._capacity and not self._unsent

    def _fail(self, error: OSError) -> None:
        self._listen_no_more()
        if not self._end.done():
            self._end.set_exception(error)
