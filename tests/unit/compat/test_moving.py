from __future__ import annotations

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.compat.moving import moved


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("from celery import Celery, chain", "from celeriac import Celery, chain"),
        ("from   celery.utils . log  import (get_task_logger,)  # why", None),
        ("from celery.utils.log import get_task_logger as g", "from celeriac.utils.log import get_task_logger as g"),
        (
            "from celery import (  # a\n    Celery,  # b\n\n    Task)",
            "from celeriac import (  # a\n    Celery,  # b\n\n    Task)",
        ),
        ("import celery", "import celeriac as celery"),
        ("import celery as c, os", "import celeriac as c, os"),
        ("import os, celery.result", "import os, celeriac as celery, celeriac.result"),
        ("import celery.result as r; import celery", "import celeriac.result as r; import celeriac as celery"),
        ("é = 1; from celery import Task; ü = 'celery'", "é = 1; from celeriac import Task; ü = 'celery'"),
        ("if 1:\r\n\tfrom celery import Task\r\n", "if 1:\r\n\tfrom celeriac import Task\r\n"),
        ("from kombu import Exchange, Queue", "from celeriac import Exchange, Queue"),
        ("from kombu.common import Broadcast", "from celeriac import Broadcast"),
        ("from billiard import cpu_count", "from multiprocessing import cpu_count"),
        ("pytest_plugins = ['celery.contrib.pytest']", "pytest_plugins = ['celeriac.contrib.pytest']"),
        ("p('celery.app.task.Task.apply_async')", "p('celeriac.app.task.Task.apply_async')"),
        ("'''celery.result'''", "'''celeriac.result'''"),
    ],
)
def test_imports_are_moved_and_all_else_stays(before, after):
    found = moved(before)

    assert found.text == (before.replace("celery.", "celeriac.", 1) if after is None else after)
    assert not found.by_hand
    ast.parse(found.text)


@pytest.mark.parametrize(
    "text",
    [
        "from .celery import app",
        "from proj.celery import app",
        "app = Celery('celery')",
        "'celery.ping', 'celery.backend_cleanup', 'celery.chord_unlock', 'celery.some.queue'",
        "queue = 'celery'",
        "# from celery import Task",
        '"""\nfrom celery import Task\n"""',
    ],
)
def test_what_is_not_of_celery_stays(text):
    assert moved(text) == (text, [], [])


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("from celery.schedules import crontab", "comes with schedules and beat"),
        ("from celery import Celery, no_such_thing", "celeriac.no_such_thing"),
        ("import celery.bin.worker", "run `celeriac`"),
        ("from kombu import Connection", "as long as kombu is installed"),
        ("import kombu", "as long as kombu is installed"),
        ("import logging; logging.getLogger('celery.task')", "is called 'celeriac.task' in celeriac"),
        ("app.conf.task_routs = {}", "did you mean 'task_routes'?"),
        ("app.conf.update(result_backend='db+sqlite:///r.db')", "is spelled sqlite: in celeriac"),
    ],
)
def test_what_has_no_counterpart_stays_and_is_told(text, why):
    found = moved(f"\n{text}")

    assert (found.text, found.changes) == (f"\n{text}", [])
    assert [(each.line, why in each.what) for each in found.by_hand] == [(2, True)]


def test_settings_get_their_names_of_today_in_a_module_of_settings_only():
    old = "BROKER_URL = 'redis://'\nCELERYD_CONCURRENCY: int = 2\nprint(BROKER_URL)  # BROKER_URL\n"

    found = moved(old, is_settings=True)

    assert found.text == "broker_url = 'redis://'\nworker_concurrency: int = 2\nprint(broker_url)  # BROKER_URL\n"
    assert [change.line for change in found.changes] == [1, 2, 3]
    assert moved(old).text == old


def test_a_setting_that_does_not_exist_is_told_in_a_module_of_settings():
    (told,) = moved("broker_ulr = ''\nNUMBER_OF_SHOPS = 3", is_settings=True).by_hand

    assert (told.line, told.what) == (1, "there is no setting 'broker_ulr'; did you mean 'broker_url'?")


def test_what_changed_is_told_line_by_line():
    (change,) = moved("x = 1\n    \nfrom celery import Task  # t\n").changes

    assert change == (3, "from celery import Task  # t", "from celeriac import Task  # t")


LINES = {
    "import celery\n": "import celeriac as celery\n",
    "é = 'celery.result'\n": "é = 'celeriac.result'\n",
    "from celery import Task; y = 2\n": "from celeriac import Task; y = 2\n",
    "x = 1  # celery\n": "x = 1  # celery\n",
    "\n": "\n",
    'x = """\nimport celery\n"""\n': 'x = """\nimport celery\n"""\n',
}


@given(st.lists(st.sampled_from(list(LINES))))
def test_every_line_is_moved_once_whatever_is_around_it(lines):
    once = moved("".join(lines)).text

    assert once == "".join(LINES[line] for line in lines)
    assert moved(once) == (once, [], [])
