"""Results that belong together: the forms in which records name them, and the tree of what a run has sent."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, TextIO

from celeriac.app.current import current_app
from celeriac.exceptions import DecodeError, IncompleteStream

if TYPE_CHECKING:
    from celeriac.app.application import Celery
    from celeriac.backends.base import ResultBackend


class ResultBase:
    """Be the base class of results."""

    __slots__ = ()

    def as_tuple(self) -> Any:
        """Return the form in which records name the result."""
        raise NotImplementedError


def result_from_tuple(form: Any, app: Celery | None = None, *, backend: ResultBackend | None = None) -> Any:
    """Make a result of the form that `as_tuple` and records have: ``[[id, parent], children]``.

    Args:
        form: such a form, or a result, which is returned as it is.
        app: whose result it is; None: the current app's.
        backend: where it is looked up, when that is not the app's own.

    Raises:
        DecodeError: it is no such form.
    """
    if isinstance(form, ResultBase):
        return form
    try:
        head, children = form
        task_id, parent = head if isinstance(head, (list, tuple)) else (head, None)
    except (TypeError, ValueError) as error:
        raise DecodeError(f"the form of a result is [[id, parent], children], got {form!r:.200}") from error
    app = current_app() if app is None else app
    before = result_from_tuple(parent, app, backend=backend) if parent else None
    if children is not None:
        members = [result_from_tuple(each, app, backend=backend) for each in children]
        return app.GroupResult(task_id, members, parent=before)
    return app.AsyncResult(task_id, backend=backend, parent=before)


def walk(root: Any, *, intermediate: bool) -> Iterator[tuple[Any, Any]]:
    """Yield (sender, result) for a run, for what it has sent, for what that has sent, and so on.

    Raises:
        IncompleteStream: a run has not ended, so what it sends is not known; not with `intermediate`.
    """
    waiting: deque[tuple[Any, Any]] = deque([(None, root)])
    while waiting:
        sender, node = waiting.popleft()
        yield sender, node
        if node.ready():
            waiting.extend((node, child) for child in node.children or ())
        elif not intermediate:
            raise IncompleteStream(
                f"run {node.id} is {node.state}: what it sends is known when it has ended. Wait for it, or say "
                "intermediate=True"
            )


class ResultGraph:
    """Show which run has sent which others.

    Iterating yields the results, in the order in which they were found; `graph[result]` is the list of what it sent.
    """

    def __init__(self, found: Iterable[tuple[Any, Any]]) -> None:
        self._sent: dict[Any, list[Any]] = {}
        for sender, node in found:
            self._sent.setdefault(node, [])
            if sender is not None:
                self._sent.setdefault(sender, []).append(node)

    def items(self) -> Iterable[tuple[Any, list[Any]]]:
        """Return (result, what it sent) for every result."""
        return self._sent.items()

    iteritems = items

    def edges(self) -> list[Any]:
        """Return the results that have sent something."""
        return [node for node, sent in self._sent.items() if sent]

    def topsort(self) -> list[Any]:
        """Return the results so that each comes after all that it has sent."""
        return list(reversed(self._sent))  # found breadth first, so senders come first

    def to_dot(self, file: TextIO) -> None:
        """Write the graph in the language of Graphviz."""
        file.write("digraph results {\n")
        for node, sent in self._sent.items():
            file.write(f"  {_quoted(node.id)};\n")
            file.writelines(f"  {_quoted(node.id)} -> {_quoted(child.id)};\n" for child in sent)
        file.write("}\n")

    def __getitem__(self, result: Any) -> list[Any]:
        return self._sent[result]

    def __contains__(self, result: object) -> bool:
        return result in self._sent

    def __iter__(self) -> Iterator[Any]:
        return iter(self._sent)

    def __len__(self) -> int:
        return len(self._sent)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {len(self)} results>"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
