from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from celeriac.compat.times import (
    add_seconds_to_datetime,
    get_exponential_backoff_interval,
    humanize_seconds,
    is_naive,
    localize,
    make_aware,
    maybe_iso8601,
    maybe_make_aware,
    maybe_timedelta,
    rate,
    subtract_datetimes,
    timezone,
    to_utc,
    weekday,
)

OSLO = ZoneInfo("Europe/Oslo")
NOON = datetime(2024, 5, 1, 12)


@pytest.mark.parametrize(
    ("text", "a_second"), [("100/m", 100 / 60), ("2/h", 2 / 3600), ("0.5/s", 0.5), ("3", 3.0), (7, 7), (None, 0)]
)
def test_a_rate_is_so_many_a_second(text, a_second):
    assert rate(text) == a_second


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "now"), (1, "1.00 second"), (90, "1.50 minutes"), (7200, "2.00 hours"), (86400, "1.00 day"), (0.001, "now")],
)
def test_seconds_are_said_in_the_largest_unit(seconds, text):
    assert humanize_seconds(seconds) == text


def test_seconds_are_said_with_a_prefix():
    assert humanize_seconds(60, "in", " ") == "in 1.00 minute"
    assert humanize_seconds(0.25, "in", " ", microseconds=True) == "in 0.25 seconds"


def test_days_of_the_week_have_numbers():
    assert [weekday(day) for day in ("sunday", "Sun", "mon", "SATURDAY")] == [0, 0, 1, 6]
    with pytest.raises(KeyError, match="noday"):
        weekday("noday")


def test_instants_are_read():
    assert maybe_iso8601("2024-05-01T12:00:00Z") == NOON.replace(tzinfo=UTC)
    assert maybe_iso8601(NOON) is NOON
    assert maybe_iso8601(None) is None


def test_instants_get_zones():
    assert (is_naive(NOON), is_naive(to_utc(NOON))) == (True, False)
    assert make_aware(NOON, OSLO).isoformat() == "2024-05-01T12:00:00+02:00"
    assert to_utc(NOON).isoformat() == "2024-05-01T12:00:00+00:00"
    assert localize(to_utc(NOON), OSLO).isoformat() == "2024-05-01T14:00:00+02:00"
    assert maybe_make_aware(NOON, OSLO).isoformat() == "2024-05-01T14:00:00+02:00"
    assert maybe_make_aware(NOON, OSLO, naive_as_utc=False).isoformat() == "2024-05-01T12:00:00+02:00"
    aware = to_utc(NOON)
    assert maybe_make_aware(aware, OSLO) is aware


@pytest.mark.parametrize(
    ("meant", "told"),
    [("2024-10-27T02:30", "2024-10-27T02:30:00+02:00"), ("2024-03-31T02:30", "2024-03-31T03:30:00+02:00")],
)
def test_an_instant_that_is_there_twice_is_the_first_and_one_that_is_not_there_is_later(meant, told):
    assert make_aware(datetime.fromisoformat(meant), OSLO).isoformat() == told


def test_zones_are_found():
    assert timezone.get_timezone("Europe/Oslo") is OSLO
    assert timezone.get_timezone(OSLO) is OSLO
    assert timezone.tz_or_local() is timezone.local
    assert timezone.to_local(NOON, "Europe/Oslo").isoformat() == "2024-05-01T14:00:00+02:00"
    assert timezone.to_system(to_utc(NOON)) == to_utc(NOON)
    assert timezone.utc.utcoffset(NOON) == timedelta(0)


def test_seconds_pass_also_when_clocks_change():
    before = datetime(2024, 3, 31, 1, 30, tzinfo=OSLO)

    after = add_seconds_to_datetime(before, 3600)

    assert after.isoformat() == "2024-03-31T03:30:00+02:00"
    assert subtract_datetimes(after, before) == timedelta(hours=1)


def test_durations_are_made_of_seconds():
    assert maybe_timedelta(1.5) == timedelta(seconds=1.5)
    assert maybe_timedelta(timedelta(days=1)) == timedelta(days=1)


def test_waits_grow_to_a_maximum():
    assert [get_exponential_backoff_interval(2, retries, 10) for retries in range(4)] == [2, 4, 8, 10]
    assert all(0 <= get_exponential_backoff_interval(2, 3, 10, full_jitter=True) <= 10 for _ in range(100))
