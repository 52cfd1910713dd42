"""Random canvases come to what a naive interpreter makes of them."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings

from celeriac import Celery
from celeriac.canvas.signature import Signature
from tests.canvases import CALLS, CALLS_THAT_WORK, Failed, interpret, made, trees, wanted_of

app = Celery("random", broker="memory://random", set_as_current=False)


class Boom(Exception):
    pass


@app.task(name="merge")
def merge(*values: Any) -> Any:
    return list(values)


@app.task(name="fail")
def fail(*values: Any) -> Any:
    raise Boom(*values)


def call(name: str, *args: Any, **options: Any) -> Signature[Any]:
    return app.tasks[name].signature(args, **options)


@given(tree=trees(CALLS_THAT_WORK))
@settings(deadline=None)
def test_a_canvas_comes_to_what_its_parts_say(tree: Any) -> None:
    canvas = made(tree, call)

    assert value_of(canvas.apply()) == interpret(canvas, ())


@given(tree=trees(CALLS))
@settings(deadline=None)
def test_a_canvas_fails_when_one_of_its_parts_does(tree: Any) -> None:
    canvas = made(tree, call)
    wanted = wanted_of(canvas)

    result: Any = canvas.apply()

    if wanted is Failed:
        assert result.failed()
    else:
        assert value_of(result) == wanted


def value_of(result: Any) -> Any:
    return result.get(disable_sync_subtasks=False)
