from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from celeriac.worker.left_threads import end_without

PROGRAM = """
import atexit, threading, time
from celeriac.worker.left_threads import end_without

atexit.register(print, "goodbye")
earlier = threading.enumerate()
threading.Thread(target=time.sleep, args=(600,), name="left-one", daemon=False).start()
end_without(earlier, 7)
print("not reached")
"""


def test_a_process_ends_without_the_threads_that_were_left_and_runs_its_handlers():
    ended = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60)

    assert ended.returncode == 7
    assert ended.stdout == "goodbye\n"
    assert "left-one" in ended.stderr


@pytest.mark.parametrize("daemon", [True, False])
def test_threads_that_nobody_waits_for_or_that_are_the_programs_own_end_nothing(daemon: bool):
    released = threading.Event()
    thread = threading.Thread(target=released.wait, daemon=daemon)
    before = threading.enumerate()
    thread.start()

    end_without(before if daemon else threading.enumerate(), 7)

    released.set()
    thread.join()
