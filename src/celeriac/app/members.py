"""What members of chords report when they end, and the internal message that goes out when all of them have.

The message has the id of the body, its place in a chord around it, and its errbacks and what follows it. So whatever
ends the message without a body, a failed member, a revocation, a dead letter, ends the body, by the rules for any run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec

from celeriac.brokers.joins import JOINS_QUEUE, Member
from celeriac.canvas.links import listed
from celeriac.canvas.places import Place, places_of
from celeriac.exceptions import EncodeError
from celeriac.message import Message
from celeriac.states import SUCCESS
from celeriac.wire.forms import RecordForm
from celeriac.wire.members import write_item
from celeriac.wire.protocol import Call, write_message
from celeriac.wire.results import exception_map
from celeriac.wire.unique import OUR_HEADERS

if TYPE_CHECKING:
    from celeriac.app.application import Celery

JOIN_TASK: Final = "celery.join"
"""The task of internal messages. No other program has one of that name; its prefix says that every app has it."""

_TEMPLATES_MAX: Final = 100
"""Chords whose internal message is kept to be written for the next member of it."""

_PARENT: Final = "celeriac:parent"
_ROOT: Final = "celeriac:root"
_PARENT_WRITTEN: Final = b'"celeriac:parent"'
_ROOT_WRITTEN: Final = b'"celeriac:root"'

_COMPOSED: Final = frozenset({"chain", "group", "chord"})


class MemberRun(Protocol):
    """Be a run as these functions see it: a context, or a request that was read."""

    id: Any
    group: Any
    group_index: Any
    chord: Any
    chain: Any
    root_id: Any
    headers: Any


def reports(run: MemberRun) -> bool:
    """Say whether a run is the member of a chord."""
    return bool(run.chord) and isinstance(run.group, str)


class Members:
    """Say what members of chords report, for one app.

    Args:
        form: how items are written.
    """

    def __init__(self, app: Celery, form: RecordForm) -> None:
        self._app = app
        self._form = form
        self._templates: dict[str, Message] = {}

    def succeeded(self, run: MemberRun, value: Any) -> Member:
        """Return what a member reports that returned `value`.

        Raises:
            EncodeError: the value, or the body, cannot be carried.
        """
        return self._member(_own_place(run), run, SUCCESS, write_item(run.id, SUCCESS, value, self._form))

    def failed(self, run: MemberRun, state: str, error: BaseException) -> tuple[Member, ...]:
        """Return what is reported because a run has not succeeded: by it, and by the steps that would have followed."""
        places = [_own_place(run)] if reports(run) else []
        places += [place for step in run.chain or () if isinstance(step, Mapping) for place in places_of(step)]
        if not places:
            return ()
        shown = exception_map(error, self._form)
        members = []
        for place in places:
            item = write_item(place.task_id, state, shown, self._form)
            try:
                members.append(self._member(place, run, state, item))
            except EncodeError:  # somebody else has to tell what the body is
                members.append(Member(place.group_id, place.task_id, place.place, state, item))
        return tuple(members)

    def _member(self, place: Place, run: MemberRun, state: str, item: bytes) -> Member:
        template = self._templates.get(place.group_id)
        if template is None:
            template = join_message(
                place.chord, place.group_id, parent_id=_PARENT, root_id=_ROOT, headers=run.headers, app=self._app
            )
            if len(self._templates) >= _TEMPLATES_MAX:
                self._templates.clear()
            self._templates[place.group_id] = template
        # 30 of 33 us of a member went into writing its body anew for each.
        headers = template.headers.replace(_PARENT_WRITTEN, b'"%b"' % run.id.encode(), 1)
        headers = headers.replace(_ROOT_WRITTEN, b'"%b"' % (run.root_id or run.id).encode(), 1)
        message = msgspec.structs.replace(template, headers=headers)
        return Member(place.group_id, place.task_id, place.place, state, item, message)


def join_message(
    body: Mapping[str, Any],
    group_id: str,
    *,
    parent_id: str | None,
    root_id: str | None,
    headers: Mapping[str, Any] | None = None,
    app: Celery,
) -> Message:
    """Make the internal message of a chord.

    Args:
        body: the signature, with its ids.
        group_id: of the header.
        parent_id: the run because of which it goes out.
        root_id: first run of the workflow.
        headers: custom ones of a member. What it was called within (a trace, a tenant) is what the body is called
            within, whose message is made elsewhere.

    Raises:
        EncodeError: the body cannot be carried.
    """
    options = body.get("options") or {}
    task_id = options.get("task_id")
    place: dict[str, Any] = {}
    behind: list[Any] = listed(options.get("chain"))
    if body.get("subtask_type") in _COMPOSED:
        behind = [*behind, body]  # all that is in it reports and fails like steps that would have followed
    elif options.get("chord") and options.get("group_id"):
        place = {"chord": options["chord"], "group": options["group_id"], "group_index": options.get("group_index")}
    call = Call(
        task=JOIN_TASK,
        id=task_id if isinstance(task_id, str) else group_id,
        queue=JOINS_QUEUE,
        kwargs={"group_id": group_id, "body": body},
        kwargsrepr=f"{{'group_id': {group_id!r}, 'body': {body.get('task')}}}",
        errbacks=_errbacks_of(body) or None,
        chain=behind or None,
        root_id=options.get("root_id") or root_id,
        parent_id=parent_id,
        ignore_result=options.get("ignore_result"),
        headers={name: value for name, value in (headers or {}).items() if name not in OUR_HEADERS} or None,
        **place,
    )
    *attempts, last = _attempts_at(call, app.conf.task_serializer)
    for attempt in attempts:
        try:
            return write_message(attempt, origin=app.builder.origin, limits=app.conf.limits)
        except EncodeError:
            continue
    return write_message(last, origin=app.builder.origin, limits=app.conf.limits)


def _attempts_at(call: Call, serializer: str) -> Iterator[Call]:
    """Return a call as it is to be written, and as it may be where that cannot be: its chord must come to an end."""
    yield call
    if serializer != call.serializer:
        call = msgspec.structs.replace(call, serializer=serializer)
        yield call
    if call.headers:  # with the message's own they may be too much
        yield msgspec.structs.replace(call, headers=None)


def _errbacks_of(body: Mapping[str, Any]) -> list[Any]:
    """Return the errbacks of a body; of a chain that has none itself those of its first step, which gets no value."""
    errbacks = listed((body.get("options") or {}).get("link_error"))
    steps = (body.get("kwargs") or {}).get("tasks") if body.get("subtask_type") == "chain" else None
    return errbacks or (_errbacks_of(steps[0]) if steps else [])


def _own_place(run: MemberRun) -> Place:
    index = run.group_index if isinstance(run.group_index, int) else None
    return Place(run.id, run.chord, run.group, index)
