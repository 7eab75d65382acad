"""The machine's time zone by its name, so that summer time is known.

`datetime.astimezone()` gives today's offset only, which is wrong half of the year.
"""

from __future__ import annotations

import os
from datetime import UTC, tzinfo
from pathlib import Path

from mlflowkit.core.timetable.zones import zone_of
from mlflowkit.errors import BadZone

LOCALTIME = Path("/etc/localtime")
TIMEZONE = Path("/etc/timezone")


def machine_zone() -> tzinfo:
    """The zone of `TZ`, of /etc/localtime or of /etc/timezone; UTC where none says one."""
    for name in (_of_environment(), _of_link(), _of_file()):
        if not name:
            continue
        try:
            return zone_of(name)
        except BadZone:
            continue
    return UTC


def _of_environment() -> str:
    return _after_zoneinfo(os.environ.get("TZ", "").removeprefix(":"))


def _of_link() -> str:
    target = os.path.realpath(LOCALTIME)
    return _after_zoneinfo(target) if "zoneinfo" in target else ""


def _of_file() -> str:
    try:
        return TIMEZONE.read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _after_zoneinfo(path: str) -> str:
    """`Europe/Athens` of `/usr/share/zoneinfo/Europe/Athens`; other texts as they are."""
    return path.rpartition("zoneinfo/")[2]
