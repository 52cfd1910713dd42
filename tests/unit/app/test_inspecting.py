from __future__ import annotations

from typing import Any

import pytest

from celeriac import Celery
from celeriac.app.control import Control
from celeriac.app.inspecting import Inspect, flatten_reply
from celeriac.exceptions import DuplicateNodenameWarning


class Played(Control):
    """Answer by oneself, and keep what was asked."""

    def __init__(self, app: Celery) -> None:
        super().__init__(app)
        self.answers: list[dict[str, Any]] = [{"w1@host": 1}, {"w2@other": 2}]

    def broadcast(self, *command: Any, **options: Any) -> Any:
        self.asked = (*command, options["arguments"], options["destination"])
        self.options = options
        return self.answers


@pytest.fixture
def app():
    app = Celery("shop", broker="memory://", set_as_current=False)
    vars(app)["control"] = Played(app)
    return app


def test_answers_are_told_by_node(app):
    assert app.control.inspect().stats() == {"w1@host": 1, "w2@other": 2}
    assert app.control.asked == ("stats", {}, None)


def test_a_single_node_is_asked_for_its_answer_alone(app):
    assert app.control.inspect("w2@other").clock() == 2
    assert app.control.inspect("w3@other").clock() is None
    assert app.control.inspect(["w1@host"]).clock() == {"w1@host": 1, "w2@other": 2}


def test_those_that_a_pattern_does_not_mean_are_left_out(app):
    assert Inspect(app=app, pattern="*@host", matcher="glob").ping() == {"w1@host": 1}


def test_nobody_is_none(app):
    app.control.answers = []

    assert app.control.inspect().ping() is None


def test_nodes_of_one_name_are_warned_of():
    with pytest.warns(DuplicateNodenameWarning, match="several nodes are called w1@host"):
        assert flatten_reply([{"w1@host": 1}, {"w1@host": 2}, {"w2@host": 3}]) == {"w1@host": 2, "w2@host": 3}


@pytest.mark.parametrize(
    ("call", "asked"),
    [
        (lambda one: one.query_task("a", "b"), ("query_task", {"ids": ("a", "b")}, None)),
        (lambda one: one.query_task(["a", "b"]), ("query_task", {"ids": ["a", "b"]}, None)),
        (lambda one: one.registered_tasks("rate_limit"), ("registered", {"taskinfoitems": ("rate_limit",)}, None)),
        (lambda one: one.ping(["w1@host"]), ("ping", {}, ["w1@host"])),
        (lambda one: one.scheduled(safe=True), ("scheduled", {}, None)),
        (lambda one: one.objgraph(n=3), ("objgraph", {"num": 3, "max_depth": 10, "type": "Request"}, None)),
        (lambda one: one.report(), ("report", {}, None)),
    ],
)
def test_what_is_said_is_what_celery_says(app, call, asked):
    call(app.control.inspect())

    assert app.control.asked == asked


def test_options_are_handed_on(app):
    heard: list[Any] = []

    app.control.inspect(timeout=3, limit=2, callback=heard.append).memsample()

    told = app.control.options
    assert (told["timeout"], told["limit"], told["callback"], told["reply"]) == (3, 2, heard.append, True)
