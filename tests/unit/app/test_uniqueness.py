"""Calls of unique tasks: what makes two of them the same, and what becomes of the second."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime

import pytest

from celeriac import Task
from celeriac.app.context import Context, entered
from celeriac.exceptions import UniqueConflict
from celeriac.message import OnConflict
from celeriac.wire.unique import unique_of


@pytest.fixture
def pay(app):
    @app.task(name="shop.pay", unique_for=60)
    def pay(order, amount=1, *, note=""): ...

    return pay


def waiting(app) -> int:
    return sum(depth.ready + depth.delayed for depth in app.broker.depths())


def key_of(app, task, *args, **kwargs) -> str:
    options = kwargs.pop("options", {})
    unique = app.builder.build(task, args, kwargs, options).unique
    assert unique is not None
    return unique.key


class TestTheKey:
    def test_it_begins_with_the_name_of_the_task(self, app, pay):
        assert key_of(app, pay, 7).startswith("shop.pay:")

    def test_the_same_arguments_are_the_same_however_they_are_given(self, app, pay):
        keys = {
            key_of(app, pay, 7),
            key_of(app, pay, 7, 1),
            key_of(app, pay, order=7),
            key_of(app, pay, 7, amount=1, note=""),
            key_of(app, pay, amount=1, order=7),
        }

        assert len(keys) == 1

    @pytest.mark.parametrize("other", [8, "7", 7.5, None, [7], {"7": 7}])
    def test_other_arguments_are_another(self, app, pay, other):
        assert key_of(app, pay, 7) != key_of(app, pay, other)

    def test_the_order_of_a_dict_is_nothing(self, app, pay):
        assert key_of(app, pay, {"a": 1, "b": [2]}) == key_of(app, pay, {"b": [2], "a": 1})

    def test_it_shows_nothing_of_the_arguments(self, app, pay):
        assert "hunter2" not in app.builder.build(pay, ("hunter2",), {}).unique.key

    def test_times_are_arguments_too(self, app, pay):
        assert key_of(app, pay, datetime(2026, 1, 2, tzinfo=UTC)) != key_of(app, pay, date(2026, 1, 2))

    def test_what_no_key_can_be_made_of_is_an_error_that_names_the_way_out(self, app, pay):
        with pytest.raises(TypeError, match=r"'shop.pay' has a object among its arguments.*unique_key="):
            app.builder.build(pay, (object(),), {})

    @pytest.mark.parametrize(
        ("one", "same", "other"),
        [
            ({1: "a", 2: "b"}, {2: "b", 1: "a"}, {1: "b", 2: "a"}),
            ("\ud800", "\ud800", "\ud801"),
            ([{(1, 2): {"x"}}], [{(1, 2): {"x"}}], [{(1, 2): {"y"}}]),
            ({"a", "b", "c"}, {"c", "b", "a"}, {"a", "b"}),
            (2**200, 2**200, 2**200 + 1),
        ],
    )
    def test_unusual_arguments_make_keys_too(self, app, pay, one, same, other):
        def key(argument):
            return pay.sending.unique.of_call("shop.pay", (argument,), {}).key

        app.builder.build(pay, (1,), {})

        assert key(one) == key(same) != key(other)

    def test_a_function_may_make_it(self, app):
        @app.task(name="t", unique_for=60, unique_key=lambda order, **_: order["id"])
        def task(order, at): ...

        assert key_of(app, task, {"id": 7}, at=1) == "t:7"

    def test_a_function_that_makes_no_key_is_named(self, app):
        @app.task(name="t", unique_for=60, unique_key=lambda order: None)
        def task(order): ...

        with pytest.raises(TypeError, match="unique_key of task 't' must return a text"):
            task.delay(7)

    def test_a_class_may_make_it_as_its_method(self, app):
        class Pay(Task):
            name = "by.class"
            unique_for = 60

            def run(self, order): ...

            def unique_key(self, order):
                return f"{self.name}-{order}"

        task = app.register_task(Pay)

        assert key_of(app, task, 7) == "by.class:by.class-7"

    @pytest.mark.parametrize(
        ("template", "key"),
        [("{order}-{amount}", "7-1"), ("{0}", "7"), ("all", "all"), ("{order:04}", "0007")],
    )
    def test_a_template_may_make_it(self, app, pay, template, key):
        assert key_of(app, pay, 7, options={"unique_key": template}) == f"shop.pay:{key}"

    def test_a_template_that_does_not_fit_is_an_error(self, app, pay):
        with pytest.raises(ValueError, match=r"unique_key '\{user\}' of task 'shop.pay' does not fit .* 'user'"):
            pay.apply_async((7,), unique_key="{user}")

    def test_a_long_key_is_short_and_still_its_own(self, app, pay):
        long, other = (key_of(app, pay, "x" * 5000 + end, options={"unique_key": "{order}"}) for end in "ab")

        assert len(long) < 100
        assert long != other

    def test_names_that_a_function_takes_in_kwargs_fit_templates(self, app):
        @app.task(name="t", unique_for=60, unique_key="{user}")
        def task(**kwargs): ...

        assert key_of(app, task, user="u1") == "t:u1"

    def test_calls_by_name_are_the_same_as_those_by_the_task(self, app, pay):
        assert app.builder.build("shop.pay", (7,), {}).unique.key == key_of(app, pay, 7)

    def test_a_task_that_is_not_known_here_has_keys_too(self, app):
        options = {"unique_for": 60}

        keys = [key_of(app, "elsewhere", 7, options=options), key_of(app, "elsewhere", 8, options=options)]

        assert len(set(keys)) == 2


class TestTheSecondCall:
    def test_skip_returns_the_run_that_waits(self, app, pay):
        first, second = pay.delay(7), pay.delay(7)

        assert second.id == first.id
        assert waiting(app) == 1

    def test_calls_of_other_arguments_are_published(self, app, pay):
        assert pay.delay(7).id != pay.delay(8).id
        assert waiting(app) == 2

    def test_raise_names_the_run_and_the_key(self, app, pay):
        first = pay.delay(7)

        with pytest.raises(UniqueConflict, match=first.id) as caught:
            pay.apply_async((7,), on_conflict="raise")

        assert caught.value.task_id == first.id
        assert caught.value.key == key_of(app, pay, 7)
        assert waiting(app) == 1

    def test_replace_publishes_it(self, app, pay):
        first = pay.delay(7)
        second = pay.apply_async((7,), on_conflict="replace")

        third = pay.delay(7)

        assert first.id != second.id == third.id
        assert waiting(app) == 2

    def test_a_call_may_be_unique_though_its_task_is_not(self, app):
        @app.task(name="plain")
        def plain(x): ...

        first = plain.apply_async((1,), unique_for=60)
        assert plain.apply_async((1,), unique_for=60).id == first.id
        assert plain.delay(1).id != first.id

    def test_a_call_need_not_be_unique_though_its_task_is(self, app, pay):
        pay.delay(7)

        assert app.builder.build(pay, (7,), {}, {"unique_for": 0}).unique is None
        assert pay.apply_async((7,), unique_for=0).id

    def test_a_given_id_is_a_second_call_too(self, app, pay):
        first = pay.apply_async((7,), task_id="mine")

        assert pay.apply_async((7,), task_id="other").id == first.id == "mine"

    def test_coroutines_are_told_too(self, app, pay):
        async def both():
            return [(await pay.adelay(7)).id for _ in range(2)]

        first, second = asyncio.run(both())

        assert first == second

    def test_a_batch_names_the_runs_that_there_are(self, app, pay):
        first = pay.delay(7)

        ids = app.sender.send_many(pay, [((6,), {}), ((7,), {}), ((6,), {})])

        assert ids == [ids[0], first.id, ids[0]]
        assert waiting(app) == 2

    def test_a_batch_that_raises_publishes_nothing(self, app, pay):
        pay.delay(7)

        with pytest.raises(UniqueConflict):
            app.sender.send_many(pay, [((6,), {}), ((7,), {})], {"on_conflict": "raise"})

        assert waiting(app) == 1

    def test_receivers_hear_of_what_is_published_only(self, app, pay):
        from celeriac.signals import after_task_publish

        told = []
        receiver = after_task_publish.connect(lambda headers, **_: told.append(headers["id"]), weak=False)
        try:
            first = pay.delay(7)
            pay.delay(7)
        finally:
            after_task_publish.disconnect(receiver)

        assert told == [first.id]


class TestWhatFollows:
    def run_of(self, app, pay, **more):
        message = app.builder.build(pay, (7,), {})
        headers = {"celeriac_unique": {"key": message.unique.key, "for": 60.0}, "tenant": "t"}
        return Context(id="run-1", task="shop.pay", current=pay, called_directly=False, headers=headers, **more)

    def test_the_next_attempt_keeps_the_key(self, app, pay):
        retry = app.builder.build_retry(self.run_of(app, pay), (8,), {}, None, {})

        assert retry.task_id == "run-1"
        assert retry.unique.on_conflict is OnConflict.KEEP
        assert retry.unique.key == key_of(app, pay, 7)
        assert unique_of(retry.headers) == retry.unique
        assert b'"tenant"' in retry.headers

    def test_a_callback_yields(self, app, pay):
        [callback], _ = app.canvas.following(pay.si(7), None, {}, self.run_of(app, pay))

        assert callback.unique.on_conflict is OnConflict.YIELD

    def test_a_call_with_the_headers_of_a_run_has_not_its_key(self, app, pay):
        @app.task(name="plain")
        def plain(x): ...

        with entered(self.run_of(app, pay)) as context:
            message = app.builder.build(plain, (1,), {}, {"headers": context.headers})

        assert message.unique is None
        assert b"celeriac_unique" not in message.headers
        assert b'"tenant"' in message.headers


class TestOptions:
    @pytest.mark.parametrize(
        "options",
        [{"unique_for": -1}, {"unique_for": "1"}, {"unique_key": ""}, {"unique_key": 7}, {"on_conflict": "wait"}],
    )
    def test_what_they_may_not_be_is_an_error(self, app, pay, options):
        [name] = options

        with pytest.raises(ValueError, match=name):
            app.task(name="wrong", **options)(lambda: None)
        with pytest.raises(ValueError, match=name):
            pay.apply_async((7,), **options)

    @pytest.mark.parametrize("options", [{"rate_limit": "10/d"}, {"rate_limit_scope": "world"}])
    def test_a_rate_that_is_none_is_an_error(self, app, options):
        [name] = options

        with pytest.raises(ValueError, match=name):
            app.task(name="wrong", **options)(lambda: None)

    def test_a_limit_of_the_store_warns_of_nothing(self, app, recwarn):
        app.task(name="limited", rate_limit="10/m", rate_limit_scope="global")(lambda: None)

        assert not recwarn.list
