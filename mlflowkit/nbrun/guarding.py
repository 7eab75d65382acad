"""Storing values, unless they hold a secret that was passed by name.

Where no `secret(...)` was used, this is `serializers.dump` and nothing else.
"""

from __future__ import annotations

import re
from base64 import b64decode
from typing import Final

from mlflowkit.artifacts.base import Artifacts
from mlflowkit.artifacts.guarded import GuardedArtifacts
from mlflowkit.artifacts.serializers import dump
from mlflowkit.core.values import StoredValue
from mlflowkit.errors import SecretInValue
from mlflowkit.worker import masking

#: Few bytes of a value, as they stand in the JSON around them.
_LEAF: Final = re.compile(rb'"b": ?"([A-Za-z0-9+/=]+)"')


def check_name(name: object, where: str) -> None:
    """Whether a value may be handed on under this name.

    Raises:
        BadXComKey: no XCom can have it.
        SecretInValue: it holds a secret of this task.
    """
    from mlflowkit.worker.context import check_key

    check_key(where.removeprefix("notebook "), name)
    masking.refuse_key(where, str(name))


def dump_guarded(
    value: object, artifacts: Artifacts, *, where: str, expandable: bool = False
) -> StoredValue:
    """As `serializers.dump`; what it writes is looked at before it is written.

    Raises:
        SecretInValue: the value holds a secret of this task. Nothing of that is stored.
    """
    longest = masking.longest_guarded()
    if not longest:
        return dump(value, artifacts, expandable=expandable, where=where)

    def refuse(data: bytes) -> None:
        if what := masking.guarded_in(data):
            raise SecretInValue(where, what)

    guarded = GuardedArtifacts(artifacts, refuse, overlap=longest - 1)
    stored = dump(value, guarded, expandable=expandable, where=where)
    told = [
        stored.inline or b"",
        *(key.encode(errors="replace") for key in stored.keys or ()),
    ]
    for data in told:
        refuse(data)
        for leaf in _LEAF.findall(data):
            refuse(b64decode(leaf))
    return stored
