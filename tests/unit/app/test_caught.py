"""Tasks and apps that send calls in a way of their own, as classes of users do."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from celeriac import Celery, Task, chain, chord, group
from celeriac.app.context import Context
from celeriac.app.follow import after_success
from celeriac.exceptions import EncodeError
from celeriac.testing import start_worker
from celeriac.wire.protocol import read_request
from tests.unit.app.messages import arguments_of, headers_of

WITHIN = 10.0


class Told(Task):
    """Say in a header who has sent a call."""

    def apply_async(self, args=None, kwargs=None, **options):  # type: ignore[override]  # as users do
        options["headers"] = {**(options.get("headers") or {}), "by": "task"}
        return super().apply_async(args, kwargs, **options)


class TellingApp(Celery):
    def send_task(self, name, args=None, kwargs=None, **options):
        options["headers"] = {**(options.get("headers") or {}), "through": "app"}
        return super().send_task(name, args, kwargs, **options)


@pytest.fixture
def telling() -> Iterator[Celery]:
    with TellingApp("shop", broker=f"memory://{uuid4()}", set_as_current=False) as app:
        yield app


def task_of(app: Celery, name: str, base: type[Task[..., Any]] | None = None) -> Task[..., Any]:
    @app.task(name=name, base=base, bind=True)
    def seen(self, *args):
        return [self.request.get("by"), self.request.get("through")]

    return seen


def followed_by(app: Celery, call: Any, value: Any = 3) -> list[Any]:
    context = Context(id="run-1", root_id="root-1", task="shop.pay", called_directly=False, callbacks=[dict(call)])
    return after_success(context, value, sender=app.sender)


def test_what_follows_a_run_is_sent_by_the_tasks_own_apply_async(app):
    pay = task_of(app, "shop.told", Told)

    [message] = followed_by(app, pay.s(10).set(task_id="mine", priority=4, queue="q"))

    headers = headers_of(message)
    assert (headers["by"], headers["parent_id"], headers["root_id"]) == ("task", "run-1", "root-1")
    assert (message.task_id, message.priority, message.queue) == ("mine", 4, "q")
    assert arguments_of(message) == ([3, 10], {})


def test_nothing_of_it_is_published_before_the_outcome(app, sent):
    pay = task_of(app, "shop.told", Told)

    followed_by(app, pay.s())

    assert sent() == []


def test_arguments_that_do_not_fit_are_for_the_run_to_refuse(app):
    @app.task(name="shop.one", base=Told)
    def one(x): ...

    [message] = followed_by(app, one.s(1, 2, 3))

    assert arguments_of(message) == ([3, 1, 2, 3], {})


def test_a_class_may_hand_on_by_place_what_celery_has_there(app):
    class Placed(Task):
        def apply_async(self, args=None, kwargs=None, task_id=None, producer=None, link=None, *more, **options):
            placed: Any = super().apply_async
            return placed(args, kwargs, task_id, producer, link, None, "Paying", *more, **options)

    pay = task_of(app, "shop.placed", Placed)

    [message] = followed_by(app, pay.s().set(link=pay.s(), priority=2))

    assert (headers_of(message)["shadow"], message.priority) == ("Paying", 2)
    request: Any = read_request(message)
    assert request.callbacks[0]["task"] == "shop.placed"
    with pytest.raises(TypeError, match="options are given by name"):
        pay.apply_async((), None, None, None, None, "one too many")  # type: ignore[call-overload]
    plain: Any = task_of(app, "shop.plain")
    with pytest.raises(TypeError, match="got link by place and by name"):
        plain.apply_async((), None, None, None, pay.s(), link=pay.s())


def test_a_task_that_sends_nothing_is_followed_by_nothing(app):
    class Silent(Task):
        def apply_async(self, args=None, kwargs=None, **options):  # type: ignore[override]  # as users do
            return self.AsyncResult("another")

    assert followed_by(app, task_of(app, "shop.silent", Silent).s()) == []


def test_a_task_that_sends_a_call_twice_is_followed_by_both(app, sent):
    class Mirrored(Task):
        def apply_async(self, args=None, kwargs=None, **options):  # type: ignore[override]  # as users do
            super().apply_async(args, kwargs, **{**options, "queue": "mirror"})
            return super().apply_async(args, kwargs, **options)

    messages = followed_by(app, task_of(app, "shop.mirrored", Mirrored).s().set(task_id="mine"))

    assert [(each.task_id, each.queue) for each in messages] == [("mine", "mirror"), ("mine", "celery")]
    assert sent() == []


def test_a_call_that_is_sent_with_another_id_is_published_at_once(app, sent):
    class Renamed(Task):
        def apply_async(self, args=None, kwargs=None, task_id=None, **options):
            return super().apply_async(args, kwargs, task_id=f"{task_id}-again", **options)

    call = task_of(app, "shop.renamed", Renamed).s().set(task_id="mine")

    assert followed_by(app, call) == []
    assert [(each.task_id, headers_of(each)["parent_id"]) for each in sent()] == [("mine-again", "run-1")]


class Awaited(Task):
    async def apply_async(self, args=None, kwargs=None, **options):  # type: ignore[override]  # as users may try
        return await super().aapply_async(args, kwargs, **options)


def test_coroutines_send_by_an_aapply_async_of_its_own(app, sent):
    class Awaiting(Task):
        async def aapply_async(self, args=None, kwargs=None, **options):  # type: ignore[override]  # as users do
            return await super().aapply_async(args, kwargs, **{**options, "priority": 7})

    call = task_of(app, "shop.awaiting", Awaiting)

    asyncio.run(call.adelay())
    asyncio.run(call.s().adelay())

    assert [each.priority for each in sent()] == [7, 7]


def test_a_coroutine_that_would_send_a_call_fails_the_run(app):
    with pytest.raises(EncodeError, match=r"'shop\.awaited' is a coroutine function"):
        followed_by(app, task_of(app, "shop.awaited", Awaited).s())


def test_a_coroutine_that_would_send_a_member_of_a_group_is_refused(app):
    with pytest.raises(TypeError, match=r"'shop\.awaited' is a coroutine function"):
        group(task_of(app, "shop.awaited", Awaited).s()).delay()


def test_other_calls_of_such_a_task_are_published(app, sent):
    other = app.task(name="shop.other")(lambda: None)

    class Notes(Told):
        def apply_async(self, args=None, kwargs=None, **options):  # type: ignore[override]  # as users do
            other.delay()
            return super().apply_async(args, kwargs, **options)

    [message] = followed_by(app, task_of(app, "shop.notes", Notes).s())

    assert headers_of(message)["task"] == "shop.notes"
    assert [headers_of(each)["task"] for each in sent()] == ["shop.other"]


def test_what_such_a_task_raises_fails_the_run(app):
    class Once(Task):
        def apply_async(self, args=None, kwargs=None, **options):  # type: ignore[override]  # as users do
            raise LookupError("queued already")

    with pytest.raises(EncodeError, match=r"'shop\.once', which follows run-1, cannot be sent: queued already"):
        followed_by(app, task_of(app, "shop.once", Once).s())


def test_all_calls_go_through_a_send_task_of_the_apps_own(telling):
    plain, told = task_of(telling, "shop.plain"), task_of(telling, "shop.told", Told)
    calls = [
        plain.delay,
        told.delay,
        lambda: plain.s().apply_async(),
        lambda: telling.send_task("shop.plain"),
        lambda: chain(plain.s(), told.s()).delay(),
        lambda: chain(plain.s(), plain.s(), told.s()).delay(),
        lambda: chord([plain.s(), plain.s()], told.s()).delay(),
    ]

    with start_worker(telling, perform_ping_check=False):
        seen = [call().get(timeout=WITHIN) for call in calls]
        of_group = group(plain.s(), told.s()).delay().get(timeout=WITHIN)

    by_nobody, by_task = [None, "app"], ["task", "app"]
    assert seen == [by_nobody, by_task, by_nobody, by_nobody, by_task, by_task, by_task]
    assert of_group == [by_nobody, by_task]


def test_a_send_task_that_was_patched_is_called_too(app, monkeypatch, sent):
    seen = []
    plain, send_task = task_of(app, "shop.plain"), Celery.send_task

    def patched(self: Celery, *args: Any, **options: Any) -> Any:
        seen.append(args[0])
        return send_task(self, *args, **options)

    monkeypatch.setattr(Celery, "send_task", patched)
    plain.delay(1)

    assert (seen, len(sent())) == (["shop.plain"], 1)


def test_it_gets_the_task_and_its_options_and_arguments_are_checked_before(telling):
    @telling.task(name="shop.one", ignore_result=True, priority=3)
    def one(x): ...

    with pytest.raises(TypeError):
        one.delay()
    assert one.delay(1).ignored is True


def test_calls_of_the_headers_of_a_chord_are_what_the_body_is_called_within(app):
    tenants = []

    @app.task(name="shop.member", bind=True)
    def member(self):
        return self.request.get("tenant")

    @app.task(name="shop.body")
    def body(values):
        return values

    from celeriac.signals import task_prerun

    def note(task, **_):
        tenants.append((task.name, task.request.get("tenant")))

    task_prerun.connect(note)
    try:
        with start_worker(app, perform_ping_check=False):
            header = [member.s().set(headers={"tenant": "t1"}) for _ in range(2)]
            assert chord(header, body.s()).delay().get(timeout=WITHIN) == ["t1", "t1"]
    finally:
        task_prerun.disconnect(note)

    assert dict(tenants)["celery.join"] == "t1"
    assert dict(tenants)["shop.body"] is None
