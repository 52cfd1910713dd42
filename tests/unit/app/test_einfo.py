from __future__ import annotations

import asyncio

import pytest

from celeriac import Task


def frames_of(result):
    """Return the functions of a traceback, outermost first."""
    return [line.split()[-1] for line in result.traceback.splitlines() if line.startswith("  File ")]


async def _apply_in_a_loop(task):
    return task.apply()


@pytest.mark.parametrize("in_loop", [False, True])
def test_the_traceback_of_a_coroutine_begins_in_its_body(app, in_loop):
    @app.task(name="shop.pay")
    async def pay():
        await asyncio.sleep(0)
        raise ValueError("no money")

    result = asyncio.run(_apply_in_a_loop(pay)) if in_loop else pay.apply()

    assert frames_of(result) == ["pay"]


def test_the_traceback_shows_what_the_body_called(app):
    async def fail():
        raise ValueError("no money")

    @app.task(name="shop.pay")
    def pay():
        asyncio.run(fail())

    frames = frames_of(pay.apply())

    assert frames[:2] == ["pay", "run"]


def test_the_traceback_shows_an_own_call(app):
    class Guarded(Task):
        def __call__(self, *args, **kwargs):
            return super().__call__(*args, **kwargs)

    @app.task(name="shop.pay", base=Guarded)
    def pay():
        raise ValueError("no money")

    assert frames_of(pay.apply())[0] == "__call__"
