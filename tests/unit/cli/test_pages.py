from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest


def on_a_terminal(*args, **environment):
    """Run the command line with a terminal as its stdout, and return what it drew."""
    ours, theirs = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-m", "celeriac", *args],
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", **environment},
    )
    os.close(theirs)
    drawn = b""
    try:
        while piece := os.read(ours, 65536):
            drawn += piece
    except OSError:  # Linux: the other end was closed
        pass
    finally:
        os.close(ours)
        child.wait(timeout=60)
    return drawn.decode()


def test_help_is_drawn_on_a_terminal():
    page = on_a_terminal("--help")

    assert "╭" in page
    assert "\x1b[" in page
    assert "worker" in page


def test_help_of_a_command_is_drawn_with_its_options_before_the_global_ones():
    page = on_a_terminal("worker", "--help")

    assert 0 < page.index("--prefetch-multiplier") < page.index("Global options")


@pytest.mark.parametrize(("args", "environment"), [(["-C"], {}), ([], {"NO_COLOR": "1"}), ([], {"TERM": "dumb"})])
def test_help_is_plain_for_whoever_wants_it_plain(args, environment):
    page = on_a_terminal(*args, "--help", **environment)

    assert "Usage: celeriac" in page
    assert "\x1b[" not in page


def test_help_is_plain_where_there_is_no_terminal(command):
    page = command("worker", "--help")

    assert page.out.startswith("Usage: celeriac worker [OPTIONS] [NAME=VALUE]...")
    assert page.out.index("Options:") < page.out.index("Global options:")


@pytest.mark.parametrize(
    "args",
    [
        ["--json", "queue", "list"],
        ["queue", "--json", "list"],
        ["queue", "list", "--json"],
    ],
)
def test_global_options_stand_before_or_after_a_command(command, shop, args):
    shop.call()

    assert command(*args).document[0]["queue"] == "celery"


def test_the_last_of_two_global_options_counts(command, shop):
    run = command("-A", "nowhere", "queue", "list", "-A", "shop_of_the_cli_tests")

    assert run.code == 0


def test_quiet_leaves_data_and_errors(command, shop):
    shop.call()

    run = command("-q", "queue", "list")

    assert run.err == ""
    assert run.out.startswith("queue\t")


def test_the_working_folder_is_changed_first(command, tmp_path):
    (tmp_path / "there").mkdir()

    run = command("call", "some.task", "-b", "sqlite:///q.sqlite3", "--workdir", "there")

    assert run.code == 0
    assert (tmp_path / "there" / "q.sqlite3").exists()


@pytest.mark.parametrize("args", [["queue", "list"], ["doctor"], ["worker"]])
def test_a_working_folder_that_is_not_there_is_a_usage_error(command, args):
    run = command(*args, "--workdir", "nowhere")

    assert run.code == 2
    assert "cannot change to 'nowhere': No such file" in run.err
