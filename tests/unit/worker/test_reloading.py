from __future__ import annotations

import asyncio
import os
import threading
import time
from pathlib import Path

import pytest

from celeriac.worker.reloading import Reload, Reloading, is_source, wait_for_change, written_since


@pytest.mark.parametrize(
    ("path", "is_one"),
    [
        ("/shop/tasks.py", True),
        ("/shop/pyproject.toml", True),
        ("/shop/notes.txt", False),
        ("/shop/tasks.pyc", False),
        ("/shop/venv/lib/x.py", False),
        ("/usr/lib/python3/site-packages/x.py", False),
    ],
)
def test_sources_are_what_the_program_is_made_of(path, is_one):
    assert is_source(path) is is_one


@pytest.mark.parametrize(("written_at", "found"), [(99.0, False), (100.5, True), (200.0, False)])
def test_what_was_written_since_is_found_unless_its_time_is_to_come(tmp_path, written_at, found):
    file = tmp_path / "shop.py"
    file.touch()
    os.utime(file, (written_at, written_at))

    assert written_since(100.0, [tmp_path / "gone.py", file], now=101.0) == (str(file) if found else None)


def test_what_was_written_before_anybody_looked_is_a_change_too(tmp_path):
    (tmp_path / "shop.py").touch()

    assert wait_for_change(Reload(tmp_path, time.time() - 60)) == str(tmp_path / "shop.py")


def write_until(done: threading.Event, path: Path) -> threading.Thread:
    """Write a file again and again: a watcher may not look yet when it is written first."""

    def write() -> None:
        while not done.wait(0.05):
            path.write_text("changed")

    writer = threading.Thread(target=write)
    writer.start()
    return writer


def test_the_first_change_is_waited_for(tmp_path):
    done = threading.Event()
    (tmp_path / "notes.txt").touch()
    writer = write_until(done, tmp_path / "shop.py")

    found = wait_for_change(Reload(tmp_path, time.time() + 60))

    done.set()
    writer.join()
    assert found == str(tmp_path / "shop.py")


async def test_a_change_is_told_once_in_the_loop_and_the_thread_ends(tmp_path):
    heard: asyncio.Queue[str] = asyncio.Queue()
    done = threading.Event()
    reloading = Reloading(Reload(tmp_path, time.time() + 60), on_change=heard.put_nowait)

    reloading.start()
    writer = write_until(done, tmp_path / "shop.py")
    found = await asyncio.wait_for(heard.get(), 60)
    done.set()
    writer.join()
    reloading.stop()

    assert found == str(tmp_path / "shop.py")
    assert heard.empty()
    assert not any(thread.name == "reloading" for thread in threading.enumerate())


async def test_stopping_ends_the_thread_without_a_change(tmp_path):
    reloading = Reloading(Reload(tmp_path, time.time() + 60), on_change=lambda path: None)

    reloading.start()
    reloading.stop()
    reloading.stop()

    assert not any(thread.name == "reloading" for thread in threading.enumerate())
