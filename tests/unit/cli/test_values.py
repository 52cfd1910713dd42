from __future__ import annotations

from datetime import UTC, datetime

import click
import pytest

from celeriac.cli import values


def test_names_are_split_at_commas():
    assert values.names(" a, b,,c ") == ("a", "b", "c")


@pytest.mark.parametrize(("text", "value"), [("0", 0.0), ("1.5", 1.5), ("1e3", 1000.0)])
def test_durations_are_seconds(text, value):
    assert values.seconds(text) == value


@pytest.mark.parametrize("text", ["-1", "nan", "inf", "soon", ""])
def test_a_duration_is_finite_and_not_negative(text):
    with pytest.raises(click.BadParameter, match="a number of seconds >= 0"):
        values.seconds(text)


def test_an_instant_keeps_its_offset_and_goes_without_one():
    assert values.instant("2026-01-31T08:00:00Z") == datetime(2026, 1, 31, 8, tzinfo=UTC)
    assert values.instant("2026-01-31T08:00:00").tzinfo is None


def test_an_expiry_is_a_number_or_an_instant():
    assert values.instant_or_seconds("60") == 60.0
    assert values.instant_or_seconds("2026-01-31") == datetime(2026, 1, 31)
