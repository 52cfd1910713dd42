from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from celeriac.exceptions import ImproperlyConfigured
from celeriac.worker.pid_file import pid_file

HOLD = """
import sys
from celeriac.worker.pid_file import pid_file

with pid_file(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "w1.pid")


@pytest.fixture
def holder(path):
    """Another process that holds the file."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_it_holds_the_id_and_is_gone_afterwards(path):
    with pid_file(path):
        assert int(Path(path).read_text()) == os.getpid()

    assert not Path(path).exists()


def test_that_of_a_node_that_runs_is_refused_with_its_id(path, holder):
    refused = pytest.raises(ImproperlyConfigured, match=f"belongs to a node that runs, process {holder.pid}")

    with refused, pid_file(path):
        pass

    assert int(Path(path).read_text()) == holder.pid


def test_that_of_a_killed_node_is_taken_over(path, holder):
    holder.kill()
    holder.wait()

    with pid_file(path):
        assert int(Path(path).read_text()) == os.getpid()


@pytest.mark.parametrize("left", ["", "nonsense", "1\n", "99999999\n"])
def test_what_an_old_file_says_does_not_count(path, left):
    Path(path).write_text(left)

    with pid_file(path):
        assert int(Path(path).read_text()) == os.getpid()


def test_a_folder_that_is_not_there_is_named_with_the_cure(tmp_path: Path):
    refused = pytest.raises(
        ImproperlyConfigured, match=r"cannot be written: No such file or directory. Make its folder"
    )

    with refused, pid_file(str(tmp_path / "missing" / "w1.pid")):
        pass
