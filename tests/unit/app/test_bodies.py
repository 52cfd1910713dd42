"""Bodies of chords, with a worker in this process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from celeriac import Celery, Task, chain, chord, group
from celeriac.app import bodies
from celeriac.app.members import JOIN_TASK, join_message
from celeriac.app.result_tree import result_from_tuple
from celeriac.brokers.joins import JoinEffects, JoinStart, Member
from celeriac.brokers.memory import MemoryBroker
from celeriac.brokers.memory.store import Store
from celeriac.exceptions import ChordError, TaskRevokedError
from celeriac.states import SUCCESS
from celeriac.testing import start_worker
from celeriac.wire.members import write_item

WITHIN = 10.0


def store_of(app: Celery) -> Store:
    broker = app.broker
    assert isinstance(broker, MemoryBroker)
    return broker.store


@pytest.fixture
def app():
    app = Celery("shop", broker=f"memory://{uuid4()}", set_as_current=False)
    store_of(app).published = []

    @app.task(name="shop.add")
    def add(x, y):
        return x + y

    @app.task(name="shop.same")
    def same(value):
        return value

    @app.task(name="shop.fail")
    def fail(*args):
        raise ValueError("no")

    return app


@pytest.fixture
def working(app) -> Iterator[Any]:
    with start_worker(app, perform_ping_check=False):
        yield app


def sig(app: Celery, name: str, *args: Any) -> Any:
    return app.tasks[f"shop.{name}"].s(*args)


def pair(app: Celery) -> list[Any]:
    return [sig(app, "add", 1, 1), sig(app, "add", 2, 2)]


def sent(app: Celery, task: str) -> int:
    headers = [msgspec.json.decode(one.headers) for one in store_of(app).published or ()]
    return sum(each["task"] == task for each in headers)


def test_a_body_is_the_child_of_the_member_that_ended_last(app):
    @app.task(bind=True, name="shop.about")
    def about(self, values):
        return [self.request.parent_id, self.request.root_id, self.request.group, self.request.chord]

    with start_worker(app, perform_ping_check=False):
        result = chord(pair(app), about.s()).delay()

        ids = [each.id for each in result.parent]
        parent_id, root_id, group_id, body = result.get(timeout=WITHIN)

    assert parent_id in ids
    assert root_id == parent_id
    assert (group_id, body) == (result.parent.id, None)


def test_a_body_that_cannot_be_sent_fails_and_says_why(working):
    working.conf.update(message_max_bytes=20_000)
    result = chord([sig(working, "same", "x" * 15_000), sig(working, "same", "x" * 15_000)], sig(working, "same"))

    with pytest.raises(ChordError, match=r"^Callback error: MessageTooLarge"):
        result.delay().get(timeout=WITHIN)


def test_a_chord_that_fails_inside_of_another_fails_that_too(working):
    inner = chord([sig(working, "add", 1, 1), sig(working, "fail")], sig(working, "same"))

    result = chord([inner, sig(working, "add", 2, 2)], sig(working, "same")).delay()

    with pytest.raises(ChordError, match=r"^Dependency (\S+) raised ChordError\(.Dependency \S+ raised ValueError"):
        result.get(timeout=WITHIN)
    assert result.parent[0].get(propagate=False).args[0].endswith("raised ValueError('no')")


def test_a_step_that_fails_in_a_header_fails_the_chord(working):
    header = [chain(sig(working, "fail"), sig(working, "same"), sig(working, "same")), sig(working, "add", 2, 2)]

    result = chord(header, sig(working, "same")).delay()

    with pytest.raises(ChordError, match=rf"^Dependency {result.parent[0].id} raised ValueError"):
        result.get(timeout=WITHIN)


def test_a_step_that_fails_before_a_chord_fails_the_one_around_it(working):
    inner = chain(sig(working, "fail"), group(pair(working)), sig(working, "same"))

    result = chord([inner, sig(working, "add", 2, 2)], sig(working, "same")).delay()

    with pytest.raises(ChordError, match=r"raised ValueError\('no'\)"):
        result.get(timeout=WITHIN)


def test_all_runs_of_a_body_fail_with_it(working):
    failing = [sig(working, "add", 1, 1), sig(working, "fail")]

    result = chord(failing, chain(sig(working, "same"), sig(working, "same"))).delay()

    for each in (result, result.parent):
        with pytest.raises(ChordError, match="raised ValueError"):
            working.AsyncResult(each.id).get(timeout=WITHIN)


def test_of_a_body_that_is_a_group_each_member_fails_with_the_error_itself_and_its_own_errbacks(app):
    told: list[Any] = []
    heard = threading.Semaphore(0)

    @app.task(name="shop.told")
    def note(task_id):
        told.append(task_id)
        heard.release()

    @app.task(name="shop.told_all")
    async def note_all(request, exc, traceback):
        told.append((request.id, request.task, repr(exc)))
        heard.release()

    with start_worker(app, perform_ping_check=False):
        failing = [sig(app, "add", 1, 1), sig(app, "fail")]
        body = group(sig(app, "same").on_error(note.s()), sig(app, "same").on_error(note_all.s()))
        result = chord(failing, body).delay()

        for each in result.results:
            with pytest.raises(ValueError, match="no"):
                each.get(timeout=WITHIN)
        assert heard.acquire(timeout=WITHIN)
        assert heard.acquire(timeout=WITHIN)
    one, other = (each.id for each in result.results)
    assert sorted(told, key=str) == sorted([one, (other, "shop.same", "ValueError('no')")], key=str)


def test_a_body_that_is_revoked_before_its_members_have_ended_is_not_sent(app):
    @app.task(name="shop.gated")
    def gated():
        gate.wait(WITHIN)

    gate = threading.Event()
    with start_worker(app, perform_ping_check=False):
        result = chord([gated.s(), sig(app, "add", 1, 1)], sig(app, "same")).delay()
        result.revoke()
        gate.set()

        with pytest.raises(TaskRevokedError):
            result.get(timeout=WITHIN)
    assert sent(app, "shop.same") == 0


def test_the_class_of_an_apps_tasks_changes_nothing_about_it_and_receivers_find_what_that_has():
    class Strict(Task):
        databases = ("default",)
        max_retries = 0

        def __call__(self, *args, **kwargs):
            if self.name == JOIN_TASK:
                raise LookupError("no tenant")
            return super().__call__(*args, **kwargs)

        def before_start(self, task_id, args, kwargs):
            if self.name == JOIN_TASK:
                raise LookupError("no tenant")

    app = Celery("shop", broker=f"memory://{uuid4()}", set_as_current=False, task_cls=Strict)
    add = app.task(name="shop.add")(lambda x, y: x + y)
    same = app.task(name="shop.same")(lambda value: value)
    with start_worker(app, perform_ping_check=False):
        assert chord([add.s(1, 1), add.s(2, 2)], same.s()).delay().get(timeout=WITHIN) == [2, 4]

    joining: Any = app.tasks[JOIN_TASK]
    assert (joining.databases, joining.max_retries, joining.app) == (("default",), None, app)


def test_a_message_that_comes_once_more_sends_nothing_once_more(working):
    result = chord(pair(working), sig(working, "same")).delay()
    assert result.get(timeout=WITHIN) == [2, 4]
    body = sig(working, "same").set(task_id=result.id)
    again = join_message(body, result.parent.id, parent_id=None, root_id=None, app=working)

    working.sender.publish([again])
    chord(pair(working), sig(working, "same")).delay().get(timeout=WITHIN)

    assert sent(working, "shop.same") == 2


def test_a_chord_of_which_nothing_is_kept_fails_in_the_end(working, monkeypatch):
    monkeypatch.setattr(bodies, "_LOOKS", 0)
    body = sig(working, "same").set(task_id="body")

    working.sender.publish([join_message(body, "gone", parent_id=None, root_id=None, app=working)])

    with pytest.raises(ChordError, match="the members of group gone are gone"):
        working.AsyncResult("body").get(timeout=WITHIN)


@pytest.mark.parametrize("ends", [True, False])
def test_a_member_that_is_missing_by_its_id_is_waited_for(working, monkeypatch, ends):
    """What Celery before 5.7 leads to, which lowers the number of members when a chain in the header sends a group."""
    monkeypatch.setattr(bodies, "_wait", lambda retries: 0.1)
    monkeypatch.setattr(bodies, "_LOOKS", 3)
    header = result_from_tuple(
        [["header", None], [[["a", None], None], [["in", None], [[["b", None], None]]]]], working
    )
    body = sig(working, "same").set(task_id="body")
    message = join_message(body, "header", parent_id=None, root_id=None, app=working)
    start = JoinStart("header", 1, None, working.write_group(header))
    first, second = (Member("header", name, 0, SUCCESS, write_item(name, SUCCESS, name)) for name in "ab")
    working.backend.join([JoinEffects(starts=(start,), counts=(first,))])

    working.sender.publish([message])
    if not ends:
        with pytest.raises(ChordError, match="member 'b' of group header has not been counted"):
            working.AsyncResult("body").get(timeout=WITHIN)
        assert working.backend.kept_join("header").is_joined
        return
    working.backend.join([JoinEffects(counts=(second,))])

    assert working.AsyncResult("body").get(timeout=WITHIN) == ["a", ["b"]]


@pytest.mark.parametrize("when", ["before its members", "behind them"])
def test_the_chord_of_a_caller_who_has_it_polled_is_joined(working, when):
    """What `chord_unlock` of Celery is sent with, in place of a join that was started."""
    body = sig(working, "same")
    body.freeze("body", group_id="header")
    members = [sig(working, "add", 1, 1), group(pair(working)), sig(working, "add", 3, 3)]
    ids = iter("abcd")
    told: list[Any] = []
    calls = []
    for index, member in enumerate(members):
        inside = list(member.tasks) if member["task"] == "celery.group" else [member]
        forms = []
        for each in inside:
            task_id = next(ids)
            calls.append(each.clone().set(task_id=task_id, group_id="header", group_index=index, chord=body))
            forms.append([[task_id, None], None])
        told.append([["inner", None], forms] if len(inside) > 1 else forms[0])

    def unlock() -> None:
        kwargs = {"interval": None, "max_retries": None, "result": told, "_chord_unlock_exchange_type": "direct"}
        working.send_task("celery.chord_unlock", ("header", dict(body)), kwargs, ignore_result=True)

    if when == "before its members":
        unlock()
    results = [each.apply_async() for each in calls]
    for each in results:
        each.get(timeout=WITHIN)
    if when != "before its members":
        unlock()

    assert working.AsyncResult("body").get(timeout=WITHIN) == [2, [2, 4], 6]


def test_a_worker_sends_chords_for_callers_who_ask_it_to(working):
    body = sig(working, "same").set(task_id="body")
    header = [dict(each) for each in pair(working)]

    working.send_task("celery.chord", (header, dict(body)), {"interval": 1, "max_retries": None}).get(timeout=WITHIN)

    assert working.AsyncResult("body").get(timeout=WITHIN) == [2, 4]


def test_errbacks_of_a_chord_are_those_of_its_members_where_a_setting_says_so(app):
    told: list[str] = []
    heard = threading.Semaphore(0)

    @app.task(name="shop.told")
    def note(task_id):
        told.append(task_id)
        heard.release()

    app.conf.task_allow_error_cb_on_chord_header = True
    with start_worker(app, perform_ping_check=False):
        whole = chord([sig(app, "fail"), sig(app, "add", 1, 1)], sig(app, "same"))
        whole.link_error(note.s())
        result = whole.delay()

        assert heard.acquire(timeout=WITHIN)
        assert heard.acquire(timeout=WITHIN)
    assert sorted(told) == sorted([result.parent[0].id, result.id])


def test_no_setting_for_all_tasks_keeps_a_chord_from_its_end(app):
    app.conf.update(
        task_annotations={"*": {"rate_limit": "1/h", "acks_late": False, "max_retries": 0}},
        task_default_rate_limit="1/h",
        task_acks_late=False,
        task_ignore_result=True,
        task_track_started=True,
        task_reject_on_worker_lost=False,
        task_acks_on_failure_or_timeout=False,
    )

    task = app.tasks["celery.join"]

    assert (task.rate_limit, task.acks_late, task.max_retries, task.ignore_result) == (0, True, None, False)
    assert (task.track_started, task.reject_on_worker_lost, task.acks_on_failure_or_timeout) == (False, True, True)
    assert app.tasks["shop.add"].rate_limit == "1/h"


def test_who_is_no_member_of_a_chord_adds_nothing(app):
    @app.task(bind=True, name="shop.adding")
    def adding(self):
        self.add_to_chord(sig(app, "same", 1))

    with start_worker(app, perform_ping_check=False):
        result = adding.delay()

        with pytest.raises(ValueError, match="is no member of a chord"):
            result.get(timeout=WITHIN)


def test_what_is_added_may_be_a_canvas_and_a_child_of_the_run(app):
    @app.task(bind=True, name="shop.adding")
    def adding(self):
        self.add_to_chord(chain(sig(app, "add", 1, 1), sig(app, "add", 10)))
        self.add_to_chord(group(pair(app)))
        return 0

    with start_worker(app, perform_ping_check=False):
        result = chord([adding.s(), sig(app, "same", 100)], sig(app, "same")).delay()

        assert sorted(result.get(timeout=WITHIN)) == [0, 2, 4, 12, 100]
        assert len(result.parent[0].children) == 2
