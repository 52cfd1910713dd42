"""A large group is read from its generator as it is sent: a program that sends a million calls needs no gigabyte."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.size import SIZE

MEMBERS = 1_000_000 if SIZE == "full" else 30_000

PROGRAM = r"""
import re, sys
from celeriac import Celery, group

app = Celery("large", broker="sqlite:///large.db")

@app.task
def same(value):
    return value

def peak_mb():
    # Not `resource`: its peak is that of the process which this one was forked from.
    return int(re.search(r"VmHWM:\s+(\d+)", open("/proc/self/status").read())[1]) / 1024

group(same.s(number) for number in range(1_000)).delay()
before = peak_mb()
result = group(same.s(number) for number in range(int(sys.argv[1]))).delay()
assert len(result) == int(sys.argv[1])
assert result[-1].id != result[0].id
print(peak_mb(), peak_mb() - before)
"""


@pytest.mark.timeout(600)
def test_a_producer_holds_little_of_a_large_group(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(MEMBERS)], cwd=tmp_path, capture_output=True, text=True, timeout=500
    )

    assert ran.returncode == 0, ran.stderr
    whole_mb, grown_mb = map(float, ran.stdout.split())
    assert whole_mb < 200
    assert grown_mb < 15 + MEMBERS * 40 / 1e6, "more than its ids were kept of a member"
