from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.app.timing import Moment, end_of, start_of

NOW = 1_700_000_000.0
BERLIN = ZoneInfo("Europe/Berlin")


def start(countdown=None, eta=None, zone=UTC):
    return start_of(countdown, eta, now=NOW, zone=zone)


def end(expires, zone=UTC):
    return end_of(expires, now=NOW, zone=zone)


def test_a_countdown_counts_from_now_and_is_written_in_the_zone():
    assert start(10, zone=UTC) == Moment(NOW + 10, "2023-11-14T22:13:30+00:00")
    assert start(10, zone=BERLIN) == Moment(NOW + 10, "2023-11-14T23:13:30+01:00")


@pytest.mark.parametrize("countdown", [0, -1, -0.5, None])
def test_a_countdown_of_zero_or_less_is_now(countdown):
    assert start(countdown) is None


def test_a_countdown_wins_over_an_eta():
    assert start(10, datetime(2030, 1, 1)) == start(10)


def test_an_eta_without_zone_is_meant_in_the_apps():
    moment = start(eta=datetime(2030, 7, 1, 12), zone=BERLIN)

    assert moment == Moment(datetime(2030, 7, 1, 10, tzinfo=UTC).timestamp(), "2030-07-01T12:00:00+02:00")


def test_an_eta_keeps_its_own_offset():
    eta = datetime(2030, 1, 2, 3, 4, 5, 600000, tzinfo=timezone(timedelta(hours=2)))

    assert start(eta=eta) == Moment(eta.timestamp(), "2030-01-02T03:04:05.600000+02:00")


@pytest.mark.parametrize(
    "text", ["2030-01-01T00:00:00Z", "2030-01-01T02:00:00+02:00", "2030-01-01", "2030-01-01T00:00"]
)
def test_times_may_be_iso_text(text):
    expected = Moment(datetime(2030, 1, 1, tzinfo=UTC).timestamp(), "2030-01-01T00:00:00+00:00")

    assert start(eta=text) == end(text) == expected


def test_expiry_may_be_seconds_also_in_the_past():
    assert end(60) == Moment(NOW + 60, "2023-11-14T22:14:20+00:00")
    assert end(-60) == Moment(NOW - 60, "2023-11-14T22:12:20+00:00")
    assert end(None) is None


@pytest.mark.parametrize(
    ("countdown", "eta", "error"),
    [
        ("10", None, "countdown must be a number of seconds, got '10'"),
        (True, None, "countdown must be a number of seconds, got True"),
        (float("nan"), None, "countdown must be a finite number of seconds, got nan"),
        (float("inf"), None, "countdown must be a finite number of seconds, got inf"),
        (1e15, None, "countdown of 1e"),
        (None, "tomorrow", "eta must be an ISO 8601 time, got 'tomorrow'"),
        (None, 10, "eta must be a datetime or ISO 8601 text, got 10"),
    ],
)
def test_what_is_no_start_is_named(countdown, eta, error):
    with pytest.raises((TypeError, ValueError)) as caught:
        start(countdown, eta)

    assert error in str(caught.value)


@pytest.mark.parametrize("expires", ["soon", timedelta(hours=1), float("inf"), True, 1e18])
def test_what_is_no_end_is_named(expires):
    with pytest.raises((TypeError, ValueError), match="expires"):
        end(expires)


@given(st.floats(-1e9, 1e9), st.sampled_from([UTC, BERLIN, ZoneInfo("Asia/Kathmandu")]))
def test_the_text_of_a_moment_names_its_instant(seconds, zone):
    moment = end(seconds, zone)

    assert datetime.fromisoformat(moment.text).timestamp() == pytest.approx(moment.at, abs=1e-6)
