"""Random canvases come on live nodes to what a naive interpreter makes of them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from celeriac import Celery
from celeriac.canvas.signature import Signature
from celeriac.exceptions import ChordError
from celeriac.testing import start_worker
from tests.canvases import CALLS, Failed, made, trees, wanted_of
from tests.integration.project import Project
from tests.size import scaled

EXAMPLES = scaled(300)
WITHIN = 20.0

TASKS = """
@app.task
def merge(*values):
    return list(values)


@app.task
def fail(*values):
    raise ValueError(*values)
"""


def check_at_random(app: Celery, prefix: str) -> None:
    """Send canvases, and compare what they come to."""

    def call(name: str, *args: Any, **options: Any) -> Signature[Any]:
        return app.signature(prefix + name, args=args, **options)

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        database=None,
        phases=[Phase.generate],  # to find a smaller one takes too long where one that hangs takes 20 s
    )
    @given(tree=trees(CALLS))
    def check(tree: Any) -> None:
        canvas = made(tree, call)
        wanted = wanted_of(canvas)

        result: Any = canvas.delay()

        if wanted is Failed:
            with pytest.raises((ValueError, ChordError)):
                result.get(timeout=WITHIN)
        else:
            assert result.get(timeout=WITHIN) == wanted

    check()


def test_a_canvas_comes_on_a_node_to_what_its_parts_say(project: Project) -> None:
    project.use_also(TASKS)
    node = project.start()

    check_at_random(project.app, "tasks.")

    assert node.stop() == 0
    project.assert_clean()


# The worker is in this process, and draws random numbers of its own while canvases are made.
@pytest.mark.filterwarnings("ignore:Do not use the `random` module")
def test_a_canvas_comes_in_memory_to_what_its_parts_say() -> None:
    app = Celery("random", broker="memory://at-random", backend="memory://at-random", set_as_current=False)

    @app.task(name="merge")
    def merge(*values: Any) -> Any:
        return list(values)

    @app.task(name="fail")
    def fail(*values: Any) -> Any:
        raise ValueError(*values)

    with start_worker(app, pool="threads", perform_ping_check=False):
        check_at_random(app, "")
