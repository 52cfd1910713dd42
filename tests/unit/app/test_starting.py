from __future__ import annotations

from uuid import uuid4

import pytest

from celeriac import Celery, chain, chord, group
from celeriac.app.starting import check_joins, start_of
from celeriac.canvas.plan import Join, plan
from celeriac.worker.execute import Executor
from celeriac.worker.runs import Run


@pytest.fixture
def app():
    app = Celery("shop", broker=f"memory://{uuid4()}", set_as_current=False)
    app.task(name="shop.add")(lambda x, y: x + y)
    app.task(name="shop.same")(lambda value: value)
    return app


def planned(app: Celery, *header) -> Join:
    whole = chord(list(header), app.tasks["shop.same"].s())
    [join] = [step for step in plan(whole) if isinstance(step, Join)]
    return join


def test_a_join_waits_for_all_that_report(app):
    add = app.tasks["shop.add"]
    join = planned(app, add.s(1, 1), group(add.s(1, 1), add.s(2, 2)), chain(add.s(1, 1), add.s(2)))

    start = start_of(join, app, None)

    assert (start.group_id, start.size, start.header) == (join.group_id, 4, None)
    assert start.message is not None
    assert start.message.task_id == join.body.id


def test_a_header_with_lists_in_it_is_kept_for_the_body(app):
    add = app.tasks["shop.add"]
    join = planned(app, chain(add.s(1, 1), group(add.s(1), add.s(2))), add.s(3, 3))

    start = start_of(join, app, None)

    assert start.size == 3
    assert start.header is not None
    assert app.read_group(start.header) == join.header


def test_a_program_without_results_is_told_what_a_chord_needs(app):
    app.conf.result_backend = "disabled"

    with pytest.raises(NotImplementedError, match="set `result_backend`"):
        check_joins(app)


def test_a_member_that_comes_to_a_node_that_keeps_no_results_is_a_dead_letter_that_says_so(app):
    add = app.tasks["shop.add"]
    body = app.tasks["shop.same"].s()
    message = app.builder.build(add, (1, 1), {}, {"chord": body, "group_id": "header"})
    app.conf.result_backend = "disabled"
    executor = Executor(app, "w1@here")

    outcome = executor.execute(Run(1, message, redelivered=False, crashes=0))

    executor.close()
    assert outcome.dead_reason is not None
    assert "is the member of a chord: a chord needs a result backend" in outcome.dead_reason
