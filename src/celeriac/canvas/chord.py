"""Calls that run side by side, and one that gets what all of them returned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

from celeriac.canvas.composed import Several
from celeriac.canvas.group import group
from celeriac.canvas.shown import without_repeats
from celeriac.canvas.signature import Signature, maybe_signature, signature
from celeriac.canvas.stamping import StampingVisitor, merged_stamps


@Signature.register_type()
class chord(Several[Any]):
    """Send a header of calls that run side by side, and the body with the list of what they returned.

    Args:
        header: signatures, a generator of them, or a group.
        body: the call that gets the list in front of its arguments. Without it, it is given when the chord is called:
            ``chord(header)(body)``.
        args: arguments for each call of the header.
        kwargs: keyword arguments, likewise.
        options: for `apply_async`.
    """

    def __init__(
        self,
        header: Any,
        body: Any = None,
        task: str = "celery.chord",
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        app: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(
            task,
            args,
            {
                "kwargs": dict(kwargs or {}),
                "header": _header_of(_copied(header, app), app),
                "body": maybe_signature(body, app=app),
            },
            options,
            None,
            "chord",
            False,
            app,
        )

    @classmethod
    def from_dict(cls, d: dict[str, Any], app: Any = None) -> chord:
        """Make a chord of its dict, whose header is a list or a group."""
        made = cls.__new__(cls)
        Signature.__init__(made, dict(d), app=app)
        kwargs = dict(made.kwargs)
        header = kwargs.get("header")
        if isinstance(header, dict) and header.get("subtask_type") == "group":
            header = maybe_signature(header, app=app)
        else:
            header = _header_of(header or [], app)
        made["kwargs"] = {
            "kwargs": dict(kwargs.get("kwargs") or {}),
            "header": header,
            "body": maybe_signature(kwargs.get("body"), app=app),
        }
        made["options"], made["subtask_type"] = dict(made.options), "chord"
        return made

    # -- parts --------------------------------------------------------------------------------------------------

    @property
    def tasks(self) -> Any:
        """The header: a list of signatures, what reads one from a generator, or a group."""
        return self.kwargs["header"]

    @tasks.setter
    def tasks(self, value: Any) -> None:
        self.kwargs["header"] = value

    @property
    def body(self) -> Any:
        """The call that gets what the header returned, or None."""
        return self.kwargs["body"]

    @body.setter
    def body(self, value: Any) -> None:
        self.kwargs["body"] = value

    @property
    def members(self) -> Any:
        """The signatures of the header, whatever that is."""
        header = self.tasks
        return header.tasks if isinstance(header, group) else header

    def as_group(self) -> group:
        """Return the header as a group."""
        header = self.tasks
        return header if isinstance(header, group) else group(header, app=self._app)

    def header_group(self) -> group:
        """Return the header as a group, which is the header from now on."""
        header = self.tasks = self.as_group()
        return header

    def app_if_any(self) -> Any:
        """Return the app that it belongs to, or None when the current one is meant."""
        if self._app is not None:
            return self._app
        found = self.as_group().app_if_any()
        return self.body.app_if_any() if found is None and self.body is not None else found

    # -- calling ------------------------------------------------------------------------------------------------

    def __call__(self, body: Any = None, **options: Any) -> Any:
        """Send the chord, with a body if it has none."""
        return self.apply_async((), {} if body is None else {"body": body}, **options)

    def apply_async(
        self, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> Any:
        """Send the header; return the result of the body."""
        whole, kwargs = self._with_body(kwargs)
        return whole.app.canvas.send(whole, args, kwargs, options)

    async def aapply_async(
        self, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> Any:
        """Do what `apply_async` does without blocking the event loop."""
        whole, kwargs = self._with_body(kwargs)
        return await whole.app.canvas.asend(whole, args, kwargs, options)

    def apply(
        self,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        propagate: bool = True,
        **options: Any,
    ) -> Any:
        """Run the header here and now, and the body with what it returned."""
        whole, kwargs = self._with_body(kwargs)
        return whole.app.canvas.apply(whole, args, kwargs, options)

    def _with_body(self, kwargs: Mapping[str, Any] | None) -> tuple[chord, dict[str, Any]]:
        """Return the chord with the body that was given last, and the keyword arguments that are left."""
        left = dict(kwargs or {})
        body = left.pop("body", None)
        if body is None:
            return self, left
        whole = self.clone()
        whole.body = maybe_signature(body, app=self._app, clone=True)
        return whole, left

    # -- changing -----------------------------------------------------------------------------------------------

    def clone(self, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any) -> Self:
        """Return a copy whose header is to be completed by these arguments."""
        copied = super().clone(args, None, **options)
        header, body = self.tasks, self.body
        header = header.clone() if isinstance(header, group) else [each.clone() for each in header]
        given = dict(kwargs or {})
        new_body = given.pop("body", None)
        copied["kwargs"] = {
            "kwargs": {**self.kwargs["kwargs"], **given},
            "header": header,
            "body": maybe_signature(body if new_body is None else new_body, app=self._app, clone=True),
        }
        return copied

    partial = clone

    def set_immutable(self, immutable: bool) -> None:
        """Say it of the body, which is what gets a result."""
        self.body.set_immutable(immutable)

    def link(self, callback: Any) -> Any:
        """Have `callback` sent when the body succeeds."""
        if self.body is None:
            return super().link(callback)
        self.body.link(callback)
        return callback

    def link_error(self, errback: Any) -> Any:
        """Have `errback` called when a call of the header or the body fails."""
        if self.body is None:
            return super().link_error(errback)
        if self.app.conf.task_allow_error_cb_on_chord_header:
            for each in self.members:
                each.link_error(maybe_signature(errback, app=self._app, clone=True))
        self.body.link_error(errback)
        return errback

    def freeze(
        self,
        _id: str | None = None,
        group_id: str | None = None,
        chord: Any = None,
        root_id: str | None = None,
        parent_id: str | None = None,
        group_index: int | None = None,
    ) -> Any:
        """Settle all ids before anything is sent, and return the result of the body."""
        header = self.header_group()
        before = header.freeze(parent_id=parent_id, root_id=root_id)
        self.options["task_id"] = before.id
        if self.body is None:
            return before
        result = self.body.freeze(_id, root_id=root_id, chord=chord, group_id=group_id, group_index=group_index)
        follow(result, before)
        return result

    # -- stamping, copying, showing -----------------------------------------------------------------------------

    def stamp(self, visitor: StampingVisitor | None = None, append_stamps: bool = False, **headers: Any) -> Self:
        """Stamp the calls of the header, and the body; see `Signature.stamp`."""
        said = dict(headers)
        if visitor is not None:
            said = merged_stamps({}, said, visitor.on_chord_header_start(self, **headers) or {}, append=append_stamps)
        self.stamp_links(visitor, append_stamps, **said)
        for each in self.members:
            each.stamp(visitor, append_stamps, **said)
        if visitor is not None:
            visitor.on_chord_header_end(self, **said)
        if self.body is not None:
            if visitor is not None:
                said = merged_stamps({}, said, visitor.on_chord_body(self, **headers) or {}, append=append_stamps)
            self.body.stamp(visitor, append_stamps, **said)
        return self

    def __repr__(self) -> str:
        header, body = list(self.members), self.body
        if body is None:
            return f"<chord without body: {header!r}>"
        if body.get("subtask_type") == "chain" and body.tasks:
            first, *rest = body.tasks
            then = " | ".join(map(repr, rest))
            shown = f"%({first.reprcall(header)} | {then})" if rest else f"%({first.reprcall(header)})"
            return without_repeats(first["task"], shown)
        return "%" + without_repeats(body["task"], body.reprcall(header))


def follow(result: Any, before: Any) -> None:
    """Make `before` what comes before a result, and before what is known to come before that."""
    while result.parent is not None:
        result = result.parent
    result.parent = before


def _header_of(header: Any, app: Any) -> Any:
    if isinstance(header, group):
        return header.tasks if not header.options else header
    return group(header, app=app).tasks


def _copied(header: Any, app: Any) -> Any:
    """Copy the signatures of a list, which are their maker's; tasks stand for calls without arguments, as in Celery."""
    return [signature(each, app=app) for each in header] if isinstance(header, (list, tuple)) else header
