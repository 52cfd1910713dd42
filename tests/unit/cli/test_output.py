from __future__ import annotations

import json
import subprocess
import sys

import pytest

from celeriac.cli.output import Output, plural
from tests.unit.cli.test_pages import on_a_terminal


@pytest.mark.parametrize(("count", "words"), [(0, "queues"), (1, "queue"), (2, "queues")])
def test_a_noun_goes_with_its_count(count, words):
    assert plural("queue", count) == words


def test_data_goes_to_stdout_and_talk_to_stderr(capsys):
    output = Output()

    output.line("data")
    output.say("talk")

    assert capsys.readouterr() == ("data\n", "talk\n")


def test_quiet_keeps_warnings(capsys):
    output = Output(quiet=True)

    output.say("talk")
    output.warn("look at this")

    assert capsys.readouterr().err == "Warning: look at this\n"


def test_json_writes_what_it_does_not_know_as_text(capsys):
    Output().document({"path": object})

    assert json.loads(capsys.readouterr().out) == {"path": "<class 'object'>"}


def test_cells_cannot_break_a_line(capsys):
    Output().table(("a", "b"), [{"a": "x\ty\nz\\", "b": None}])

    assert capsys.readouterr().out == "a\tb\nx\\ty\\nz\\\\\t-\n"


def test_a_table_is_drawn_on_a_terminal(tmp_path):
    broker = f"sqlite:///{tmp_path}/q.sqlite3"
    subprocess.run([sys.executable, "-m", "celeriac", "call", "x.y", "-b", broker], check=True, capture_output=True)

    drawn = on_a_terminal("queue", "list", "-b", broker)

    assert "─" in drawn
    assert "\t" not in drawn


def test_a_table_without_colour_has_no_escapes(tmp_path):
    broker = f"sqlite:///{tmp_path}/q.sqlite3"
    subprocess.run([sys.executable, "-m", "celeriac", "call", "x.y", "-b", broker], check=True, capture_output=True)

    drawn = on_a_terminal("-C", "queue", "list", "-b", broker)

    assert "─" in drawn
    assert "\x1b" not in drawn
