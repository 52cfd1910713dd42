from __future__ import annotations

import builtins
import sys
import traceback

import pytest

from celeriac.app.remote_tracebacks import show_remote_traceback

TEXT = """Traceback (most recent call last):
  File "/srv/shop/stock.py", line 3, in take
    return stock[item]
KeyError: 'tea'

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "/srv/shop/tasks.py", line 8, in pay
    raise ValueError("no money")
ValueError: no money
"""


def printed(text, *, as_frames):
    """Return what a program prints that does not catch the exception."""
    try:
        raise show_remote_traceback(ValueError("no money"), text, "task shop.pay[run-1]", as_frames=as_frames)
    except ValueError as error:
        return "".join(traceback.format_exception(error))


def test_the_workers_traceback_is_printed_below_the_error():
    lines = printed(TEXT, as_frames=False).splitlines()

    begin = lines.index("Raised in task shop.pay[run-1]:")
    assert lines[begin - 1] == "ValueError: no money"
    assert lines[begin + 1 :] == [f"  {line}" if line else "" for line in TEXT.splitlines()]


def test_the_workers_frames_are_printed_as_if_they_were_ours():
    pytest.importorskip("tblib")

    lines = printed(TEXT, as_frames=True).splitlines()

    assert lines[0] == "Traceback (most recent call last):"
    assert lines[-1] == "ValueError: no money"
    assert '  File "/srv/shop/tasks.py", line 8, in pay' in lines[-2:]
    assert "Raised in" not in "\n".join(lines)


@pytest.mark.parametrize("text", ["Error: no money\n    at pay (tasks.js:8:3)", "Traceback (most recent call last):\n"])
def test_a_traceback_of_another_language_is_shown_as_text(text):
    pytest.importorskip("tblib")

    shown = printed(text, as_frames=True)

    assert f"Raised in task shop.pay[run-1]:\n  {text.splitlines()[0]}" in shown


def test_without_tblib_the_text_is_shown_and_says_why(monkeypatch):
    monkeypatch.setitem(sys.modules, "tblib", None)

    shown = printed(TEXT, as_frames=True)

    assert 'Raised in task shop.pay[run-1] (task_remote_tracebacks needs: pip install "celeriac[tblib]"):' in shown


def test_a_syntax_error_can_be_shown():
    error = show_remote_traceback(builtins.SyntaxError("bad"), TEXT, "task run-1", as_frames=False)

    assert "Raised in task run-1" in "".join(traceback.format_exception(error))
