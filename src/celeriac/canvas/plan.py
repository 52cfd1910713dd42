"""What a canvas comes to when it is sent: messages, and joins to start. Pure; all ids are settled before."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from celeriac.canvas.chain import Chain
from celeriac.canvas.chord import chord as chord_of
from celeriac.canvas.chord import follow
from celeriac.canvas.group import group
from celeriac.canvas.links import listed
from celeriac.canvas.packed import PackedIds
from celeriac.canvas.signature import Signature, maybe_signature
from celeriac.ids import new_id


class Send(NamedTuple):
    """Send one call.

    Attributes:
        call: whose task it is.
        args: all its positional arguments.
        kwargs: all its keyword arguments.
        options: of the call, with its ``task_id``.
    """

    call: Signature[Any]
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    options: dict[str, Any]


class Join(NamedTuple):
    """Wait for the members of a chord, and then send its body. Comes before the last message of the header.

    Attributes:
        group_id: of the header; the messages of its members carry it.
        body: frozen; its id is that of the chord's result.
        size: members that will report.
        header: result of the header.
    """

    group_id: str
    body: Signature[Any]
    size: int
    header: Any


Step: TypeAlias = Send | Join
Plan: TypeAlias = Generator[Step, None, Any]
"""Yields what is to be done, in this order; returns the result of the whole."""

Args: TypeAlias = Sequence[Any] | None
Kwargs: TypeAlias = Mapping[str, Any] | None

_OF_WHOLE: Final = frozenset({"task_id", "group_id", "group_index", "chord"})
_OF_BODY: Final = _OF_WHOLE | {"chain", "link", "link_error", "interval", "max_retries"}
_OF_HEADER: Final = frozenset({"task_id", "countdown", "eta", "interval", "max_retries"})


def plan(
    whole: Signature[Any],
    args: Sequence[Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
    *,
    carries_chain: bool = True,
) -> Plan:
    """Plan how a signature is sent.

    Args:
        whole: what is sent; it is not changed.
        args: come in front of the arguments of the first calls.
        kwargs: likewise.
        options: of this sending; None among them are not given.
        carries_chain: messages have a place for the steps that follow (protocol 2); else they are callbacks.

    Raises:
        NotImplementedError: a chord, in an app whose results cannot be joined.
    """
    said = {name: value for name, value in (options or {}).items() if value is not None}
    match whole:
        case Chain():
            return _chain(whole, args, kwargs, said, carries_chain)
        case group():
            return _group(whole, args, kwargs, said, carries_chain)
        case chord_of():
            return _chord(whole, args, kwargs, said, carries_chain)
    return _call(whole, args, kwargs, said)


def _call(
    call: Signature[Any], args: Sequence[Any] | None, kwargs: Mapping[str, Any] | None, said: Mapping[str, Any]
) -> Plan:
    args, kwargs, options = call.completed(args, kwargs, said)
    task_id = options.get("task_id") or new_id()
    yield Send(call, args, kwargs, {**options, "task_id": task_id})
    return call.AsyncResult(task_id)


def _chain(whole: Chain, args: Args, kwargs: Kwargs, said: Mapping[str, Any], carries: bool) -> Plan:
    own = {**whole.options, **said}
    args = whole.completed(args, None, {})[0]
    steps, result = whole.prepared(
        args,
        kwargs,
        **{name: own.pop(name, None) for name in ("task_id", "group_id", "chord", "group_index")},
        root_id=own.get("root_id"),
        parent_id=own.get("parent_id"),
    )
    behind = listed(own.pop("chain", None))
    link, link_error = listed(own.pop("link", None)), listed(own.pop("link_error", None))
    if not steps:
        return None
    if any(isinstance(step, chord_of) for step in steps):  # said now, and not when the chain has come to it
        whole.app.canvas.check_joins()
    if link_error:
        for step in steps:
            step.extend_list_option("link_error", link_error)
    if link:
        steps[-1].extend_list_option("link", link)
    first, *rest = steps
    if carries:
        own["chain"] = [*behind, *reversed(rest)]
    else:
        for before, after in reversed(list(zip(steps, [*rest, *reversed(behind)], strict=False))):
            before.link(after)
    yield from plan(first, None, None, own, carries_chain=carries)
    return result


def _group(whole: group, args: Args, kwargs: Kwargs, said: Mapping[str, Any], carries: bool) -> Plan:
    own = {**whole.options, **said}
    behind = listed(own.get("chain"))
    if behind:  # it was the last step of its own chain, and is not of the one that it has come into
        *others, following = behind
        longer = chord_of(whole, body=maybe_signature(following, app=whole.given_app, clone=True), app=whole.given_app)
        return (yield from plan(longer, args, kwargs, {**said, "chain": others}, carries_chain=carries))
    group_id = own.get("task_id") or new_id()
    chord = own.get("chord")
    shared = {name: value for name, value in own.items() if name not in _OF_WHOLE and value is not None}
    args = whole.completed(args, None, {})[0]
    found = _Found()
    for index, member in whole.flattened():
        place = {"group_id": group_id, "group_index": index, "chord": chord}
        yield from _member(member, args, kwargs, shared, place, found, carries)
    return found.only_group() or found.result(whole, group_id)


def _chord(
    whole: chord_of,
    args: Sequence[Any] | None,
    kwargs: Mapping[str, Any] | None,
    said: Mapping[str, Any],
    carries: bool,
) -> Plan:
    header = whole.as_group()
    own = {**whole.options, **said}
    args, kwargs = (*(args or ()), *whole.args), {**whole.kwargs["kwargs"], **(kwargs or {})}
    if whole.body is None:
        own.pop("task_id", None)
        return (yield from plan(header, args, kwargs, {**own, **said}, carries_chain=carries))
    whole.app.canvas.check_joins()
    group_id = header.options.get("task_id") or whole.options.get("task_id") or new_id()
    body = _frozen_body(whole, own, said.get("task_id"), group_id)
    shared = {name: value for name, value in own.items() if name not in _OF_BODY and value is not None}
    shared = {**_shared_of(header), **shared}
    found = _Found()

    def members() -> Iterator[Send]:
        for index, member in enumerate(header.unrolled()):
            place = {"group_id": group_id, "group_index": index, "chord": body}
            for step in _member(member, args, kwargs, shared, place, found, carries):
                if isinstance(step, Join):
                    inner.append(step)
                else:
                    yield step

    inner: list[Join] = []
    last: Send | None = None
    for each in members():
        if last is not None:
            yield last
        yield from inner
        inner.clear()
        last = each
    yield from inner
    before = found.result(whole, group_id)
    result = body.freeze()
    follow(result, before)
    if last is None:
        yield from plan(body, ([],), carries_chain=carries)
    else:
        yield Join(group_id, body, found.size, before)
        yield last
    return result


def _frozen_body(whole: chord_of, own: Mapping[str, Any], task_id: str | None, group_id: str) -> Signature[Any]:
    """Return a copy of the body that knows what follows the chord, with its id settled."""
    body: Signature[Any] = whole.body.clone()
    for name, value in own.items():
        if name in ("link", "link_error"):
            body.extend_list_option(name, value)
        elif name == "chain":
            if value:
                body.options["chain"] = [*listed(value), *listed(body.options.get("chain"))]
        elif name not in _OF_HEADER:
            body.options[name] = value
    chord = body.options.get("chord")
    # A group that something follows becomes a header itself: its members are to say that, and no other group.
    is_header = isinstance(body, group) and bool(body.options.get("chain"))
    body.freeze(task_id, group_id=None if is_header else group_id, root_id=own.get("root_id"), chord=chord)
    return body


def _shared_of(header: group) -> dict[str, Any]:
    return {
        name: value
        for name, value in header.options.items()
        if name not in _OF_BODY and name not in ("root_id", "parent_id") and value is not None
    }


class _Found:
    """Gather the results of the members of a group: of most only the ids."""

    def __init__(self) -> None:
        self.size = 0
        self._ids = PackedIds()
        self._others: dict[int, Any] = {}

    def add(self, found: Any, size: int) -> None:
        self.size += size
        if not isinstance(found, str):
            self._others[len(self._ids)] = found
            found = found.id
        self._ids.append(found)

    def only_group(self) -> Any:
        """Return the result of the only member where that ends in a group: it is that of the whole, as in Celery."""
        only = self._others.get(0) if len(self._ids) == 1 else None
        return only if hasattr(only, "results") else None

    def result(self, whole: Signature[Any], group_id: str) -> Any:
        return whole.app.GroupResult.of_ids(group_id, self._ids, self._others)


def _member(
    member: Signature[Any],
    args: Sequence[Any] | None,
    kwargs: Mapping[str, Any] | None,
    shared: Mapping[str, Any],
    place: Mapping[str, Any],
    found: _Found,
    carries: bool,
) -> Plan:
    """Plan one member of a group or header; what it says of its own place stands."""
    if not isinstance(member, (Chain, chord_of, group)):
        args, kwargs, options = member.completed(args, kwargs, shared)
        options = {**{name: value for name, value in place.items() if value is not None}, **options}
        task_id = options.get("task_id") or new_id()
        yield Send(member, args, kwargs, {**options, "task_id": task_id})
        found.add(task_id, 1)
        return
    member = member.clone(args, kwargs)
    result = member.freeze(root_id=shared.get("root_id"), **place)
    if result is None:
        return
    said = dict(shared)
    if isinstance(member, chord_of):
        said = {"add_to_parent": False, "root_id": None, **shared}
        member.body.options.update(said)
    yield from plan(member, None, None, said, carries_chain=carries)
    found.add(result, size_of(member))


def size_of(call: Signature[Any]) -> int:
    """Return how many runs of a call in a header report to its chord."""
    match call:
        case Chain():
            sizes = (size_of(step) for step in reversed(call.tasks))
            return next((size for size in sizes if size), 0)
        case group():
            return sum(size_of(member) for member in call.tasks)
        case chord_of():
            return size_of(call.body)
    return 1
