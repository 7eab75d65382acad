"""botocore sessions that start fast and read listings fast. Knows no connection."""

from __future__ import annotations

import os
from datetime import datetime
from functools import cache
from typing import Any


def botocore_session() -> Any:
    """A botocore session that reads the service's description once per process, and
    the times in a listing fast: both take longer than the requests themselves."""
    from botocore.session import get_session

    session = get_session()
    session.register_component("data_loader", _loader())
    factory = session.get_component("response_parser_factory")
    factory.set_parser_defaults(timestamp_parser=_timestamp)
    return session


@cache
def _loader() -> Any:
    from botocore.loaders import create_loader

    return create_loader(os.environ.get("AWS_DATA_PATH"))


def _timestamp(value: Any) -> datetime:
    from botocore.utils import parse_timestamp

    if isinstance(value, str) and value.endswith("Z") and value[:1].isdigit():
        try:
            return datetime.fromisoformat(value)
        except ValueError:
            pass
    parsed: datetime = parse_timestamp(value)
    return parsed
