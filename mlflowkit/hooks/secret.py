"""The values of secrets that were passed by name: looked up where the task's code runs.

A value is hidden and guarded before anybody gets it: nothing that is logged shows it, and
nothing that is stored may hold it.
"""

from __future__ import annotations

from typing import Any, ClassVar, Self

from mlflowkit.core.connection import Connection
from mlflowkit.core.masking import MASK, secrets_by_name
from mlflowkit.core.secret import Secret, secret, with_values
from mlflowkit.hooks.base import get_connection
from mlflowkit.hooks.variable import Variable
from mlflowkit.nbrun import asking
from mlflowkit.worker import masking

__all__ = ["SecretText", "resolved", "secret", "value_of"]


class SecretText(str):
    """The text of a variable that was passed by name. A text for everything but its repr.

    It can be joined, formatted, encoded and sent: what is made of it is plain text, which is
    hidden where it is printed. Pickled, it is its name again, and is looked up once more.
    """

    is_secret_text: ClassVar[bool] = True
    name: str

    def __new__(cls, value: str, name: str) -> Self:
        made = super().__new__(cls, value)
        made.name = name
        return made

    def __repr__(self) -> str:
        return repr(MASK)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, _memo: object) -> Self:
        return self

    def __reduce_ex__(self, _protocol: object) -> tuple[Any, ...]:
        return again, (self.name,)


def again(name: str) -> Any:
    """The value of a secret that was pickled by its name."""
    return value_of(Secret(name))


def value_of(handle: Secret) -> Connection | SecretText:
    """The value of a secret, hidden and guarded.

    Raises:
        ConnectionMissing, VariableMissing: no place knows it.
        SecretTooShort: it cannot be hidden.
    """
    if handle.is_variable:
        text = str(Variable.get(handle.key))
        _guard([text, *secrets_by_name(text)], handle)
        return SecretText(text, handle.name)
    connection = get_connection(handle.key)
    _guard(connection.secrets(), handle)
    return connection


def _guard(values: list[str], handle: Secret) -> None:
    masking.guard(values, handle.kind)
    if asking.in_kernel():
        asking.guard(values, handle.kind)


def resolved(value: Any) -> Any:
    """`value` with real values in the place of handles; see `core.secret.with_values`."""
    return with_values(value, value_of)
