"""Children that run one body each (`-P prefork`, the default)."""

from __future__ import annotations

from celeriac.exceptions import ImproperlyConfigured
from celeriac.worker.channel import Channel
from celeriac.worker.pools.base import Pool


class Prefork(Pool):
    """Run one body at a time, in the main thread of the child."""

    name = "prefork"
    role = "ForkPoolWorker"

    @classmethod
    def layout(cls, concurrency: int, processes: int | None) -> tuple[int, ...]:
        if processes is not None:
            raise ImproperlyConfigured(
                f"--processes divides what a process of the pool runs at once, and one of {cls.name!r} runs one task "
                "at a time: give the number of processes with -c"
            )
        return (1,) * concurrency

    def serve(self, channel: Channel) -> None:
        executor = self.new_executor()
        try:
            channel.say_ready()
            while run := channel.receive():
                channel.send(executor.execute(run))
        finally:
            executor.close()
