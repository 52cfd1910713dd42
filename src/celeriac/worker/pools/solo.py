"""The foreground process runs the bodies, for debuggers (`-P solo`)."""

from __future__ import annotations

from celeriac.worker.pools.prefork import Prefork


class Solo(Prefork):
    """Run one body at a time, in the main thread of the process that was started."""

    name = "solo"
    role = "MainProcess"

    @classmethod
    def layout(cls, concurrency: int, processes: int | None) -> tuple[int, ...]:
        return super().layout(1, processes)
