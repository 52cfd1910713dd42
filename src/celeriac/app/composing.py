"""What consists of several calls: sent as batches of messages, or run here."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from celeriac import states
from celeriac.app.context import CHILDREN_MAX, Context, worker_context
from celeriac.app.eager_result import EagerResult
from celeriac.app.options import NOTHING_SAID, ReadOptions, read_call_options
from celeriac.app.own_sending import OwnSend, own_send_of
from celeriac.app.publishing import check_begun_in_time
from celeriac.app.result_set import ResultSet
from celeriac.app.signals import after_task_publish, before_task_publish
from celeriac.app.starting import check_joins, start_now, start_of
from celeriac.brokers.joins import JoinEffects
from celeriac.canvas.chain import Chain
from celeriac.canvas.chord import chord as chord_of
from celeriac.canvas.chord import follow
from celeriac.canvas.links import listed
from celeriac.canvas.plan import Join, Plan, Send, Step, plan
from celeriac.canvas.signature import Signature
from celeriac.exceptions import ChordError
from celeriac.ids import new_id
from celeriac.message import Message

if TYPE_CHECKING:
    from celeriac.app.announcing import Announcement
    from celeriac.app.application import Celery

BATCH_MAX: Final = 500
BATCH_MAX_BYTES: Final = 8 * 1024 * 1024
"""What is published in one go. More would not be faster, and a large group has to be held nowhere at once."""


class Composing:
    """Send and run the canvases of one app."""

    def __init__(self, app: Celery) -> None:
        self._app = app

    def check_joins(self) -> None:
        """Raise where nothing can count the members of a chord."""
        check_joins(self._app)

    # -- sending ------------------------------------------------------------------------------------------------

    def send(
        self,
        whole: Signature[Any],
        args: Sequence[Any] | None,
        kwargs: Mapping[str, Any] | None,
        options: Mapping[str, Any],
    ) -> Any:
        """Send a canvas; returning means that the broker has all messages that begin it.

        They are published in batches, but for those of tasks whose class has an `apply_async` of its own: it is called
        for each. When one of them cannot be published, those before it have been; the error says so.
        """
        if self._app.conf.task_always_eager:
            return whole.apply(args, kwargs, **options)
        parent = worker_context()
        steps = self._planned(whole, args, kwargs, options)
        published = 0
        for batch in _Batches(self._app, steps, options, parent):
            try:
                published += batch.publish()
            except Exception as error:
                if published:
                    error.add_note(f"{published} messages of this group had been published before")
                raise
        self._note(parent, steps.result, options)
        return steps.result

    async def asend(
        self,
        whole: Signature[Any],
        args: Sequence[Any] | None,
        kwargs: Mapping[str, Any] | None,
        options: Mapping[str, Any],
    ) -> Any:
        """Do what `send` does without blocking the event loop, in a thread; raises when it gets none in time."""
        import asyncio  # 30 ms that programs without coroutines need not wait for

        called_at, conf = time.monotonic(), self._app.conf

        def send_in_time() -> Any:
            if not conf.task_always_eager:
                check_begun_in_time(called_at, conf.task_publish_timeout)
            return self.send(whole, args, kwargs, options)

        return await asyncio.to_thread(send_in_time)

    def following(
        self,
        call: Signature[Any],
        args: Sequence[Any] | None,
        options: Mapping[str, Any],
        parent: Context,
        *,
        announced: bool = True,
    ) -> tuple[list[Message], Any]:
        """Make the messages of a canvas that is sent because of the run `parent`, and its result.

        Args:
            announced: receivers of signals are told of it.

        Raises:
            EncodeError: an argument cannot be carried, or an option is not what it may be.
        """
        steps = self._planned(call, args, None, options)
        messages: list[Message] = []
        for step in steps:
            if isinstance(step, Join):
                start = start_of(step, self._app, parent)
                parent.note_joins(JoinEffects(starts=(start,)))
            else:
                messages += self._app.builder.build_planned(step, parent, announced=announced)
        return messages, steps.result

    def _planned(
        self,
        call: Signature[Any],
        args: Sequence[Any] | None,
        kwargs: Mapping[str, Any] | None,
        options: Mapping[str, Any],
    ) -> _Steps:
        return _Steps(plan(call, args, kwargs, options, carries_chain=self._app.conf.task_protocol != 1))

    def _note(self, parent: Context | None, result: Any, options: Mapping[str, Any]) -> None:
        if parent is None or result is None or options.get("add_to_parent") is False:
            return
        if parent.current is not None and not parent.current.trail:
            return
        note_result(parent, result)

    # -- running here -------------------------------------------------------------------------------------------

    def apply(
        self,
        whole: Signature[Any],
        args: Sequence[Any] | None,
        kwargs: Mapping[str, Any] | None,
        options: Mapping[str, Any],
    ) -> Any:
        """Run a chain or a chord here and now."""
        own = {name: value for name, value in {**whole.options, **options}.items() if value is not None}
        if isinstance(whole, Chain):
            return self._apply_chain(whole, args, kwargs, own)
        assert isinstance(whole, chord_of)
        return self._apply_chord(whole, args, kwargs, own)

    def _apply_chain(
        self, whole: Chain, args: Sequence[Any] | None, kwargs: Mapping[str, Any] | None, own: dict[str, Any]
    ) -> Any:
        link, link_error = own.pop("link", None), own.pop("link_error", None)
        args = whole.completed(args, None, {})[0]
        steps, last = whole.prepared(args, kwargs, task_id=own.pop("task_id", None))
        if not steps:
            return None
        if link:
            steps[-1].extend_list_option("link", link)
        before: Any = None
        for step in steps:
            if link_error:
                step.extend_list_option("link_error", link_error)
            given = () if before is None else (_value_of(before),)
            ran: Any = step.apply(given, None, **_throwing(own))
            if before is not None:
                follow(ran, before)
            before = ran
            if not isinstance(ran, ResultSet) and ran.state != states.SUCCESS:
                return _ended_early(ran, last.id)
            if isinstance(ran, ResultSet) and step is not steps[-1]:
                failed = next((each for each in ran.results if each.state != states.SUCCESS), None)
                if failed is not None:
                    return _ended_early(failed, last.id)
        return before

    def _apply_chord(
        self, whole: chord_of, args: Sequence[Any] | None, kwargs: Mapping[str, Any] | None, own: dict[str, Any]
    ) -> Any:
        header = whole.as_group()
        args, kwargs = (*(args or ()), *whole.args), {**whole.kwargs["kwargs"], **(kwargs or {})}
        if whole.body is None:
            return header.apply(args, kwargs, **_throwing(own))
        group_id = header.options.get("task_id") or whole.options.get("task_id") or new_id()
        body = whole.body.clone()
        for name in ("link", "link_error"):
            if own.get(name):
                body.extend_list_option(name, listed(own[name]))
        task_id = own.get("task_id") if own.get("task_id") != whole.options.get("task_id") else None
        frozen = body.freeze(task_id)
        results = [member.apply(args, kwargs, **_throwing(own)) for member in header.unrolled()]
        before = self._app.GroupResult(group_id, results)
        values = []
        for each in results:
            failed = _failed_in(each)
            if failed is not None:
                return self._failed_chord(body, frozen.id, failed, before)
            values.append(_value_of(each))
        result = body.apply((values,), None, **_throwing(own))
        follow(result, before)
        return result

    def _failed_chord(self, body: Signature[Any], task_id: str, failed: Any, before: Any) -> Any:
        """Return the result of a chord of which a member has failed, when the errbacks of the body have been called."""
        error = ChordError(f"Dependency {failed.id} raised {failed.result!r}")
        self._app.eager.fail(body, task_id, error)
        result: EagerResult[Any] = EagerResult(task_id, error, states.FAILURE)
        result.parent = before
        return result


def note_result(parent: Context, result: Any) -> None:
    """Note what was sent among the children of a run: of a chain its first run, of a group the group."""
    while result.parent is not None:
        result = result.parent
    if not isinstance(result, ResultSet) or len(result) <= CHILDREN_MAX:
        parent.note_child(result)


class _Steps:
    """Iterate over a plan, and keep what it returns.

    Attributes:
        result: of the whole, when the plan has come to its end.
    """

    def __init__(self, planned: Plan) -> None:
        self._planned = planned
        self.result: Any = None

    def __iter__(self) -> Iterator[Step]:
        self.result = yield from self._planned


class _Batch:
    """Hold messages that are published in one go."""

    def __init__(self, app: Celery, said: ReadOptions) -> None:
        self.messages: list[Message] = []
        self.heard: list[Announcement] = []
        self.size_bytes = 0
        self._app = app
        self._said = said

    def publish(self) -> int:
        """Return how many messages were published."""
        self._app.sender.publish_batch(self.messages, self._said, self.heard)
        return len(self.messages)


class _OwnCall:
    """Hold a call that is sent by a task's own `apply_async`, or the app's own `send_task`."""

    def __init__(self, send: OwnSend, step: Send) -> None:
        self._send = send
        self._step = step

    def publish(self) -> int:
        """Return how many calls were sent. The canvas is what its caller's run lists among its children."""
        self._send(self._step.args, self._step.kwargs, **{**self._step.options, "add_to_parent": False})
        return 1


class _Batches:
    """Make messages of a plan, as many at a time as are published in one go."""

    def __init__(self, app: Celery, steps: _Steps, options: Mapping[str, Any], parent: Context | None) -> None:
        self._app = app
        self._steps = steps
        self._parent = parent
        publishing = {name: options[name] for name in _OF_PUBLISHING if options.get(name) is not None}
        self._said = read_call_options("a canvas", publishing) if publishing else NOTHING_SAID
        self._senders: dict[str, OwnSend | None] = {}

    def __iter__(self) -> Iterator[_Batch | _OwnCall]:
        batch = self._begin()
        for step in self._steps:
            if isinstance(step, Join):
                start_now(step, self._app, self._parent)
                continue
            sender = self._sender_of(step)
            if sender is not None:
                if batch.messages:
                    yield batch
                    batch = self._begin()
                yield _OwnCall(sender, step)
                continue
            message = self._app.builder.encode_planned(step, self._parent, batch.heard)
            batch.messages.append(message)
            batch.size_bytes += len(message.body)
            is_full = len(batch.messages) >= BATCH_MAX or batch.size_bytes >= BATCH_MAX_BYTES
            # Receivers of both signals (tracing) take the second to be about the same call as the first before it.
            if is_full or (before_task_publish.receivers and after_task_publish.receivers):
                yield batch
                batch = self._begin()
        if batch.messages:
            yield batch

    def _begin(self) -> _Batch:
        return _Batch(self._app, self._said)

    def _sender_of(self, step: Send) -> OwnSend | None:
        """Return what sends calls of the task in a way of its own, if anything does."""
        name = step.call["task"]
        try:
            return self._senders[name]
        except KeyError:
            return self._senders.setdefault(name, own_send_of(step.call.known_task(), name, self._app))


_OF_PUBLISHING: Final = ("timeout", "confirm_timeout", "retry", "retry_policy")


def _throwing(own: Mapping[str, Any]) -> dict[str, Any]:
    return {"throw": own["throw"]} if "throw" in own else {}


def _failed_in(result: Any) -> Any:
    if isinstance(result, ResultSet):
        return next((found for each in result.results if (found := _failed_in(each)) is not None), None)
    return None if result.state == states.SUCCESS else result


def _value_of(result: Any) -> Any:
    if isinstance(result, ResultSet):
        return [_value_of(each) for each in result.results]
    return result.get()


def _ended_early(ran: Any, task_id: str) -> Any:
    """Return the result of a chain one of whose steps has not succeeded, under the id of its last step."""
    if ran.id == task_id:
        return ran
    last: EagerResult[Any] = EagerResult(task_id, ran.result, ran.state, traceback=ran.traceback)
    last.parent = ran
    return last


__all__ = ["Composing", "Send", "note_result"]
