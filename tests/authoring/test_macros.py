"""`macros` in templates: each gives what Airflow's gives."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from mlflowkit.authoring.macros import (
    Library,
    datetime_diff_for_humans,
    ds_add,
    ds_format,
    ds_format_locale,
    macros,
)
from mlflowkit.errors import MissingExtra

NOON = datetime(2024, 3, 15, 12, tzinfo=UTC)


def test_days_are_added_over_months_years_and_leap_days() -> None:
    days = [("2024-02-28", 1), ("2024-12-31", 1), ("2024-03-01", -1), ("2024-01-01", 0)]
    assert [ds_add(day, count) for day, count in days] == [
        "2024-02-29",
        "2025-01-01",
        "2024-02-29",
        "2024-01-01",
    ]
    with pytest.raises(ValueError, match="does not match format"):
        ds_add("1 May", 1)


def test_dates_change_their_format() -> None:
    assert ds_format("2015-01-01", "%Y-%m-%d", "%m-%d-%y") == "01-01-15"
    assert ds_format("1/5/2015", "%m/%d/%Y", "%Y-%m-%d") == "2015-01-05"


@pytest.mark.parametrize(
    ("gap", "words"),
    [
        (timedelta(seconds=5), "a few seconds"),
        (timedelta(seconds=11), "11 seconds"),
        (timedelta(seconds=60), "1 minute"),
        (timedelta(minutes=59), "59 minutes"),
        (timedelta(hours=1), "1 hour"),
        (timedelta(hours=23), "23 hours"),
        (timedelta(days=1), "1 day"),
        (timedelta(days=1, hours=22), "2 days"),
        (timedelta(days=6), "6 days"),
        (timedelta(days=7), "1 week"),
        (timedelta(days=11), "2 weeks"),
        (timedelta(days=28), "4 weeks"),
        (timedelta(days=45), "1 month"),
        (timedelta(days=60), "2 months"),
        (timedelta(days=366), "1 year"),
        (timedelta(days=365 + 240), "2 years"),
    ],
)
def test_how_long_ago_is_said_in_the_largest_unit(gap: timedelta, words: str) -> None:
    assert datetime_diff_for_humans(NOON - gap, NOON) == f"{words} before"
    assert datetime_diff_for_humans(NOON, NOON - gap) == f"{words} after"


def test_without_a_second_moment_it_is_said_against_now() -> None:
    now = datetime.now(UTC)
    assert datetime_diff_for_humans(now - timedelta(days=2, hours=1)) == "2 days ago"
    assert datetime_diff_for_humans(now + timedelta(hours=3, minutes=1)) == "in 3 hours"
    naive = (now - timedelta(hours=2, minutes=1)).replace(tzinfo=None)
    assert datetime_diff_for_humans(naive) == "2 hours ago"


def test_libraries_show_their_public_names_and_no_module_behind_them() -> None:
    import uuid

    assert macros.uuid.UUID is uuid.UUID
    assert macros.dateutil.parser.parse("2020-05-05").day == 5
    assert isinstance(macros.dateutil.relativedelta, Library)
    for hidden in ("os", "sys", "_UuidCreate", "nobody"):
        with pytest.raises(AttributeError):
            getattr(macros.uuid, hidden)


def test_dates_in_another_language_need_babel_and_the_error_says_so() -> None:
    code = (
        "import sys; sys.modules['babel'] = None\n"
        "from mlflowkit.authoring.macros import macros\n"
        "macros.ds_format_locale('2024-07-12', '%Y-%m-%d', 'EEEE', 'fr')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert MissingExtra.__name__ in done.stderr.splitlines()[-1]
    pytest.importorskip("babel")
    text = ds_format_locale("12/07/2024", "%d/%m/%Y", "EEEE dd MMMM yyyy", "en_US")
    assert text == "Friday 12 July 2024"
