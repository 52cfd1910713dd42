"""The tables of options and of the request in the documentation of tasks are those of the source."""

from __future__ import annotations

import re
from pathlib import Path

from celeriac.app.context import Context
from celeriac.app.task import Task
from celeriac.app.task_options import TaskOptions

PAGE = (Path(__file__).parents[2] / "docs" / "tasks.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def test_the_page_lists_every_option_with_its_default():
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| ", section("Options"), flags=re.MULTILINE)

    assert dict(rows) == {name: default_of(name) for name in TaskOptions.__annotations__}
    assert len(rows) == len(TaskOptions.__annotations__)


def default_of(option: str) -> str:
    default = vars(Task)[option]
    setting = getattr(default, "_setting", None)
    return f"`{setting}`" if setting else repr(default)


def test_the_page_lists_every_field_of_the_request():
    cells = re.findall(r"^\| (`\w+`.*?) \| ", section("What a run knows"), flags=re.MULTILINE)
    listed = {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}

    # What the run leaves behind for those who settle it, and what `retry` was told.
    internal = {"awaits_body", "current", "eager_retry", "following", "max_retries", "outer"}
    internal |= {"message_properties"}  # which `properties` shows
    internal |= {"is_replaced", "joins", "queue_of_origin"}  # where it goes again, and what it does to chords
    internal |= {"__dict__"}  # all that a message says, for `vars`
    internal |= {"cancelled", "driver", "in_body", "interrupt", "thread"}  # how a body is told from outside
    properties = {name for name, value in vars(Context).items() if isinstance(value, property)}
    assert listed == (set(Context.__struct_fields__) | properties) - internal
