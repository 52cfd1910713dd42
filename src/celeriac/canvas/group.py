"""Calls that run side by side."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Self

from celeriac.canvas.composed import Several
from celeriac.canvas.shown import without_repeats
from celeriac.canvas.signature import Signature, maybe_signature
from celeriac.canvas.stamping import StampingVisitor, merged_stamps
from celeriac.canvas.streams import Stream
from celeriac.exceptions import CeleryWarning
from celeriac.ids import new_id


@Signature.register_type()
class group(Several[list[Any]]):
    """Send calls that run side by side; the result is the list of what they return, in their order.

    Args:
        tasks: signatures, or one list or generator of them. A generator is read while the group is sent, and of more
            than 10,000 members none is kept.
        options: for each member.
    """

    def __init__(self, *tasks: Any, **options: Any) -> None:
        app = options.pop("app", None)
        if len(tasks) == 1:
            [given] = tasks
            if isinstance(given, dict) and "task" in given:
                only = maybe_signature(given, app=app)
                if isinstance(only, group):
                    given, options = only.tasks, {**_of_members(only.options), **options}
                else:
                    given = [only]
            tasks = given
        members = _members_of(tasks, app)
        super().__init__("celery.group", (), {"tasks": members}, options, None, "group", False, app)

    @classmethod
    def from_dict(cls, d: dict[str, Any], app: Any = None) -> group:
        """Make a group of its dict."""
        made = cls.__new__(cls)
        Signature.__init__(made, dict(d), app=app)
        kwargs = dict(made.kwargs)
        kwargs["tasks"] = _members_of(kwargs.get("tasks") or (), app)
        made["kwargs"], made["options"], made["subtask_type"] = kwargs, dict(made.options), "group"
        return made

    # -- members ------------------------------------------------------------------------------------------------

    @property
    def tasks(self) -> Any:
        """The members: a list, or what reads them from a generator."""
        return self.kwargs["tasks"]

    @tasks.setter
    def tasks(self, value: Any) -> None:
        self.kwargs["tasks"] = value

    def passing(self) -> Iterator[Signature[Any]]:
        """Yield the members, without keeping those of a large generator."""
        tasks = self.tasks
        return tasks.passing() if isinstance(tasks, Stream) else iter(tasks)

    def flattened(self) -> Iterator[tuple[int, Signature[Any]]]:
        """Yield the members with their index; those of a group among them in its place, numbered from 0 again."""
        for index, member in enumerate(self.passing()):
            if isinstance(member, group):
                yield from member.flattened()
            else:
                yield index, member

    def unrolled(self) -> Iterator[Signature[Any]]:
        """Yield the members as the header of a chord has them: those of a group among them last to first.

        That is how Celery numbers them, and whose results the body gets.
        """
        passing = self.passing()
        stack: deque[Signature[Any]] = deque()
        while True:
            if not stack:
                following = next(passing, None)
                if following is None:
                    return
                stack.append(following)
            member = stack.popleft()
            if isinstance(member, group):
                stack.extendleft(member.passing())
            else:
                yield member

    def single(self) -> Signature[Any]:
        """Return the only member of a group of one, or the group itself."""
        tasks = self.tasks
        several = tasks.has_several() if isinstance(tasks, Stream) else len(tasks) != 1
        return self if several or not tasks else tasks[0]

    def skew(self, start: float = 1.0, stop: float | None = None, step: float = 1.0) -> Self:
        """Have the members start one after the other: the first after `start` seconds, each next one `step` later.

        From `stop` seconds on all start at once.
        """
        countdown = start
        for member in self.tasks:
            member.set(countdown=countdown)
            if not stop or countdown + step <= stop:
                countdown += step
        return self

    def app_if_any(self) -> Any:
        """Return the app that it belongs to, or None when the current one is meant."""
        if self._app is not None:
            return self._app
        first = self.tasks.first() if isinstance(self.tasks, Stream) else next(iter(self.tasks), None)
        return None if first is None else first.app_if_any()

    # -- calling ------------------------------------------------------------------------------------------------

    def __call__(self, *partial_args: Any, **options: Any) -> Any:
        """Send the members."""
        return self.apply_async(partial_args, **options)

    def apply_async(
        self, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> Any:
        """Send the members, each completed by these arguments and options, as batches of messages."""
        return self._checked(options).app.canvas.send(self, args, kwargs, options)

    async def aapply_async(
        self, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> Any:
        """Do what `apply_async` does without blocking the event loop."""
        return await self._checked(options).app.canvas.asend(self, args, kwargs, options)

    def apply(self, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any) -> Any:
        """Run the members here and now, one after the other."""
        said = {**_of_members(self.options), **options}
        args = self.completed(args, None, {})[0]
        results = [member.apply(args, kwargs, **said) for _, member in self.flattened()]
        return self.app.GroupResult(options.get("task_id") or self.id or new_id(), results)

    def _checked(self, options: Mapping[str, Any]) -> Self:
        if options.get("link") is not None:
            raise TypeError(
                "a group takes no link in apply_async, for no run ends it; make it a chord: group | callback"
            )
        if options.get("link_error") is not None:
            raise TypeError("a group takes no link_error in apply_async; give it to the group: group.link_error(...)")
        return self

    # -- changing -----------------------------------------------------------------------------------------------

    def clone(self, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any) -> Self:
        """Return a copy whose members are to be completed by these arguments."""
        copied = super().clone(args, None, **options)
        copied["kwargs"] = {**self.kwargs, "tasks": [member.clone(None, kwargs) for member in self.tasks]}
        return copied

    partial = clone

    def set_immutable(self, immutable: bool) -> None:
        """Say it of each member."""
        for member in self.tasks:
            member.set_immutable(immutable)

    def link(self, callback: Any) -> Any:
        """Have `callback` sent when the first member succeeds, without its result; for all of them, make a chord."""
        warnings.warn(
            "a callback linked to a group is sent when its first member has succeeded; for all members, make a chord: "
            "group | callback",
            CeleryWarning,
            stacklevel=2,
        )
        return self.tasks[0].link(maybe_signature(callback, app=self._app, clone=True).set(immutable=True))

    def link_error(self, errback: Any) -> Any:
        """Have `errback` called for each member that fails, and return what each of them has been given."""
        return tuple(member.link_error(maybe_signature(errback, app=self._app, clone=True)) for member in self.tasks)

    def freeze(
        self,
        _id: str | None = None,
        group_id: str | None = None,
        chord: Any = None,
        root_id: str | None = None,
        parent_id: str | None = None,
        group_index: int | None = None,
    ) -> Any:
        """Settle the ids of the members before they are sent, and return the result of the group."""
        options = self.options
        gid = options.setdefault("task_id", _id or new_id())
        if group_id:
            options["group_id"] = group_id
        if chord:
            options["chord"] = chord
        if group_index is not None:
            options["group_index"] = group_index
        root_id = options.setdefault("root_id", root_id)
        parent_id = options.setdefault("parent_id", parent_id)
        members = list(self.unrolled())
        results = [
            member.freeze(group_id=group_id, chord=chord, root_id=root_id, parent_id=parent_id, group_index=index)
            for index, member in enumerate(members)
        ]
        self.tasks = members
        return self.app.GroupResult(gid, results)

    # -- stamping, copying, showing -----------------------------------------------------------------------------

    def stamp(self, visitor: StampingVisitor | None = None, append_stamps: bool = False, **headers: Any) -> Self:
        """Stamp each member; see `Signature.stamp`."""
        said = dict(headers)
        if visitor is not None:
            said = merged_stamps({}, said, visitor.on_group_start(self, **headers) or {}, append=append_stamps)
        self.stamp_links(visitor, append_stamps, **said)
        for member in self.tasks:
            member.stamp(visitor, append_stamps, **said)
        if visitor is not None:
            visitor.on_group_end(self, **said)
        return self

    def __repr__(self) -> str:
        if not self.tasks:
            return "group(<empty>)"
        return f"group({without_repeats(self.tasks[0]['task'], repr(list(self.tasks)))})"


def _members_of(tasks: Iterable[Any], app: Any) -> Any:
    def read(each: Any) -> Signature[Any]:
        if not isinstance(each, dict):
            raise TypeError(f"a group is made of signatures, got {type(each).__name__} {each!r:.80}; give it as a .s()")
        return maybe_signature(each, app=app)

    if isinstance(tasks, Stream):
        return tasks
    if isinstance(tasks, (list, tuple)):
        return [read(each) for each in tasks]
    return Stream(tasks, read)


def _of_members(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return those options of a group that are for its members."""
    return {name: value for name, value in options.items() if name not in _OF_GROUP}


_OF_GROUP = frozenset({"task_id", "group_id", "group_index", "chord", "root_id", "parent_id", "link", "link_error"})
