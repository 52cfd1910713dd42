from __future__ import annotations

import os
import subprocess
import sys

import psutil
import pytest

from celeriac.worker.recycling import Recycling, memory_kib


def test_a_child_is_spent_after_its_runs():
    recycling = Recycling(max_tasks=3)

    assert [recycling.is_spent(begun) for begun in (0, 2, 3, 4)] == [False, False, True, True]


def test_without_a_limit_nothing_is_spent_or_too_large():
    assert not Recycling().is_spent(10**9)
    assert not Recycling().is_too_large(os.getpid())


def test_a_process_is_too_large_above_its_limit():
    own = memory_kib(os.getpid())

    assert Recycling(max_memory_kib=own // 2).is_too_large(os.getpid())
    assert not Recycling(max_memory_kib=own * 2).is_too_large(os.getpid())


def test_memory_is_that_which_is_resident():
    assert memory_kib(os.getpid()) == pytest.approx(psutil.Process().memory_info().rss / 1024, rel=0.2)


def test_what_has_gone_has_no_memory():
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()

    assert memory_kib(gone.pid) == 0
