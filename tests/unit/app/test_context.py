from __future__ import annotations

import threading

import pytest

from celeriac import current_task
from celeriac.app.context import Context, current_context, entered, pop_context, push_context, worker_context
from celeriac.wire.protocol import read_request


@pytest.fixture
def add(app):
    @app.task(name="shop.add")
    def add(x, y=1): ...

    return add


@pytest.fixture
def context(app, add):
    options = {"headers": {"tenant": "t1"}, "priority": 4, "queue": "slow", "countdown": 60, "shadow": "Adding"}
    message = app.builder.build(add, (1,), {"y": 2}, options, task_id="run-1")
    return Context.from_request(
        read_request(message), task=add, queue="slow", hostname="w1@host", redelivered=True, crashes=2
    )


def test_it_tells_what_the_message_said(context):
    assert (context.id, context.task, context.args, context.kwargs) == ("run-1", "shop.add", [1], {"y": 2})
    assert (context.root_id, context.parent_id, context.retries) == ("run-1", None, 0)
    assert (context.shadow, context.headers, context.argsrepr) == ("Adding", {"tenant": "t1"}, "(1,)")
    assert context.eta is not None
    assert context.timelimit == (None, None)


def test_it_tells_how_the_message_came(context):
    expected = {"exchange": "", "routing_key": "slow", "priority": 4, "redelivered": True}

    assert context.delivery_info == expected
    assert (context.hostname, context.crashes) == ("w1@host", 2)
    assert (context.called_directly, context.is_eager) == (False, False)


def test_it_tells_the_properties_of_the_message(app, add):
    given = {"app_id": "shop", "message_id": "m1", "reply_to": "answers", "delivery_mode": 1, "priority": 3}
    message = app.builder.build(add, (1,), {}, given, task_id="run-1")

    context = Context.from_request(read_request(message), task=add, queue="slow")

    assert context.properties == {"correlation_id": "run-1", "delivery_info": context.delivery_info, **given}


def test_limits_are_those_of_the_message_the_task_or_the_settings(app):
    app.conf.update(task_time_limit=60, task_soft_time_limit=50)
    plain = app.task(name="shop.plain")(lambda: None)
    quick = app.task(name="shop.quick", time_limit=20, soft_time_limit=10)(lambda: None)

    def told(task, **options):
        message = app.builder.build(task, (), {}, options, task_id="run-1")
        run = Context.from_request(read_request(message), task=task, queue="celery")
        return run.time_limit, run.soft_time_limit

    assert (told(plain), told(quick), told(quick, soft_time_limit=5)) == ((60, 50), (20, 10), (20, 5))
    assert (Context(current=quick).time_limit, Context().soft_time_limit) == (None, None)


def test_custom_headers_are_attributes_too(context):
    assert (context.tenant, context.get("tenant"), context.get("nothing", 5)) == ("t1", "t1", 5)
    with pytest.raises(AttributeError, match=r"the request of 'shop\.add' has no 'nothing'"):
        _ = context.nothing


def test_a_program_may_give_it_attributes_of_its_own(context):
    context.started_at = 5.0

    assert (context.started_at, context.get("started_at"), context.headers) == (5.0, 5.0, {"tenant": "t1"})
    context.clear()
    assert not hasattr(context, "started_at")


def test_its_vars_are_what_the_message_says_and_what_a_program_has_added(context):
    context.started_at = 5.0

    said = vars(context)

    assert (said["id"], said["task"], said["tenant"], said["started_at"]) == ("run-1", "shop.add", "t1", 5.0)
    assert said["delivery_info"]["routing_key"] == "slow"
    assert not {"current", "outer", "following", "driver"} & set(said)


def test_the_runs_of_a_task_are_a_stack(app, add):
    outer, other, inner = Context(id="outer"), Context(id="other"), Context(id="inner")
    assert (add.request_stack.top, add.request_stack.stack, add.request_stack.pop()) == (None, [], None)

    add.request_stack.push(outer)
    with entered(other):
        seen = add.request_stack.top
        add.request_stack.push(inner)
        both = add.request_stack.stack, len(add.request_stack)
        left = add.request_stack.pop()
    add.request_stack.pop()

    assert (seen, both, left) == (outer, ([outer, inner], 2), inner)
    assert add.request_stack.top is None


def test_two_contexts_share_nothing(app):
    first, second = Context(), Context()

    first.children.append(app.AsyncResult("run-1"))
    first.headers["a"] = 1
    first.delivery_info["a"] = 1

    assert (second.children, second.headers, second.delivery_info) == ([], {}, {})


def test_contexts_are_entered_and_left_like_blocks():
    outer, inner = Context(id="outer"), Context(id="inner")

    token = push_context(outer)
    with entered(inner):
        innermost = current_context()
    afterwards = current_context()
    pop_context(token)

    assert (innermost, inner.outer, afterwards, current_context()) == (inner, outer, outer, None)


def test_a_context_is_left_when_the_body_raises():
    with pytest.raises(KeyError), entered(Context()):
        raise KeyError

    assert current_context() is None


def test_the_run_of_the_worker_is_seen_through_tasks_called_as_functions():
    run = Context(id="run-1", called_directly=False)

    with entered(run), entered(Context()), entered(Context()):
        assert worker_context() is run

    with entered(Context()):
        assert worker_context() is None


def test_another_thread_is_in_no_run():
    seen = []

    with entered(Context(id="run-1", called_directly=False)):
        thread = threading.Thread(target=lambda: seen.append(current_context()))
        thread.start()
        thread.join()

    assert seen == [None]


def test_the_current_task_is_the_one_whose_body_runs(app, add, context):
    outside = bool(current_task), app.current_task

    with entered(context):
        inside = current_task.request.id, app.current_task

    assert outside == (False, None)
    assert inside == ("run-1", add)
