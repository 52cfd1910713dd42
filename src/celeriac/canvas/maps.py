"""One task over many arguments, in one message or in few."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from celeriac.canvas.composed import Composed
from celeriac.canvas.group import group as groups
from celeriac.canvas.signature import Signature, maybe_signature
from celeriac.ids import new_id


class _Mapped(Signature[Any]):
    """Call one task for each of many arguments, in one run."""

    task_name = ""
    shown = ""

    def __init__(self, task: Any, it: Iterable[Any], **options: Any) -> None:
        app = options.pop("app", None)
        call = _signature_of(task, app)
        app = app or call.app_if_any()
        kwargs = {"task": call, "it": list(it)}
        super().__init__(self.task_name, (), kwargs, options, None, None, True, app)

    @classmethod
    def from_dict(cls, d: dict[str, Any], app: Any = None) -> Signature[Any]:
        """Make a plain call of the dict: a worker knows the task by its name."""
        return Signature({**d, "subtask_type": None}, app=app)

    def apply_async(
        self, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> Any:
        """Send the one call that makes all others; arguments given here have no place in it."""
        return super().apply_async(None, None, **self._routed(options))

    async def aapply_async(
        self, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> Any:
        """Do what `apply_async` does without blocking the event loop."""
        return await super().aapply_async(None, None, **self._routed(options))

    def _routed(self, options: dict[str, Any]) -> dict[str, Any]:
        """Have the call go where calls of the task itself go."""
        return {"route_name": self.kwargs["task"]["task"], **options}

    def __repr__(self) -> str:
        return f"[{self.kwargs['task']['task']}({self.shown}) for {self.shown.lstrip('*')} in {self.kwargs['it']!r}]"


@Signature.register_type()
class xmap(_Mapped):
    """Call a task with each of many arguments, in one run whose result is the list of results: ``add.map(...)``."""

    task_name = "celery.map"
    shown = "x"


@Signature.register_type()
class xstarmap(_Mapped):
    """Do what `xmap` does with tuples of arguments: ``add.starmap(...)``."""

    task_name = "celery.starmap"
    shown = "*x"


@Signature.register_type()
class chunks(Composed[Any]):
    """Divide many tuples of arguments over few messages, of `n` each: ``add.chunks(..., 10)``.

    Args:
        task: the task.
        it: its arguments.
        n: how many calls each message makes.
        options: for each message.
    """

    def __init__(self, task: Any, it: Iterable[Any], n: int, **options: Any) -> None:
        app = options.pop("app", None)
        if not isinstance(n, int) or n < 1:
            raise ValueError(f"chunks are of a whole number of calls >= 1, got {n!r}")
        call = _signature_of(task, app)
        app = app or call.app_if_any()
        kwargs = {"task": call, "it": it if isinstance(it, list) else list(it), "n": n}
        super().__init__("celery.chunks", (), kwargs, options, None, None, True, app)

    @classmethod
    def from_dict(cls, d: dict[str, Any], app: Any = None) -> Signature[Any]:
        """Make a plain call of the dict: a worker knows the task by its name."""
        return Signature({**d, "subtask_type": None}, app=app)

    @classmethod
    def apply_chunks(cls, task: Any, it: Iterable[Any], n: int, app: Any = None) -> Any:
        """Send chunks without making an object of them first."""
        return cls(task, it, n, app=app)()

    def group(self) -> groups:
        """Return the group of `xstarmap` that this is."""
        task, n = self.kwargs["task"], self.kwargs["n"]
        parts = _parts(self.kwargs["it"], n)
        return groups(
            (xstarmap(task, part, app=self._app) for part in parts),
            task_id=self.options.get("task_id") or new_id(),
            app=self._app,
        )

    def __call__(self, **options: Any) -> Any:
        """Send the messages."""
        return self.apply_async(**options)

    def apply_async(
        self, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> Any:
        """Send the messages; the result is a list of lists."""
        return self.group().apply_async(None, None, **{**self._routed(), **options})

    async def aapply_async(
        self, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> Any:
        """Do what `apply_async` does without blocking the event loop."""
        return await self.group().aapply_async(None, None, **{**self._routed(), **options})

    def apply(self, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any) -> Any:
        """Run the calls here and now."""
        return self.group().apply(None, None, **options)

    def skew(self, start: float = 1.0, stop: float | None = None, step: float = 1.0) -> groups:
        """Return the group, whose messages start one after the other; see `group.skew`."""
        return self.group().skew(start, stop, step)

    def _routed(self) -> dict[str, Any]:
        own = {name: value for name, value in self.options.items() if name != "task_id"}
        return {"route_name": self.kwargs["task"]["task"], **own}


def _signature_of(task: Any, app: Any) -> Signature[Any]:
    if isinstance(task, dict):
        return maybe_signature(task, app=app)
    return Signature(task, app=app)


def _parts(it: Iterable[Any], n: int) -> Iterator[list[Any]]:
    source = iter(it)
    while part := list(islice(source, n)):
        yield part
