from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from celeriac import __version__, exceptions
from celeriac.cli.later import LATER_COMMANDS
from celeriac.cli.main import COMMANDS, exit_code

CELERIAC = [sys.executable, "-m", "celeriac"]


def run(*args, cwd=None, **environment):
    """Run the command line as a user does: in a process of its own."""
    return subprocess.run(
        [*CELERIAC, *args],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=cwd,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
    )


def test_the_version_is_printed(command):
    assert command("--version").out == f"celeriac {__version__}\n"


def test_help_lists_every_command(command):
    run = command("--help")

    assert run.code == 0
    for name in COMMANDS:
        assert f"  {name} " in run.out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_help_page_that_says_what_it_was_listed_with(command, name):
    listed = COMMANDS[name].summary

    page = command(name, "--help")

    assert page.code == 0
    assert listed.split()[0] in page.out


def test_help_imports_no_command_and_nothing_that_is_slow():
    program = (
        "import sys; from celeriac.cli.main import main; main(['--help']); "
        "print(*sorted(sys.modules), sep='\\n', file=sys.stderr)"
    )

    listing = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)

    loaded = set(listing.stderr.split())
    assert "celeriac.cli.main" in loaded
    assert not loaded & {"rich", "rich_click", "asyncio", "msgspec", "sqlite3", "celeriac.app", "celeriac.cli.worker"}


def test_a_misspelled_command_is_answered_with_the_nearest(command):
    run = command("wrker")

    assert run.code == 2
    assert "Did you mean 'worker'?" in run.err


@pytest.mark.parametrize(("name", "later"), LATER_COMMANDS.items())
def test_a_command_of_celery_that_is_not_there_yet_is_named_with_what_it_comes_with(command, name, later):
    run = command(name, "--anything")

    assert run.code == 2
    assert f"'{name}' {later}" in run.err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (exceptions.CeleriacError("x"), 1),
        (exceptions.NotRegistered("x"), 1),
        (exceptions.ImproperlyConfigured("x"), 2),
        (exceptions.UnknownSetting("x"), 2),
        (exceptions.BrokerUnavailable("x"), 69),
        (exceptions.OperationalError("x"), 69),
        (exceptions.TimeoutError("x"), 75),
    ],
)
def test_errors_end_with_the_code_of_their_kind(error, code):
    assert exit_code(error) == code


def test_a_wrong_app_is_answered_with_what_was_tried(tmp_path):
    ended = run("-A", "nowhere", "queue", "list", cwd=tmp_path)

    assert (ended.returncode, ended.stdout) == (2, "")
    assert "-A nowhere: there is no module 'nowhere'" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_without_an_app_it_says_where_it_looked(tmp_path):
    ended = run("queue", "list", cwd=tmp_path)

    assert ended.returncode == 2
    for place in ("CELERIAC_APP", "pyproject.toml", "celery.py", "tasks.py"):
        assert place in ended.stderr


@pytest.mark.parametrize("subcommand", [["queue", "list"], ["worker", "-c", "1"]])
def test_an_error_inside_the_module_of_the_app_is_shown_from_there_on(tmp_path, subcommand):
    (tmp_path / "broken.py").write_text("import not_installed_anywhere\n")

    ended = run("-A", "broken", *subcommand, cwd=tmp_path)

    assert ended.returncode == 2
    assert ended.stderr.splitlines() == [
        "Error: cannot import 'broken', named by -A broken",
        "Traceback (most recent call last):",
        f'  File "{tmp_path}/broken.py", line 1, in <module>',
        "    import not_installed_anywhere",
        "ModuleNotFoundError: No module named 'not_installed_anywhere'",
    ]


def test_an_app_that_fails_is_not_worked_without(tmp_path):
    (tmp_path / "tasks.py").write_text("1 / 0\n")

    ended = run("queue", "list", "-b", f"sqlite:///{tmp_path}/q.sqlite3", cwd=tmp_path)

    assert ended.returncode == 2
    assert "cannot import 'tasks', found as tasks.py" in ended.stderr


@pytest.mark.parametrize("subcommand", [["call", "x"], ["queue", "list"], ["purge", "-y"], ["dlq", "list"]])
def test_a_broker_inside_another_process_is_refused(tmp_path, subcommand):
    ended = run(*subcommand, "-b", "memory://x", cwd=tmp_path)

    assert (ended.returncode, ended.stdout) == (2, "")
    assert "memory://x exists inside one process only" in ended.stderr


def test_a_log_file_that_cannot_be_written_ends_a_worker_before_it_starts(tmp_path):
    (tmp_path / "tasks.py").write_text("from celeriac.app.application import Celery\napp = Celery('shop')\n")

    ended = run("worker", "-c", "1", "-f", "missing/w.log", "-b", f"sqlite:///{tmp_path}/q.sqlite3", cwd=tmp_path)

    assert ended.returncode == 2
    assert "the log file 'missing/w.log' cannot be written: No such file or directory" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(("redirection", "reason"), [(">/dev/full", "No space left on device"), (">&-", "is closed")])
@pytest.mark.parametrize("command", ["queue list -q -b sqlite:///q.sqlite3", "--help", "worker --help", "--version"])
def test_what_cannot_be_written_ends_in_one_line_and_1(tmp_path, command, redirection, reason):
    program = f'"{sys.executable}" -m celeriac {command} {redirection}'

    ended = subprocess.run(
        program, shell=True, cwd=tmp_path, stderr=subprocess.PIPE, text=True, timeout=60, check=False
    )

    assert ended.returncode == 1
    assert ended.stderr.startswith("Error: standard output")
    assert reason in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_an_app_that_was_looked_for_is_named_as_talk(tmp_path):
    (tmp_path / "tasks.py").write_text("from celeriac.app.application import Celery\napp = Celery('shop')\n")

    ended = run("queue", "list", cwd=tmp_path)

    assert ended.returncode == 0
    assert "Using the app tasks." in ended.stderr
    assert "Using" not in ended.stdout


def test_a_broker_that_was_named_needs_no_app(tmp_path):
    broker = f"sqlite:///{tmp_path}/q.sqlite3"

    called = run("call", "far.away", "-b", broker, cwd=tmp_path)
    listed = run("-b", broker, "queue", "list", cwd=tmp_path)

    assert called.returncode == 0
    assert listed.stdout == "queue\tready\tdelayed\tclaimed\tdead\ncelery\t1\t0\t0\t0\n"
    assert "Working without an app" in listed.stderr


def test_a_broker_that_cannot_be_reached_ends_with_69(tmp_path):
    ended = run("queue", "list", "-b", f"sqlite:///{tmp_path}/missing/q.sqlite3", cwd=tmp_path)

    assert ended.returncode == 69
    assert "mkdir -p" in ended.stderr


def test_ctrl_c_ends_with_130(tmp_path):
    waiting = subprocess.Popen(
        [*CELERIAC, "result", "t1", "-b", f"sqlite:///{tmp_path}/q.sqlite3"],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # this suite may run with Ctrl-C ignored
    )
    assert waiting.stderr is not None
    with waiting:
        for line in waiting.stderr:
            if "waiting for it to end" in line:
                waiting.send_signal(signal.SIGINT)
                break
        said = waiting.stderr.read()

    assert waiting.returncode == 130
    assert "Interrupted." in said
    assert "Traceback" not in said
