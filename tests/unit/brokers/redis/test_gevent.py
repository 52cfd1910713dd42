from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = "tests.unit.brokers.redis.gevent_program"
ROOT = Path(__file__).parents[4]


def test_links_work_where_gevent_has_patched_the_standard_library(redis_db):
    pytest.importorskip("gevent")

    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "gevent.monkey", "--module", PROGRAM, redis_db],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.stdout.strip() == "all is well", done.stderr
