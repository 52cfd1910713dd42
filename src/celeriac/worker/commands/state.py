"""What control commands reach of their node."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, NoReturn, Protocol

if TYPE_CHECKING:
    from celeriac.app.application import Celery
    from celeriac.worker.autoscale import Autoscaler
    from celeriac.worker.consuming import Consuming
    from celeriac.worker.elections import Elections
    from celeriac.worker.limit_changes import LimitChanges
    from celeriac.worker.revoking import Revoking
    from celeriac.worker.views import View

_CONSUMER: Final = (
    "a node has no consumer object for commands to reach into; commands have `state.app`, `state.hostname` and "
    "`state.node`, and say `broadcast('add_consumer', ...)` and the like to change what nodes do"
)


async def _ready_already(queues: Sequence[str]) -> None:
    """Have nothing made ready: no broker is there."""


class Pool(Protocol):
    """Change how many bodies a node runs at once, and in which processes."""

    def grow(self, count: int) -> None:
        """Run more bodies at once.

        Raises:
            ValueError: this pool cannot.
        """
        ...

    def shrink(self, count: int) -> None:
        """Run fewer bodies at once; what is under way ends first.

        Raises:
            ValueError: this pool cannot, or none would be left.
        """
        ...

    def replace(self) -> None:
        """Start all processes anew, each after its current runs.

        Raises:
            ValueError: this pool cannot.
        """
        ...


class EventSwitch(Protocol):
    """Begin and end the sending of events."""

    def enable_tasks(self) -> bool:
        """Send events of tasks; False when they are sent already."""
        ...

    def disable_tasks(self) -> bool:
        """Send no events of tasks; False when none are sent already."""
        ...

    def beat(self) -> None:
        """Send one heartbeat now."""
        ...


class Lifetime(Protocol):
    """End a node, or have it start again. Called in the loop's thread."""

    def stop(self) -> None:
        """Stop warmly."""
        ...

    def restart(self, why: str) -> None:
        """Stop warmly, and start again with all code read anew."""
        ...


class Helm:
    """Let built-in commands see and change a node, from inside its loop.

    Attributes:
        view: what it is doing.
        revoking: what is revoked.
        consuming: which queues it consumes.
        limits: rate and time limits of its tasks.
        pool: how many bodies run at once; None where that cannot change.
        autoscaler: chooses how many bodies run at once; None where they are as many as somebody has said.
        lifetime: stops it.
        events: sends events; None where there is nothing that does.
        elections: stands for elections; None where this node takes no part in any.
        attend: has the broker make queues ready that are to be consumed, as `brokers.base.Consumer` has it.
    """

    def __init__(
        self,
        *,
        view: View,
        revoking: Revoking,
        consuming: Consuming,
        limits: LimitChanges,
        lifetime: Lifetime,
        pool: Pool | None = None,
        autoscaler: Autoscaler | None = None,
        events: EventSwitch | None = None,
        elections: Elections | None = None,
        attend: Callable[[Sequence[str]], Awaitable[None]] = _ready_already,
    ) -> None:
        self.view = view
        self.revoking = revoking
        self.consuming = consuming
        self.limits = limits
        self.pool = pool
        self.autoscaler = autoscaler
        self.lifetime = lifetime
        self.events = events
        self.elections = elections
        self.attend = attend


class State:
    """Be the first argument of every command.

    Attributes:
        app: whose node this is, in the supervisor's process.
        hostname: the node's name.
        node: the rest of it, for built-in commands, in its loop only.
        is_for_all: the command names no nodes: others hear it as well.
        afterwards: called in the loop when the answer was given; None for nothing.
    """

    def __init__(self, app: Celery, hostname: str, node: Helm, *, is_for_all: bool = True) -> None:
        self.app = app
        self.hostname = hostname
        self.node = node
        self.is_for_all = is_for_all
        self.afterwards: Callable[[], object] | None = None

    @property
    def consumer(self) -> NoReturn:
        """What Celery's commands reach into.

        Raises:
            AttributeError: always; the text says what to use instead.
        """
        raise AttributeError(_CONSUMER)

    def tset(self, items: Iterable[Any]) -> set[Any]:
        """Return a copy that does not change meanwhile."""
        return set(items)
