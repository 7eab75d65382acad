"""Values on their way out of a kernel: taken from a message, or refused with a reason."""

from __future__ import annotations

from collections.abc import Mapping

from mlflowkit.errors import CannotSerialize, PathNotFound, SecretInValue, UserError
from mlflowkit.nbrun.iofolder import IOFolder


def take(folder: IOFolder, values: Mapping[str, object], where: str) -> None:
    """What a kernel of any language handed on in a message becomes values that were pushed.

    Args:
        folder: Of the execution.
        values: JSON, by name.
        where: For messages: "notebook fit.ipynb".
    """
    from mlflowkit.nbrun.guarding import check_name, dump_guarded

    artifacts = folder.artifacts()
    for name, value in values.items():
        check_name(name, where)
        folder.push(name, dump_guarded(value, artifacts, where=f"{name!r} of {where}"))


def refusal(fields: Mapping[str, str]) -> UserError:
    """The error that the kernel described: see `iofolder.Returned.refused`."""
    kinds: dict[str, type[UserError]]
    kinds = {"value": CannotSerialize, "path": PathNotFound, "secret": SecretInValue}
    return kinds[fields["kind"]](**{k: v for k, v in fields.items() if k != "kind"})
