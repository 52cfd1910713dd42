"""What every test shares: the suite's size, and an environment free of the user's settings.

The size itself is in `tests/size.py`. A system server that tests need has a file of its own under `tests/servers/`,
with fixtures that start it by pid on a free loopback port, or use the URL in `CELERIAC_TEST_<NAME>_URL`; where there is
neither, they skip, and fail when `CI` is set.
"""

from __future__ import annotations

import compileall
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

import celeriac
from tests.servers.rabbitmq import amqp_url, rabbitmq, rabbitmq_server
from tests.servers.redis import redis_db, redis_server, redis_url
from tests.size import SIZE

__all__ = ["amqp_url", "rabbitmq", "rabbitmq_server", "redis_db", "redis_server", "redis_url"]

# Before anybody imports them, wherever pytest begins to collect.
pytest.register_assert_rewrite(
    "celeriac.testing.brokers",
    "celeriac.testing.backends",
    "celeriac.testing.joins",
    "celeriac.testing.buses",
    "celeriac.testing.pools",
)

# Containers run tests as root, and some of their nodes open pickles.
os.environ.setdefault("C_FORCE_ROOT", "1")

# What a shell runs in the background ignores the interrupt of a terminal, and so would all that is started from there.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Tests are compiled once, not in each process that runs some. The projects that tests write are compiled at each start:
# a file that is changed within a second is taken for the one before.
sys.dont_write_bytecode = False
os.environ["PYTHONDONTWRITEBYTECODE"] = "1"

# Speed is never asserted, so a slow machine fails no property.
settings.register_profile("tenth", deadline=None)
settings.register_profile("full", deadline=None, max_examples=1_000)
settings.load_profile(SIZE)


def pytest_configure(config: pytest.Config) -> None:
    """Compile celeriac once: of a thousand workers that tests start each would do so, for half of its start."""
    if not hasattr(config, "workerinput"):
        compileall.compile_dir(Path(celeriac.__file__).parent, quiet=1)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests marked `full`, unless the suite runs at full size."""
    if SIZE == "full":
        return
    left_out = [item for item in items if item.get_closest_marker("full")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="session", autouse=True)
def private_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep tests, and the processes they start, away from the user's settings and files."""
    with pytest.MonkeyPatch.context() as environment:
        for name in list(os.environ):
            if name.startswith(("CELERIAC_", "CELERY_")) and not name.startswith("CELERIAC_TEST_"):
                environment.delenv(name)
        environment.setenv("CELERIAC_HOME", str(tmp_path_factory.mktemp("celeriac-home")))
        yield
