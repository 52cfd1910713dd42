from __future__ import annotations

import pytest

from celeriac.cli.checks import masked


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://cache:6379/0", "redis://cache:6379/0"),
        ("redis://:secret@cache:6379/0", "redis://:***@cache:6379/0"),
        ("amqp://guest:secret@host/v?x=1", "amqp://guest:***@host/v?x=1"),
        ("sqlite:////srv/q.sqlite3", "sqlite:////srv/q.sqlite3"),
    ],
)
def test_a_url_is_shown_without_its_password(url, shown):
    assert masked(url) == shown
