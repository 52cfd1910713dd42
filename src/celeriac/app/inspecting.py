"""`app.control.inspect()`: look at what nodes do, by node."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from celeriac.app.current import current_app
from celeriac.exceptions import DuplicateNodenameWarning
from celeriac.wire.control import Command

if TYPE_CHECKING:
    from celeriac.app.application import Celery

ByNode = dict[str, Any]


def flatten_reply(reply: Iterable[Mapping[str, Any]]) -> ByNode:
    """Make one dict of answers, ``[{node: answer}, ...]``; of two nodes of one name the later answer counts.

    Warns:
        DuplicateNodenameWarning: several nodes have the same name.
    """
    found: ByNode = {}
    twice: set[str] = set()
    for answer in reply:
        twice |= found.keys() & answer.keys()
        found.update(answer)
    if twice:
        warnings.warn(
            f"several nodes are called {', '.join(sorted(twice))}; give each a name of its own with -n",
            DuplicateNodenameWarning,
            stacklevel=2,
        )
    return found


class Inspect:
    """Ask nodes what they do. Each method returns the answers by node; None when nobody has answered in time.

    Args:
        destination: names of nodes; None is all of them. A single name: what that node answers is returned itself.
        timeout: seconds for which to wait for answers.
        callback: called with each answer, ``{node: answer}``.
        connection: of no effect; taken because Celery has it.
        app: None is the current one.
        limit: how many answers to wait for.
        pattern: what names of nodes must match instead of being in `destination`.
        matcher: ``glob`` or ``pcre``, which is how `pattern` is read.
    """

    app: Celery

    def __init__(
        self,
        destination: str | Sequence[str] | None = None,
        timeout: float | None = 1.0,
        callback: Callable[[dict[str, Any]], object] | None = None,
        connection: Any = None,
        app: Celery | None = None,
        limit: int | None = None,
        pattern: str | None = None,
        matcher: str | None = None,
    ) -> None:
        self.app = app or current_app()
        self.destination = destination
        self.timeout = timeout
        self.callback = callback
        self.connection = connection
        self.limit = limit
        self.pattern = pattern
        self.matcher = matcher

    # -- tasks --------------------------------------------------------------------------------------------------

    def active(self, safe: bool | None = None) -> Any:
        """List the tasks that run.

        Args:
            safe: show arguments as text.
        """
        return self._request("active", safe=safe)

    def reserved(self, safe: bool | None = None) -> Any:
        """List the tasks that nodes have claimed and not begun."""
        return self._request("reserved")

    def scheduled(self, safe: bool | None = None) -> Any:
        """List the tasks that wait for their time: in workers of Celery, or in the queues of a node of celeriac."""
        return self._request("scheduled")

    def revoked(self) -> Any:
        """List the ids of tasks that are not to run."""
        return self._request("revoked")

    def registered(self, *taskinfoitems: str) -> Any:
        """List the tasks that nodes know, with the attributes of them that are named."""
        return self._request("registered", taskinfoitems=taskinfoitems)

    registered_tasks = registered

    def query_task(self, *ids: str | Sequence[str]) -> Any:
        """Show what nodes do with the tasks of some ids: ``{node: {id: [state, info]}}``."""
        named: Any = ids[0] if len(ids) == 1 and isinstance(ids[0], (list, tuple)) else ids
        return self._request("query_task", ids=named)

    # -- nodes --------------------------------------------------------------------------------------------------

    def ping(self, destination: str | Sequence[str] | None = None) -> Any:
        """Have nodes say that they are there."""
        if destination:
            self.destination = destination
        return self._request("ping")

    def stats(self) -> Any:
        """Show numbers about nodes: tasks, pool, broker, resources."""
        return self._request("stats")

    def active_queues(self) -> Any:
        """List the queues that nodes consume."""
        return self._request("active_queues")

    def conf(self, with_defaults: bool = False) -> Any:
        """Show the settings of nodes, secrets hidden."""
        return self._request("conf", with_defaults=with_defaults)

    def report(self) -> Any:
        """Show what belongs into a bug report."""
        return self._request("report")

    def clock(self) -> Any:
        """Show the logical clocks of nodes."""
        return self._request("clock")

    def hello(self, from_node: str, revoked: Any = None) -> Any:
        """Exchange revoked ids and clocks, as workers of Celery do when they start."""
        return self._request("hello", from_node=from_node, revoked=revoked)

    def memsample(self) -> Any:
        """Show how much memory the main processes have."""
        return self._request("memsample")

    def memdump(self, samples: int = 10) -> Any:
        """Show what `memsample` has found so far."""
        return self._request("memdump", samples=samples)

    def objgraph(self, type: str = "Request", n: int = 200, max_depth: int = 10) -> Any:
        """Have workers of Celery draw what holds objects; nodes of celeriac say that they do not."""
        return self._request("objgraph", num=n, max_depth=max_depth, type=type)

    # -- asking -------------------------------------------------------------------------------------------------

    def _request(self, command: str, **arguments: Any) -> Any:
        one = self.destination if isinstance(self.destination, str) else None
        answers = self.app.control.broadcast(
            command,
            arguments=arguments,
            destination=self.destination or None,
            reply=True,
            timeout=self.timeout,
            limit=self.limit,
            callback=self.callback,
            pattern=self.pattern,
            matcher=self.matcher,
        )
        if not answers:
            return None
        by_node = flatten_reply(answers)
        if one is not None:
            return by_node.get(one)
        if self.pattern and self.matcher:
            meant = Command(method=command, pattern=self.pattern, matcher=self.matcher)
            return {node: answer for node, answer in by_node.items() if meant.is_for(node)}
        return by_node

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.app!r}>"
