"""Commands of `app.control` beside revoking: what each takes, in Celery's order, and what is said to nodes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from celeriac.app.broadcasting import Answers, Broadcasting
from celeriac.app.inspecting import Inspect

if TYPE_CHECKING:
    from celeriac.app.application import Celery

Destination = str | Sequence[str] | None


class Commanding(Broadcasting):
    """Change what nodes do while they run.

    Every method takes the options of `broadcast`, and returns what that does: None, or with ``reply=True`` the
    answers, ``[{node: answer}, ...]``. `destination` names nodes; None is all of them. What is changed holds until a
    node ends.
    """

    def inspect(
        self,
        destination: Destination = None,
        timeout: float | None = 1.0,
        callback: Callable[[dict[str, Any]], object] | None = None,
        connection: Any = None,
        app: Celery | None = None,
        limit: int | None = None,
        pattern: str | None = None,
        matcher: str | None = None,
    ) -> Inspect:
        """Return what asks nodes about themselves; see `Inspect`."""
        return Inspect(
            destination=destination,
            timeout=timeout,
            callback=callback,
            connection=connection,
            app=app or self.app,
            limit=limit,
            pattern=pattern,
            matcher=matcher,
        )

    def ping(self, destination: Destination = None, timeout: float = 1.0, **options: Any) -> Answers:
        """Have nodes say that they are there: ``[{node: {"ok": "pong"}}, ...]``."""
        answers = self.broadcast("ping", {}, destination, **{"reply": True, "timeout": timeout, **options})
        return answers or []

    def purge(self, connection: Any = None) -> int:
        """Delete what waits in the queues of the app; return how many messages that were. Nothing brings them back."""
        broker = self.app.broker
        return sum(broker.purge(depth.queue) for depth in broker.depths())

    discard_all = purge

    # -- limits -------------------------------------------------------------------------------------------------

    def rate_limit(
        self, task_name: str, rate_limit: str | float | None, destination: Destination = None, **options: Any
    ) -> Answers | None:
        """Change how often a task may start on each node: ``"10/m"``, a number per second, 0 for no limit."""
        said = {"task_name": task_name, "rate_limit": rate_limit}
        return self.broadcast("rate_limit", said, destination, **options)

    def time_limit(
        self,
        task_name: str,
        soft: float | None = None,
        hard: float | None = None,
        destination: Destination = None,
        **options: Any,
    ) -> Answers | None:
        """Change how long a task may run, in seconds, for runs that begin from now on; None for no limit of its own."""
        said = {"task_name": task_name, "hard": hard, "soft": soft}
        return self.broadcast("time_limit", said, destination, **options)

    # -- queues -------------------------------------------------------------------------------------------------

    def add_consumer(
        self,
        queue: str,
        exchange: str | None = None,
        exchange_type: str = "direct",
        routing_key: str | None = None,
        options: Mapping[str, Any] | None = None,
        destination: Destination = None,
        **more: Any,
    ) -> Answers | None:
        """Have nodes consume one more queue.

        Args:
            queue: its name.
            exchange, exchange_type, routing_key, options: how workers of Celery declare and bind it.
            more: the options of `broadcast`.
        """
        said = {"queue": queue, "exchange": exchange, "exchange_type": exchange_type, "routing_key": routing_key}
        return self.broadcast("add_consumer", {**said, **(options or {})}, destination, **more)

    def cancel_consumer(self, queue: str, destination: Destination = None, **options: Any) -> Answers | None:
        """Have nodes consume a queue no more. What they have claimed of it still runs."""
        return self.broadcast("cancel_consumer", {"queue": queue}, destination, **options)

    # -- pools and nodes ----------------------------------------------------------------------------------------

    def pool_grow(self, n: int = 1, destination: Destination = None, **options: Any) -> Answers | None:
        """Have each node run `n` more tasks at once."""
        return self.broadcast("pool_grow", {"n": n}, destination, **options)

    def pool_shrink(self, n: int = 1, destination: Destination = None, **options: Any) -> Answers | None:
        """Have each node run `n` fewer tasks at once; what runs ends first."""
        return self.broadcast("pool_shrink", {"n": n}, destination, **options)

    def pool_restart(
        self,
        modules: Sequence[str] | None = None,
        reload: bool = False,
        reloader: Any = None,
        destination: Destination = None,
        **options: Any,
    ) -> Answers | None:
        """Have nodes start the processes anew that run tasks, where `worker_pool_restarts` allows it.

        Args:
            modules: of effect on workers of Celery, which import them.
            reload: start the nodes themselves anew, so that all code is read again.
            reloader: of effect on workers of Celery.
        """
        said = {"modules": modules, "reload": reload, "reloader": reloader}
        return self.broadcast("pool_restart", said, destination, **options)

    def autoscale(self, max: int, min: int, destination: Destination = None, **options: Any) -> Answers | None:
        """Change the bounds of the autoscaler of workers that have one."""
        return self.broadcast("autoscale", {"max": max, "min": min}, destination, **options)

    def shutdown(self, destination: Destination = None, **options: Any) -> Answers | None:
        """Stop nodes, after what runs has ended."""
        return self.broadcast("shutdown", {}, destination, **options)

    # -- events -------------------------------------------------------------------------------------------------

    def enable_events(self, destination: Destination = None, **options: Any) -> Answers | None:
        """Have nodes send events of tasks."""
        return self.broadcast("enable_events", {}, destination, **options)

    def disable_events(self, destination: Destination = None, **options: Any) -> Answers | None:
        """Have nodes send no more events of tasks."""
        return self.broadcast("disable_events", {}, destination, **options)

    def heartbeat(self, destination: Destination = None, **options: Any) -> Answers | None:
        """Have nodes send a heartbeat event at once."""
        return self.broadcast("heartbeat", {}, destination, **options)

    def election(self, id: str, topic: str, action: Any = None, connection: Any = None) -> None:
        """Have the nodes elect one of them, which does `action`.

        Args:
            id: of this election; nodes remember it, and hold none again under the same id.
            topic: what kind of thing is to be done: ``task`` sends the signature that `action` is; others are those
                for which nodes have a function (`worker.gossip.election_handlers`).
        """
        self.broadcast("election", {"id": id, "topic": topic, "action": action})
