"""Storing values, unless they hold a secret that was passed by name.

Where no `secret(...)` was used, this is `serializers.dump` and nothing else.
"""

from __future__ import annotations

from mlflowkit.artifacts.base import Artifacts
from mlflowkit.artifacts.guarded import GuardedArtifacts
from mlflowkit.artifacts.serializers import dump
from mlflowkit.core.values import StoredValue
from mlflowkit.errors import SecretInValue
from mlflowkit.worker import masking


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
    return stored
