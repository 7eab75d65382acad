"""Moments in templates answer to the names that Airflow's people write."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime

import pytest

from mlflowkit.authoring.moment import Moment
from tests.authoring.attempts import NEW_YEAR
from tests.authoring.test_templates import echoed

AT = Moment(2024, 3, 9, 7, 5, 3, 21000, tzinfo=UTC)
TEXTS = {
    "{{ logical_date.add(days=1) | ds }}": "2018-01-02",
    "{{ data_interval_end.subtract(months=1, hours=1) }}": "2017-12-01 23:00:00+00:00",
    "{{ logical_date.in_timezone('Asia/Tokyo') }}": "2018-01-01 09:00:00+09:00",
    "{{ logical_date.in_tz('America/New_York').to_date_string() }}": "2017-12-31",
    "{{ logical_date.format('DD.MM.YYYY HH:mm [Uhr] dddd') }}": "01.01.2018 00:00 Uhr Monday",
    "{{ logical_date.start_of('month').to_datetime_string() }}": "2018-01-01 00:00:00",
    "{{ logical_date.end_of('week') }}": "2018-01-07 23:59:59.999999+00:00",
    "{{ logical_date.to_iso8601_string() }}": "2018-01-01T00:00:00Z",
    "{{ logical_date.int_timestamp }} {{ logical_date.timezone_name }}": "1514764800 UTC",
    "{{ (logical_date + macros.timedelta(days=3)).add(days=1) | ds_nodash }}": "20180105",
    "{{ data_interval_end.diff_for_humans(logical_date) }}": "1 day after",
}


def test_templates_move_and_write_moments() -> None:
    assert {text: echoed(text) for text in TEXTS} == TEXTS


def test_hours_are_added_over_summer_time_and_days_keep_the_clock() -> None:
    eve = Moment(2024, 3, 30, 12, tzinfo=UTC).in_timezone("Europe/Athens")
    assert str(eve.add(days=1)) == "2024-03-31 14:00:00+03:00"
    assert str(eve.add(hours=24)) == "2024-03-31 15:00:00+03:00"


def test_every_token_of_a_format() -> None:
    tokens = "YYYY YY M MMM D DDD ddd H hh h m s SSS SSSSSS A Z ZZ Q X"
    got = AT.format(tokens)
    assert (
        got == "2024 24 3 Mar 9 69 Sat 7 07 7 5 3 021 021000 AM +00:00 +0000 1 1709967903"
    )


def test_units_and_zones_that_do_not_exist_are_named() -> None:
    with pytest.raises(ValueError, match="not 'decade'"):
        AT.start_of("decade")
    with pytest.raises(ValueError, match="no time zone 'Mars/Base'"):
        AT.in_timezone("Mars/Base")
    starts = [str(AT.start_of(unit))[:19] for unit in ("year", "day", "hour", "minute")]
    assert starts == [
        "2024-01-01 00:00:00",
        "2024-03-09 00:00:00",
        "2024-03-09 07:00:00",
        "2024-03-09 07:05:00",
    ]


def test_it_is_a_datetime_and_travels_as_a_plain_one() -> None:
    plain = datetime(2024, 3, 9, 7, 5, 3, 21000, tzinfo=UTC)
    assert (plain == AT, isinstance(AT, datetime)) == (True, True)
    assert type(pickle.loads(pickle.dumps(AT))) is datetime
    assert (AT.quarter, AT.day_of_year, AT.week_of_year) == (1, 69, 10)
    assert NEW_YEAR["logical_date"] == Moment(2018, 1, 1, tzinfo=UTC).isoformat()
