from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.wire.times import iso_text, parse_iso
from tests.unit.wire.strategies import OFFSETS

MOMENT = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC).timestamp()


@given(st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1)), OFFSETS)
def test_an_instant_is_the_same_after_text_to_the_microsecond(moment: datetime, zone: timezone) -> None:
    at = moment.replace(tzinfo=UTC).timestamp()

    text = iso_text(at, zone=zone)

    assert parse_iso(text) == at
    assert datetime.fromisoformat(text).utcoffset() == zone.utcoffset(None)


@given(st.datetimes(timezones=OFFSETS))
def test_text_of_any_aware_datetime_names_its_instant(moment: datetime) -> None:
    assert parse_iso(moment.isoformat()) == moment.timestamp()


def test_microseconds_are_written_only_when_there_are_any() -> None:
    assert iso_text(MOMENT) == "2030-01-02T03:04:05+00:00"
    assert iso_text(MOMENT + 0.6) == "2030-01-02T03:04:05.600000+00:00"


def test_text_is_in_the_zone_that_was_asked_for() -> None:
    assert iso_text(MOMENT, zone=ZoneInfo("Europe/Berlin")) == "2030-01-02T04:04:05+01:00"


@pytest.mark.parametrize(
    "text",
    [
        "2030-01-02T03:04:05+00:00",
        "2030-01-02T03:04:05Z",
        "2030-01-02t03:04:05z",
        "2030-01-02 03:04:05Z",
        "2030-01-02T03:04:05",
        "2030-01-02T03:04:05.000000",
        "2030-01-02T03:04:05,000Z",
        "2030-01-02T03:04:05.000000000Z",
        "20300102T030405Z",
        "2030-01-02T05:04:05+02:00",
        "2030-01-02T05:04:05+0200",
        "2030-01-02T05:04:05+02",
        "2030-01-01T22:04:05-05:00",
    ],
)
def test_common_forms_of_one_instant_are_read(text: str) -> None:
    assert parse_iso(text) == MOMENT


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("2030-03-04", datetime(2030, 3, 4, tzinfo=UTC)),
        ("2030-03", datetime(2030, 3, 1, tzinfo=UTC)),
        ("2030", datetime(2030, 1, 1, tzinfo=UTC)),
        ("2030-063", datetime(2030, 3, 4, tzinfo=UTC)),
        ("2030-W10-1", datetime(2030, 3, 4, tzinfo=UTC)),
    ],
)
def test_dates_without_a_time_begin_at_midnight(text: str, day: datetime) -> None:
    assert parse_iso(text) == day.timestamp()


@given(st.datetimes(datetime(1970, 1, 3), datetime(2200, 1, 1)), OFFSETS)
def test_text_without_offset_is_in_the_zone_given(moment: datetime, zone: timezone) -> None:
    assert parse_iso(moment.isoformat(), zone=zone) == moment.replace(tzinfo=zone).timestamp()


def test_text_with_offset_ignores_the_zone_given() -> None:
    assert parse_iso("2030-01-02T03:04:05Z", zone=timezone(timedelta(hours=9))) == MOMENT


@given(st.text() | st.text("0123456789-:TZ+.,W", max_size=30))
def test_any_text_is_an_instant_or_a_value_error(text: str) -> None:
    try:
        complaint = ""
        parse_iso(text)
    except ValueError as exc:
        complaint = str(exc)

    assert len(complaint) < 200


@pytest.mark.parametrize("text", ["", "soon", "2030-13-01", "2030-01-02T25:00", "12", "z"])
def test_text_that_is_no_time_is_quoted_in_the_error(text: str) -> None:
    with pytest.raises(ValueError, match=f"'{text}' is not an ISO 8601 time"):
        parse_iso(text)
