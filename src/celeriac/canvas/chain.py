"""Calls that run one after the other, each with the result of the one before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

from celeriac.canvas.chord import chord as chord_of
from celeriac.canvas.chord import follow
from celeriac.canvas.composed import Several
from celeriac.canvas.group import group
from celeriac.canvas.links import listed
from celeriac.canvas.shown import without_repeats
from celeriac.canvas.signature import Signature, maybe_signature
from celeriac.canvas.stamping import StampingVisitor, merged_stamps


@Signature.register_type("chain")
class Chain(Several[Any]):
    """Hold the steps of a chain. Programs make one by `chain`, which knows how steps combine.

    Args:
        tasks: signatures, or one list of them.
        options: for `apply_async`.
    """

    def __init__(self, *tasks: Any, **options: Any) -> None:
        app = options.pop("app", None)
        if len(tasks) == 1 and not isinstance(tasks[0], dict):
            tasks = tuple(tasks[0])
        steps = [maybe_signature(each, app=app) for each in tasks]
        super().__init__("celery.chain", (), {"tasks": steps}, options, None, "chain", False, app)

    @classmethod
    def from_dict(cls, d: dict[str, Any], app: Any = None) -> Chain:
        """Make a chain of its dict."""
        made = Chain.__new__(Chain)
        Signature.__init__(made, dict(d), app=app)
        kwargs = dict(made.kwargs)
        kwargs["tasks"] = [maybe_signature(each, app=app) for each in kwargs.get("tasks") or ()]
        made["kwargs"], made["options"], made["subtask_type"] = kwargs, dict(made.options), "chain"
        return made

    @classmethod
    def combine(cls, *steps: Signature[Any], behind_nothing: bool = False) -> Signature[Any]:
        """Make one signature of steps that run one after the other, by Celery's rules (`_Steps`).

        Args:
            behind_nothing: they follow an empty chain, as those of `chain` do: a lone group of one is its member, and a
                lone chord a chain of one.
        """
        combined = _Steps(behind_nothing=behind_nothing)
        for each in steps:
            combined.add(each)
        return combined.whole(app=next((each._app for each in steps if each._app is not None), None))

    # -- steps --------------------------------------------------------------------------------------------------

    @property
    def tasks(self) -> Any:
        """The steps, in the order in which they run."""
        return self.kwargs["tasks"]

    @tasks.setter
    def tasks(self, value: Any) -> None:
        self.kwargs["tasks"] = value

    def unchain_tasks(self) -> list[Signature[Any]]:
        """Return copies of the steps, with the callback of the chain at the last one and its errbacks at each."""
        steps = [each.clone() for each in self.tasks]
        if steps and self.options.get("link"):
            steps[-1].extend_list_option("link", self.options["link"])
        for errback in listed(self.options.get("link_error")):
            for each in steps:
                each.link_error(errback)
        if steps and self.args:
            steps[0] = steps[0].clone(self.args)
        return steps

    def prepared(
        self,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        *,
        task_id: str | None = None,
        group_id: str | None = None,
        chord: Any = None,
        root_id: str | None = None,
        parent_id: str | None = None,
        group_index: int | None = None,
    ) -> tuple[list[Signature[Any]], Any]:
        """Return copies of the steps as they are sent, ids settled, and the result of the last one.

        A group with a step behind it has become a chord; chains in chains, and chains that are the body of a chord in
        here, are steps of this one.

        Args:
            task_id: of the last step.
            group_id, chord, group_index: likewise: the chain is a member of that group.
        """
        steps = _spread(self.tasks)
        if steps:
            steps[0] = steps[0].clone(args, kwargs)
        result = None
        last = len(steps) - 1
        for at, step in enumerate(steps):
            if at < last:
                ran = step.freeze(root_id=root_id)
            else:
                ran = step.freeze(
                    task_id,
                    group_id=group_id,
                    chord=chord,
                    root_id=root_id,
                    parent_id=parent_id if at == 0 else None,
                    group_index=group_index,
                )
            if result is not None:
                follow(ran, result)
            result = ran
        return steps, result

    def app_if_any(self) -> Any:
        """Return the app that it belongs to, or None when the current one is meant."""
        return self._app or next((app for step in self.tasks if (app := step.app_if_any()) is not None), None)

    # -- calling ------------------------------------------------------------------------------------------------

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Send the chain."""
        return self.apply_async(args, kwargs) if self.tasks else None

    def apply_async(
        self, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> Any:
        """Send the first step, completed by these arguments, which carries the others; return the last one's result."""
        return self.app.canvas.send(self, args, kwargs, options) if self.tasks else None

    async def aapply_async(
        self, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> Any:
        """Do what `apply_async` does without blocking the event loop."""
        return await self.app.canvas.asend(self, args, kwargs, options) if self.tasks else None

    def apply(self, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any) -> Any:
        """Run the steps here and now."""
        return self.app.canvas.apply(self, args, kwargs, options) if self.tasks else None

    # -- changing -----------------------------------------------------------------------------------------------

    def clone(self, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any) -> Self:
        """Return a copy whose first step is to be completed by these arguments."""
        copied = super().clone(args, None, **options)
        steps = [each.clone() for each in self.tasks]
        if steps and kwargs:
            steps[0] = steps[0].clone(None, kwargs)
        copied["kwargs"] = {**self.kwargs, "tasks": steps}
        return copied

    partial = clone

    def freeze(
        self,
        _id: str | None = None,
        group_id: str | None = None,
        chord: Any = None,
        root_id: str | None = None,
        parent_id: str | None = None,
        group_index: int | None = None,
    ) -> Any:
        """Settle the ids of all steps before they are sent, and return the result of the last one."""
        steps, result = self.prepared(
            task_id=self.options.get("task_id") or _id,
            group_id=group_id,
            chord=chord,
            root_id=root_id,
            parent_id=parent_id,
            group_index=group_index,
        )
        self.tasks = steps
        if result is not None:
            self.options["task_id"] = result.id
        return result

    # -- stamping, showing --------------------------------------------------------------------------------------

    def stamp(self, visitor: StampingVisitor | None = None, append_stamps: bool = False, **headers: Any) -> Self:
        """Stamp each step; see `Signature.stamp`."""
        said = dict(headers)
        if visitor is not None:
            said = merged_stamps({}, said, visitor.on_chain_start(self, **headers) or {}, append=append_stamps)
        self.stamp_links(visitor, append_stamps, **said)
        for step in self.tasks:
            step.stamp(visitor, append_stamps, **said)
        if visitor is not None:
            visitor.on_chain_end(self, **said)
        return self

    def __repr__(self) -> str:
        if not self.tasks:
            return f"<{type(self).__name__.lower()}@{id(self):#x}: empty>"
        return without_repeats(self.tasks[0]["task"], " | ".join(map(repr, self.tasks)))


class chain(Chain):
    """Make of calls what runs them one after the other, each with the result of the one before: ``a | b | c``.

    What is made is a chain, unless the steps come to something else: a group that is followed by another call is the
    header of a chord.

    Args:
        tasks: signatures, or one list or generator of them.
        options: for `apply_async`.
    """

    def __new__(cls, *tasks: Any, **options: Any) -> Any:
        if options or not tasks or (len(tasks) == 1 and isinstance(tasks[0], dict)):
            return super().__new__(cls)
        steps = tasks[0] if len(tasks) == 1 else tasks
        return Chain.combine(*[maybe_signature(each) for each in steps], behind_nothing=True)


class _Steps:
    """Combine signatures from left to right, in one pass. Celery's rules:

    - chains are taken apart, and a group of one member behind a step is that member;
    - a group and what follows it are a chord, a chord and what follows it a chord whose body goes on;
    - a chord and a group are a chain of the two, until something follows the group: then they are one chord, whose
      body leads to the second.
    """

    def __init__(self, *, behind_nothing: bool) -> None:
        self._behind_nothing = behind_nothing
        self._steps: list[Signature[Any]] = []
        self._alone = False  # a group or a chord, not in a chain
        self._options: dict[str, Any] | None = None

    def add(self, other: Signature[Any]) -> None:
        """Have `other` run after what there is."""
        if not self._steps:
            self._begin(other)
        elif isinstance(other, Chain):
            self._add_chain(other)
        elif isinstance(other, group):
            self._add_group(other)
        else:
            self._forget_options()
            self._add_call(other)

    def _begin(self, first: Signature[Any]) -> None:
        if isinstance(first, Chain):
            self._steps, self._options = list(first.tasks), dict(first.options)
            self._alone = False
            return
        if self._behind_nothing and isinstance(first, group):
            if not first.tasks:
                return
            first = first.single()
        self._steps = [first]
        self._alone = isinstance(first, group) or not self._behind_nothing

    def _add_chain(self, other: Chain) -> None:
        steps = other.unchain_tasks()
        if not steps:
            return
        self._forget_options()
        first = self._steps[0]
        if self._alone and isinstance(first, group):
            self._steps = [chord_of(first, body=other)]
            return
        if self._alone:
            self._steps += steps
            self._alone = False
            return
        for each in steps:
            self.add(each)

    def _add_group(self, other: group) -> None:
        is_header = self._alone and isinstance(self._steps[0], group)
        if not other.tasks and (not self._alone or is_header):
            return
        self._forget_options()
        single = other if is_header else other.single()
        if single is not other:
            self._add_call(single)
        elif is_header:
            self._steps = [chord_of(self._steps[0], body=other)]
        elif not self._alone and isinstance(self._steps[-1], chord_of):
            self._extend_body(-1, other)
        else:
            self._steps.append(other)
            self._alone = False

    def _add_call(self, other: Signature[Any]) -> None:
        tail = self._steps[-1]
        if isinstance(tail, group):
            made = chord_of(tail, body=other)
            if len(self._steps) > 1 and isinstance(self._steps[-2], chord_of):
                self._steps.pop()
                self._extend_body(-1, made)
            else:
                self._steps[-1] = made
        elif isinstance(tail, chord_of) and (self._alone or not isinstance(other, chord_of)):
            self._extend_body(-1, other)
        else:
            self._steps.append(other)
            self._alone = False

    def _extend_body(self, at: int, other: Signature[Any]) -> None:
        longer: Any = self._steps[at].clone()
        longer.body = other if longer.body is None else Chain.combine(longer.body, other)
        self._steps[at] = longer

    def _forget_options(self) -> None:
        """Put what a chain says of its last step, and of each step, to the steps, for more of them follow."""
        if self._options:
            self._steps = Chain(*self._steps, **self._options).unchain_tasks()
        self._options = None

    def whole(self, app: Any) -> Signature[Any]:
        """Return what the steps come to."""
        if self._alone and len(self._steps) == 1:
            return self._steps[0]
        made = Chain(app=app)
        made.tasks = self._steps
        if self._options:
            made.options.update(self._options)
        return made


def _spread(tasks: Iterable[Signature[Any]]) -> list[Signature[Any]]:
    """Return copies of steps as a chain sends them: nothing nested, no group that something follows."""
    flat: list[Signature[Any]] = []
    for task in tasks:
        task = task.clone()
        if isinstance(task, Chain):
            flat.extend(_spread(task.unchain_tasks()))
        elif isinstance(task, group) and not task.tasks:
            continue
        else:
            flat.append(task)
    steps: list[Signature[Any]] = []
    for task in flat:
        if steps and isinstance(steps[-1], group):
            steps[-1] = chord_of(steps[-1], body=task, app=task._app)
        else:
            steps.append(task)
    found: list[Signature[Any]] = []
    for step in steps:
        found.append(step)
        if isinstance(step, chord_of) and isinstance(step.body, Chain) and step.body.tasks:
            found.extend(_split(step, step.body))
    return found


def _split(step: chord_of, body: Chain) -> list[Signature[Any]]:
    """Leave a chord the first call of its body only, and return the others: so messages do not carry them twice."""
    first, *rest = _spread(body.unchain_tasks())
    if isinstance(first, (group, chord_of)):
        return []
    step.body = first
    return rest
