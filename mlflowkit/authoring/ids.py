"""Ids of DAGs, tasks and groups: they become names of files."""

from __future__ import annotations

import re
from typing import Final

from mlflowkit.errors import BadOption

_ID = re.compile(r"[\w.-]+")
#: Ids become names of files, which may have 255 bytes on most disks.
ID_LIMIT_BYTES: Final = 200


def checked_id(kind: str, option: str, value: object) -> str:
    """The id of a task or DAG.

    Raises:
        BadOption: it has other characters, or its UTF-8 form is longer than ID_LIMIT_BYTES.
    """
    if not isinstance(value, str) or not _ID.fullmatch(value):
        why = "must be a text of letters, digits, '_', '-' and '.', at least one of them"
        raise BadOption(f"{kind} {value!r}", option, why)
    size = len(value.encode())
    if size > ID_LIMIT_BYTES:
        why = (
            f"is {size} bytes long in UTF-8; it names files, so at most "
            f"{ID_LIMIT_BYTES} are possible"
        )
        raise BadOption(f"{kind} {value[:30]!r}...", option, why)
    return value
