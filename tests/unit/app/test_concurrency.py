"""Tasks with a concurrency limit: what their calls say."""

from __future__ import annotations

import pytest

from celeriac.app.context import Context
from celeriac.wire.protocol import read_intake


def room_of(app, task, *args, **options) -> str | None:
    return read_intake(app.builder.build(task, args, {}, options)).room_key


def test_without_a_key_the_message_says_nothing(app):
    @app.task(name="t", concurrency_limit=2)
    def task(shop): ...

    assert room_of(app, task, "north") is None
    assert b"celeriac" not in app.builder.build(task, ("north",), {}).headers


@pytest.mark.parametrize("key", ["{shop}", lambda shop: shop])
def test_a_key_is_said_in_a_header(app, key):
    @app.task(name="t", concurrency_limit=2, concurrency_key=key)
    def task(shop): ...

    assert room_of(app, task, "north") == "t:north"
    assert room_of(app, task, "north", headers={"tenant": "x"}) == "t:north"


def test_a_call_may_say_another_key(app):
    @app.task(name="t", concurrency_limit=2, concurrency_key="{shop}")
    def task(shop): ...

    assert room_of(app, task, "north", concurrency_key="all") == "t:all"
    assert room_of(app, "elsewhere", "north", concurrency_key="{0}") == "elsewhere:north"


def test_a_task_may_be_unique_and_limited(app):
    @app.task(name="t", concurrency_limit=2, concurrency_key="{shop}", unique_for=60)
    def task(shop): ...

    intake = read_intake(app.builder.build(task, ("north",), {}))

    assert intake.room_key == "t:north"
    assert intake.unique_key is not None


def test_the_next_attempt_has_the_same_key(app):
    @app.task(name="t", concurrency_limit=2, concurrency_key="{shop}")
    def task(shop): ...

    run = Context(id="1", task="t", current=task, called_directly=False, headers={"celeriac_room": "t:north"})

    assert read_intake(app.builder.build_retry(run, ("south",), {}, None, {})).room_key == "t:north"


def test_a_call_with_the_headers_of_a_run_has_not_its_key(app):
    @app.task(name="other", concurrency_limit=2)
    def other(): ...

    assert room_of(app, other, headers={"celeriac_room": "t:north"}) is None


def test_a_task_with_a_limit_is_acked_after_its_run(app):
    app.conf.task_acks_late = False

    @app.task(concurrency_limit=1)
    def task(): ...

    assert task.acks_late is True


def test_a_task_with_a_limit_cannot_be_acked_before(app):
    with pytest.raises(ValueError, match="'wrong' has a concurrency_limit and acks_late=False"):
        app.task(name="wrong", concurrency_limit=1, acks_late=False)(lambda: None)


@pytest.mark.parametrize("options", [{"concurrency_limit": 0}, {"concurrency_limit": "2"}, {"concurrency_key": 7}])
def test_what_options_may_not_be_is_an_error(app, options):
    [name] = options

    with pytest.raises(ValueError, match=name):
        app.task(name="wrong", **options)(lambda: None)
