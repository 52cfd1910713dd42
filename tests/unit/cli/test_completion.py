from __future__ import annotations

import os
import subprocess
import sys

import pytest

from celeriac.cli.completion import SHELLS, VARIABLE


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_is_told_whom_to_ask(command, shell):
    run = command("completion", shell)

    assert run.code == 0
    assert f"{VARIABLE}={shell}_complete" in run.out


def test_there_are_three_shells(command):
    assert command("completion", "tcsh").code == 2


def completed(line: str) -> list[str]:
    """Ask as bash does when TAB is pressed at the end of a line."""
    words = line.split(" ")
    asked = {VARIABLE: "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    program = "import sys; from celeriac.cli.main import main; sys.argv = ['celeriac']; main()"
    answer = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **asked},
        stdout=subprocess.PIPE,
        text=True,
        timeout=60,
        check=True,
    )
    return [word.partition(",")[2] for word in answer.stdout.split()]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("celeriac re", ["result", "report"]),
        ("celeriac worker --stop", ["--stop-grace"]),
        ("celeriac worker -l warn", ["warning"]),
        ("celeriac worker -P ", ["prefork", "threads", "asyncio", "solo"]),
        ("celeriac queue li", ["list"]),
        ("celeriac --result", ["--result-backend"]),
        ("celeriac worker --schedul", []),
    ],
)
def test_commands_options_and_choices_are_completed(line, words):
    assert completed(line) == words
