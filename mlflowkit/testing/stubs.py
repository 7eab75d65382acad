"""Connections and variables for a test, and a clock that is turned by hand; see `testing`."""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any


@contextmanager
def stub_connections(
    given: Mapping[str, Any] | None = None, **more: Any
) -> Generator[None, None, None]:
    """`get_connection` answers with these, before the environment and every store.

    Args:
        given: By id: a URI, JSON, a mapping of fields, or a `Connection`.
        more: The same by keyword: `stub_connections(aws_default="aws://…")`.

    Raises:
        InvalidConnection: one of them cannot be read.
    """
    from mlflowkit.hooks.stand_ins import standing_in

    every = {**(given or {}), **more}
    with standing_in({i: _connection(i, value) for i, value in every.items()}):
        yield


def _connection(conn_id: str, value: Any) -> str:
    from mlflowkit.core.connection import Connection

    if isinstance(value, Connection):
        return value.to_json()
    text = json.dumps(value) if isinstance(value, Mapping) else str(value)
    return Connection.from_text(conn_id, text).to_json()


@contextmanager
def stub_variables(
    given: Mapping[str, Any] | None = None, **more: Any
) -> Generator[None, None, None]:
    """`Variable.get` answers with these first; what is set inside the block stays there.

    Args:
        given: Texts by key; anything else is kept as JSON.
        more: The same by keyword.
    """
    from mlflowkit.hooks.stand_ins import standing_in

    every = {**(given or {}), **more}
    texts = {k: v if isinstance(v, str) else json.dumps(v) for k, v in every.items()}
    with standing_in(variables=texts):
        yield


class FrozenTime:
    """A clock that stands still, but where something waits: that takes no time at all."""

    def __init__(self, moment: datetime) -> None:
        self._start = self._now = moment.astimezone(UTC)

    def now(self) -> datetime:
        """Aware, in UTC."""
        return self._now

    def elapsed(self) -> float:
        """Seconds since it was made."""
        return (self._now - self._start).total_seconds()

    def wait(self, seconds: float) -> None:
        """Go on by so many seconds, at once."""
        self._now += timedelta(seconds=max(seconds, 0.0))

    def move(self, by: timedelta | None = None, **units: float) -> None:
        """Go on: `move(hours=1)`, or a timedelta."""
        self._now += by if by is not None else timedelta(**units)


@contextmanager
def frozen_time(moment: datetime | str) -> Generator[FrozenTime, None, None]:
    """Sensors and `dag.test()` live by a clock that is turned by hand: their waits take no
    time. A task's own `datetime.now()` is not touched.

    Args:
        moment: A datetime or ISO text; UTC where no zone is said.
    """
    from mlflowkit.authoring.waiting import using_clock

    found = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    clock = FrozenTime(found if found.tzinfo else found.replace(tzinfo=UTC))
    with using_clock(clock):
        yield clock
