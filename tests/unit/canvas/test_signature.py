from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.canvas import Signature, maybe_signature, signature
from celeriac.canvas.sender import current_sender, look_up_senders_with
from celeriac.exceptions import NotRegistered


class Call:
    """What a stub was asked to do."""

    def __init__(self, how: str, args: tuple, kwargs: dict) -> None:
        self.how, self.args, self.kwargs = how, tuple(args), dict(kwargs)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Call) and vars(self) == vars(other)

    def __repr__(self) -> str:
        return f"Call({self.how!r}, {self.args!r}, {self.kwargs!r})"

    def get(self) -> Call:
        return self


class AddTask:
    """Say how it was called, instead of being a task."""

    name = "proj.add"

    def __call__(self, *args: Any, **kwargs: Any) -> Call:
        return Call("called", args, kwargs)

    def apply_async(self, args: Any, kwargs: Any, **options: Any) -> Call:
        return Call("sent", (args, kwargs), options)

    async def aapply_async(self, args: Any, kwargs: Any, **options: Any) -> Call:
        return Call("sent", (args, kwargs), options)

    def apply(self, args: Any, kwargs: Any, **options: Any) -> Call:
        return Call("applied", (args, kwargs), options)

    def AsyncResult(self, task_id: str) -> str:  # noqa: N802 - Celery's spelling
        return f"result of {task_id}"


class Tasks(dict):
    def __missing__(self, name: str) -> Any:
        raise NotRegistered(name)


class App:
    """Be a sender that knows one task."""

    thread_oid = "the-reply-queue"

    def __init__(self) -> None:
        self.tasks = Tasks({"proj.add": AddTask()})

    def send_task(self, name: str, args: Any, kwargs: Any, **options: Any) -> Call:
        return Call(f"sent {name}", (args, kwargs), options)

    async def asend_task(self, name: str, args: Any, kwargs: Any, **options: Any) -> Call:
        return Call(f"sent {name}", (args, kwargs), options)

    def AsyncResult(self, task_id: str) -> str:  # noqa: N802 - Celery's spelling
        return f"somebody's result of {task_id}"


@pytest.fixture
def app() -> App:
    return App()


@pytest.fixture
def add(app):
    """Make signatures of a known task."""
    return lambda *args, **kwargs: Signature("proj.add", args, kwargs, app=app)


def plain(task: str = "proj.add", args: Any = (), kwargs: Any = None, options: Any = None, **more: Any) -> dict:
    parts = {"task": task, "args": args, "kwargs": kwargs or {}, "options": options or {}}
    return parts | {"subtask_type": None, "immutable": False} | more


class TestTheDict:
    def test_it_has_the_keys_of_the_wire_in_their_order(self, add):
        assert list(add(2, y=3).items()) == list(plain(args=(2,), kwargs={"y": 3}).items())

    @pytest.mark.parametrize(
        "make",
        [
            lambda: signature("proj.add", args=(2, 3), countdown=10),
            lambda: signature("proj.add", (2, 3), options={"countdown": 10}),
            lambda: Signature(AddTask(), (2, 3), countdown=10),
            lambda: Signature.from_dict(plain(args=(2, 3), options={"countdown": 10})),
            lambda: maybe_signature(plain(args=(2, 3), options={"countdown": 10})),
        ],
        ids=["name", "name and options", "task", "dict", "maybe a dict"],
    )
    def test_every_form_makes_the_same(self, make):
        made = make()

        assert type(made) is Signature
        assert made == plain(args=(2, 3), options={"countdown": 10})

    def test_what_is_missing_in_a_dict_is_filled_in(self):
        assert signature({"task": "proj.add"}) == plain()

    def test_what_is_unknown_in_a_dict_is_kept(self):
        assert signature({"task": "proj.add", "options": {"new": 1}, "more": 2}) == plain(options={"new": 1}, more=2)

    def test_its_parts_are_attributes_that_can_be_set(self, add):
        call = add(1)

        call.args, call.kwargs, call.options = (2,), {"y": 3}, {"priority": 3}
        call.id, call.root_id, call.parent_id = "x", "r", "p"
        call.task, call.immutable, call.subtask_type = "other", True, "kind"

        assert call == plain("other", (2,), {"y": 3}, call.options, immutable=True, subtask_type="kind")
        assert call.options == {"priority": 3, "task_id": "x", "root_id": "r", "parent_id": "p"}
        assert (call.name, call.id, call.root_id, call.parent_id) == ("other", "x", "r", "p")

    def test_without_an_id_it_has_none(self, add):
        assert (add().id, add().root_id, add().parent_id) == (None, None, None)

    @pytest.mark.parametrize("task", [5, None, print, {"args": [1]}])
    def test_it_needs_a_task(self, task):
        with pytest.raises(TypeError, match="needs a task or the name of one"):
            signature(task)

    @pytest.mark.parametrize("args", ["ab", b"cd", {"x": 1}])
    def test_its_args_are_no_text_and_no_dict(self, args):
        with pytest.raises(TypeError, match="args of a signature must be a list or tuple"):
            signature("proj.add", args)

    @pytest.mark.parametrize(
        ("call", "text"),
        [
            (signature("proj.task.tasks.add", args=(2, 3), countdown=10), "proj.task.tasks.add(2, 3)"),
            (signature("add", (1,), {"y": "a"}), "add(1, y='a')"),
            (signature("add", immutable=True), "add()"),
        ],
    )
    def test_it_shows_as_the_call_that_it_is(self, call, text):
        assert repr(call) == text

    def test_reprcall_shows_it_completed(self, add):
        assert add(2).reprcall(1, y=3) == "proj.add(1, 2, y=3)"
        assert add(2) == plain(args=(2,))


class TestCalling:
    def test_called_it_runs_here(self, add):
        assert add(2, y=5)(1, y=3) == Call("called", (1, 2), {"y": 3})

    def test_delay_puts_arguments_in_front(self, add):
        assert add(2).delay(1, y=3) == Call("sent", ((1, 2), {"y": 3}), {})

    def test_apply_async_merges_options(self, add):
        call = add(2).set(countdown=3, queue="q")

        assert call.apply_async((1,), countdown=4, expires=None) == Call(
            "sent", ((1, 2), {}), {"countdown": 4, "queue": "q"}
        )
        assert call.options == {"countdown": 3, "queue": "q"}

    def test_apply_runs_as_a_worker_would(self, add):
        assert add(2).apply((1,), throw=True) == Call("applied", ((1, 2), {}), {"throw": True})

    def test_tilde_sends_and_waits(self, add):
        assert ~add(1, 2) == Call("sent", ((1, 2), {}), {})

    async def test_the_async_twins_do_the_same(self, add, app):
        assert await add(2).adelay(1) == Call("sent", ((1, 2), {}), {})
        assert await add(2).aapply_async((1,), countdown=1) == Call("sent", ((1, 2), {}), {"countdown": 1})
        assert await signature("other", (1,), app=app).adelay() == Call("sent other", ((1,), {}), {})

    def test_a_task_that_is_not_known_here_is_sent_by_name(self, app):
        call = signature("other", (2,), app=app, queue="q")

        assert call.delay(1) == Call("sent other", ((1, 2), {}), {"queue": "q"})
        with pytest.raises(NotRegistered):
            call()

    def test_an_immutable_one_takes_options_only(self, app):
        call = signature("proj.add", (2,), immutable=True, app=app)

        assert call.apply_async((1,), {"y": 1}, countdown=3) == Call("sent", ((2,), {}), {"countdown": 3})
        assert call(1) == Call("called", (2,), {})

    def test_the_group_and_the_stamps_it_has_are_kept(self, add):
        call = add(1).set(group_id="g", stamped_headers=["tenant"], tenant="a")

        sent = call.apply_async(group_id="h", stamped_headers=["other"], tenant="b", priority=1)

        assert sent.kwargs == {"group_id": "g", "stamped_headers": ["tenant"], "tenant": "a", "priority": 1}

    def test_one_without_an_app_uses_the_current_one(self, app, monkeypatch):
        monkeypatch.setattr("celeriac.canvas.sender._find", current_sender)
        look_up_senders_with(lambda: app)

        assert signature("proj.add", (1,)).delay() == Call("sent", ((1,), {}), {})
        assert signature("proj.add").app is app


class TestCopies:
    def test_a_clone_is_completed_and_shares_nothing_that_changes(self, add):
        call = add(2, y={}).set(link=[{"task": "other"}], countdown=1)

        clone = call.clone((1,), {"z": 1}, countdown=2)
        clone.kwargs["more"] = 1
        clone.options["link"].append("another")

        assert clone == plain(args=(1, 2), kwargs={"y": {}, "z": 1, "more": 1}, options=clone.options)
        assert call == plain(args=(2,), kwargs={"y": {}}, options={"link": [{"task": "other"}], "countdown": 1})
        assert clone.options["countdown"] == 2

    def test_partial_is_clone(self, add):
        assert add(2).partial((1,)) == add(1, 2)

    def test_replace_puts_parts_in_place_of_its_own(self, add):
        call = add(1).set(countdown=3)

        assert call.replace(args=(5, 6)) == plain(args=(5, 6), options={"countdown": 3})
        assert call.replace(kwargs={"y": 1}, options={}) == plain(args=(1,), kwargs={"y": 1})

    @pytest.mark.parametrize(
        "duplicate",
        [copy.copy, copy.deepcopy, signature, lambda call: maybe_signature(call, clone=True)],
        ids=["copy", "deepcopy", "signature", "maybe_signature"],
    )
    def test_copies_are_signatures_of_the_same_app(self, add, app, duplicate):
        call = add(1).set(link=[add(2)])

        copied = duplicate(call)

        assert copied is not call
        assert (type(copied), copied, copied.app) == (Signature, call, app)

    def test_a_deep_copy_has_options_of_its_own(self, add):
        call = add(iter([1])).set(headers={"a": 1})

        copied = copy.deepcopy(call)
        copied.options["headers"]["a"] = 2

        assert call.options == {"headers": {"a": 1}}
        assert copied.args is call.args

    def test_pickling_keeps_the_dict(self, add):
        call = add(1).set(countdown=2)

        assert pickle.loads(pickle.dumps(call)) == call
        assert type(pickle.loads(pickle.dumps(call))) is Signature


class TestChanging:
    def test_set_is_in_place_and_chains(self, add):
        call = add(1)

        assert call.set(countdown=3, immutable=True).set(queue="q") is call
        assert call == plain(args=(1,), options={"countdown": 3, "queue": "q"}, immutable=True)

    def test_freezing_settles_the_id(self, add):
        call = add(1)

        result = call.freeze("abc", group_id="g", chord={"task": "body"}, root_id="r", parent_id="p", group_index=0)

        assert result == "result of abc"
        assert call.options == {
            "task_id": "abc",
            "root_id": "r",
            "parent_id": "p",
            "reply_to": "the-reply-queue",
            "group_id": "g",
            "chord": {"task": "body"},
            "group_index": 0,
        }

    def test_frozen_again_it_keeps_its_id_and_group(self, add):
        call = add(1)
        call.freeze("abc", group_id="g")

        assert call.freeze("def", group_id="h") == "result of abc"
        assert (call.id, call.options["group_id"]) == ("abc", "g")

    def test_frozen_without_an_id_it_gets_a_new_one(self, add, app):
        first, second = add(1), signature("other", app=app)
        results: list[Any] = [first.freeze(), second.freeze()]

        assert results == [f"result of {first.id}", f"somebody's result of {second.id}"]
        assert first.id != second.id


class TestLinks:
    def test_link_and_link_error_return_what_they_were_given(self, add):
        call, callback, errback = add(1), add(2), add(3)

        assert call.link(callback) is callback
        assert call.link_error(errback) is errback
        assert call.options == {"link": [callback], "link_error": [errback]}

    def test_the_same_one_is_linked_once(self, add):
        call = add(1)

        call.link(add(2))
        call.link(add(2))

        assert call.options["link"] == [add(2)]

    def test_the_dict_of_a_signature_is_combined_like_one(self):
        first: Signature[int] = Signature("shop.add", (1, 2))
        second: Signature[int] = Signature("shop.add", (3,))
        as_dict: Any = json.loads(json.dumps(first))

        assert repr(as_dict | second) == repr(first | second) == "shop.add(1, 2) | add(3)"
        with pytest.raises(TypeError):
            3 | second  # type: ignore[operator]

    def test_on_error_chains(self, add):
        call = add(1)

        assert call.on_error(add(2)) is call
        assert call.options == {"link_error": [add(2)]}

    def test_a_single_link_given_as_option_becomes_a_list(self, add):
        call = add(1).set(link=add(2))

        call.link(add(3))
        call.extend_list_option("link", [add(4), add(5)])
        call.extend_list_option("link_error", add(6))

        assert call.options == {"link": [add(2), add(3), add(4), add(5)], "link_error": [add(6)]}

    def test_flatten_links_finds_callbacks_of_callbacks(self, add):
        call = add(1).set(link=[add(2).set(link=add(3)), dict(add(4))])

        assert [found.args for found in call.flatten_links()] == [(1,), (2,), (3,), (4,)]
        assert all(isinstance(found, Signature) for found in call.flatten_links())


class TestTypes:
    def test_a_registered_subclass_is_made_of_its_dicts(self, monkeypatch):
        monkeypatch.setattr(Signature, "TYPES", {})

        @Signature.register_type()
        class twice(Signature):  # noqa: N801 - as Celery's own are called
            pass

        @Signature.register_type("half")
        class Half(Signature):
            @classmethod
            def from_dict(cls, d, app=None):
                return cls("halved", app=app)

        assert type(Signature.from_dict(plain(subtask_type="twice"))) is twice
        assert type(twice.from_dict(plain())) is Signature
        assert signature(plain(subtask_type="half")) == plain("halved")

    def test_a_type_that_is_not_registered_is_named(self):
        with pytest.raises(NotImplementedError, match="signatures of type 'flow' are not in this version"):
            signature(plain(subtask_type="flow"))


class TestWhatIsMissing:
    def test_combining_with_what_is_no_signature_is_a_mistake(self, add):
        with pytest.raises(TypeError, match=r"give it as a \.s\(\)"):
            add(1) | 5


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
NAMES = st.text(min_size=1).filter(lambda name: name not in ("self", "app", "task_id"))


@given(args=st.lists(JSON), kwargs=st.dictionaries(NAMES, JSON), options=st.dictionaries(NAMES, JSON))
def test_json_carries_all_of_it(args, kwargs, options):
    call = signature("a", args, kwargs, options)

    read = signature(json.loads(json.dumps(call)))

    assert json.dumps(read) == json.dumps(call)
    assert (list(read.args), read.kwargs, read.options) == (args, kwargs, options)


@given(st.lists(st.lists(st.integers())))
def test_arguments_given_step_by_step_are_those_given_at_once(steps):
    call = signature("a")
    for step in steps:
        call = call.clone(step)

    assert list(call.args) == [argument for step in reversed(steps) for argument in step]
