"""Canvases on a live node: what they come to, and what becomes of those of which a step fails."""

from __future__ import annotations

import asyncio
import doctest
from functools import partial
from typing import Any

import pytest

from celeriac import chain, chord, group, signature
from celeriac.app.group_result import GroupResult
from celeriac.canvas import Signature, xstarmap
from tests.integration.project import Project, wait_until

WITHIN = 20.0

TASKS = """
from celeriac import chain, group


@app.task
def plus(x, y):
    return x + y


@app.task
def times(x, y):
    return x * y


@app.task
def same(value):
    return value


@app.task
def fail(*args):
    raise ValueError("boom")


@app.task(bind=True)
def replaced(self, x):
    raise self.replace(chain(plus.s(x, 1), times.s(10)))


@app.task(bind=True)
def spawn(self):
    plus.delay(1, 1)
    group(plus.s(2, 2), plus.s(3, 3)).apply_async()
    chain(plus.s(1, 1), times.s(2)).delay()


@app.task(bind=True)
def place(self, *args):
    request = self.request
    return [len(request.chain or ()), request.group, request.group_index, request.root_id, request.parent_id]
"""


def test_canvases_come_to_what_they_say(project: Project):
    project.use_also(TASKS)
    project.start()
    call = caller(project)

    sent = {
        "chain": chain(call("plus", 1), call("plus", 3)).delay(3),
        "group": group(call("plus", i, i) for i in range(10)).delay(),
        "group at the end": chain(call("plus", 1, 1), group(call("plus", 1), call("plus", 2))).delay(),
        "nested": group(
            call("plus", 1, 1), group(call("plus", 2, 2)), chain(call("plus", 3, 3), call("times", 2))
        ).delay(),
        "one call for many": xstarmap(call("plus"), zip(range(3), range(3), strict=True)).delay(),
        "replaced": call("replaced", 4).delay(),
        "replaced in a chain": chain(call("replaced", 4), call("plus", 1)).delay(),
        "immutable": chain(call("plus", 1, 1), call("plus", 5, 5).set(immutable=True)).delay(),
    }

    assert {name: result.get(timeout=WITHIN) for name, result in sent.items()} == {
        "chain": 7,
        "group": [0, 2, 4, 6, 8, 10, 12, 14, 16, 18],
        "group at the end": [3, 4],
        "nested": [2, 4, 12],
        "one call for many": [0, 2, 4],
        "replaced": 50,
        "replaced in a chain": 51,
        "immutable": 10,
    }


def test_who_waits_for_a_chain_that_fails_is_told_whichever_step_he_knows(project: Project):
    project.use_also(TASKS)
    project.start()
    call = caller(project)

    last = chain(call("plus", 1, 1), call("fail"), call("same"), group(call("same"), call("same"))).delay()

    steps: list[Any] = [last[0], last[1], last.parent, last.parent.parent]
    for step in steps:
        with pytest.raises(ValueError, match="boom"):
            project.app.AsyncResult(step.id).get(timeout=WITHIN)
    assert last.parent.parent.parent.get(timeout=WITHIN) == 2
    with pytest.raises(ValueError, match="boom"):
        last.get(timeout=WITHIN)


def test_a_chain_whose_step_cannot_run_has_failed_as_a_whole(project: Project):
    project.use_also(TASKS + "\n\n@app.task(reject_on_worker_lost=False)\ndef die(value):\n    os._exit(3)\n")
    project.start()
    call = caller(project)

    last = chain(call("plus", 1, 1), call("die"), call("same"), call("same")).delay()

    for step in (last, last.parent):
        assert wait_until(partial(has_failed, project, step.id))
    assert "WorkerLostError" in repr(project.app.AsyncResult(last.id).result)


def test_results_are_a_tree(project: Project):
    project.use_also(TASKS)
    project.start()

    root = project.call("spawn")
    root.get(timeout=WITHIN)
    wait_until(lambda: all(each.ready() for each in root.children))

    one, two, three = root.children
    assert isinstance(two, GroupResult)
    assert (one.get(), two.get(), three.get()) == (2, [4, 6], 2)
    wait_until(lambda: three.children and three.children[0].ready())
    assert [value for _, value in root.collect()] == [None, 2, [4, 6], 2, 4, 6, 4]
    assert root.get_leaf() == 4
    assert len(root.graph) == 7


def test_a_run_knows_its_place(project: Project):
    project.use_also(TASKS)
    project.start()
    call = caller(project)

    last = chain(call("place"), group(call("place"), call("place"))).delay()

    first = last.parent
    assert first.get(timeout=WITHIN) == [1, None, None, first.id, None]
    assert last.get(timeout=WITHIN) == [[0, last.id, index, first.id, first.id] for index in (0, 1)]


def test_a_group_is_saved_and_restored(project: Project):
    project.use_also(TASKS)
    project.start()
    call = caller(project)
    sent = group(call("plus", 1, 1), call("plus", 2, 2)).delay()

    sent.save()

    again = project.app.GroupResult.restore(sent.id)
    assert again == sent
    assert again.get(timeout=WITHIN) == [2, 4]
    again.delete()
    assert project.app.GroupResult.restore(sent.id) is None


def test_canvases_are_awaited(project: Project):
    project.use_also(TASKS)
    project.start()
    call = caller(project)

    async def main() -> tuple[Any, Any]:
        several = await group(call("plus", 1, 1), call("plus", 2, 2)).adelay()
        one = await chain(call("plus", 1, 1), call("times", 2)).adelay()
        return await several, await one

    assert asyncio.run(main()) == ([2, 4], 4)


def test_a_member_that_fails_is_raised_and_the_others_have_ended(project: Project):
    project.use_also(TASKS)
    project.start()
    call = caller(project)

    sent = group(call("plus", 1, 1), call("fail"), call("plus", 2, 2)).delay()

    with pytest.raises(ValueError, match="boom"):
        sent.get(timeout=WITHIN)
    first, failed, last = sent.get(timeout=WITHIN, propagate=False)
    assert (first, repr(failed), last) == (2, "ValueError('boom')", 4)
    assert (sent.completed_count(), sent.failed(), sent.successful(), sent.ready()) == (2, True, False, True)
    assert sorted(map(repr, sent.iterate(propagate=False))) == ["2", "4", "ValueError('boom')"]


SURVEY_TASKS = """
@app.task(name="proj.task.tasks.add")
def survey_add(x, y, debug=False):
    return x + y


@app.task(name="proj.task.tasks.log")
def survey_log(message):
    return f"LOG: {message}"
"""

# As the survey shows it, but that it waits before it asks for a state.
SURVEY = """
>>> signature('proj.task.tasks.add', args=(2, 3), countdown=10)
proj.task.tasks.add(2, 3)
>>> s_add = signature('proj.task.tasks.add', args=(2, 3), countdown=10)
>>> s_add()
5
>>> add.signature((3, 4), countdown=10)
proj.task.tasks.add(3, 4)
>>> s_add = add.signature((3, 4), countdown=10)
>>> s_add()
7
>>> add.subtask((3, 4), countdown=10)
proj.task.tasks.add(3, 4)
>>> s_add = add.subtask((3, 4), countdown=10)
>>> s_add()
7
>>> add.s(3, 4)
proj.task.tasks.add(3, 4)
>>> s_add = add.s(3, 4)
>>> s_add()
7
>>> s_add = add.s(2, 2)
>>> s_add.delay()
<AsyncResult: ...>
>>> s_add.apply_async()
<AsyncResult: ...>
>>> s_add.delay(debug=True)
<AsyncResult: ...>
>>> s_add.apply_async(kwargs={'debug': True})
<AsyncResult: ...>
>>> add_group_sig = group(add.s(i, i) for i in range(10))
>>> result = add_group_sig.delay()
>>> result.get()
[0, 2, 4, 6, 8, 10, 12, 14, 16, 18]
>>> result.results
[<AsyncResult: ...>,
 <AsyncResult: ...>]
>>> add_chain_sig = chain(add.s(1, 2), add.s(3))
>>> add_chain_sig = (add.s(1, 2) | add.s(3))
>>> result = add_chain_sig.delay()
>>> result.get()
6
>>> result.status
'SUCCESS'
>>> result.results
Traceback (most recent call last):
AttributeError: 'AsyncResult' object has no attribute 'results'
>>> add_chain_sig = chain(add.s(1), add.s(3))
>>> result = add_chain_sig.delay(3)
>>> result.get()
7
>>> add_chord_sig = chord(group(add.s(i, i) for i in range(10)), log.s())
>>> result = add_chord_sig.delay()
>>> result.get()
'LOG: [0, 2, 4, 6, 8, 10, 12, 14, 16, 18]'
>>> add.map(zip(range(10), range(100)))
[proj.task.tasks.add(x) for x in [(0, 0), (1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (6, 6), (7, 7), (8, 8), (9, 9)]]
>>> result = add.map(zip(range(10), range(100))).delay(1)
>>> isinstance(result.get(propagate=False), TypeError)
True
>>> result.status
'FAILURE'
>>> add.starmap(zip(range(10), range(100)))
[proj.task.tasks.add(*x) for x in [(0, 0), (1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (6, 6), (7, 7), (8, 8), (9, 9)]]
>>> result = add.starmap(zip(range(10), range(100))).delay()
>>> result.get()
[0, 2, 4, 6, 8, 10, 12, 14, 16, 18]
>>> add_chunks_sig = add.chunks(zip(range(100), range(100)), 10)
>>> result = add_chunks_sig.delay()
>>> result.get() == [[2 * number for number in range(first, first + 10)] for first in range(0, 100, 10)]
True
"""


@pytest.mark.engines("sqlite")
def test_what_the_survey_shows_is_so(project: Project):
    project.use_also(SURVEY_TASKS)
    project.start()
    app = project.app
    app.set_current()
    add = app.task(name="proj.task.tasks.add")(lambda x, y, debug=False: x + y)
    log = app.task(name="proj.task.tasks.log")(lambda message: f"LOG: {message}")
    names = {"add": add, "log": log, "signature": signature, "group": group, "chain": chain, "chord": chord}
    shown = doctest.DocTestParser().get_doctest(SURVEY, names, "survey", None, None)
    told: list[str] = []

    outcome = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE).run(
        shown, out=told.append
    )

    assert outcome.attempted > 40
    assert outcome.failed == 0, "".join(told)


def caller(project: Project) -> Any:
    def call(name: str, *args: Any) -> Signature[Any]:
        return signature(f"tasks.{name}", args, app=project.app)

    return call


def has_failed(project: Project, task_id: str) -> bool:
    return project.app.AsyncResult(task_id).state == "FAILURE"
