"""A secret by its name: what stands in a DAG, a notebook or an XCom in the place of a value.

Plain data. A handle knows where its value is kept, never the value; whoever runs the
task's code looks it up, there and then.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, cast

from mlflowkit.errors import BadSecretName

VARIABLE_MARK: Final = "var:"
#: A handle is looked for so deep inside of lists, tuples, sets and dicts …
DEEPEST: Final = 6
#: … and not in those that have more items than this: they are data.
MOST_ITEMS: Final = 1_000


@dataclass(frozen=True, slots=True)
class Secret:
    """`secret("db")`: a connection. `secret("var:token")`: the text of a variable."""

    name: str

    @property
    def is_variable(self) -> bool:
        """Whether it is the text of a variable, and not a connection."""
        return self.name.startswith(VARIABLE_MARK)

    @property
    def key(self) -> str:
        """The variable's name, or the connection's id."""
        return self.name.removeprefix(VARIABLE_MARK)

    @property
    def kind(self) -> str:
        """What it is, for people: "the variable 'token'"."""
        return f"the {'variable' if self.is_variable else 'connection'} {self.key!r}"

    def __repr__(self) -> str:
        return f"secret({self.name!r})"


def secret(name: str) -> Secret:
    """A secret as an argument of a task, an operator or a notebook: a handle, no value.

    The code of the task gets, for the id of a connection, the `Connection`; for "var:NAME",
    the text of that variable. Both hide what they hold in their repr.

    Raises:
        BadSecretName: it is no text, or an empty one.
    """
    named = cast(object, name)
    if not isinstance(named, str) or not named.removeprefix(VARIABLE_MARK).strip():
        raise BadSecretName(named)
    return Secret(name)


def with_values(value: Any, give: Callable[[Secret], Any]) -> Any:
    """`value` with what `give` says in the place of each handle; as it is if it holds none."""
    return _filled(value, give, DEEPEST)


def holds_handle(value: Any) -> bool:
    """Whether there is a handle in it, as far as `with_values` would look."""
    found: list[Secret] = []
    with_values(value, found.append)
    return bool(found)


def _filled(value: Any, give: Callable[[Secret], Any], depth: int) -> Any:
    if isinstance(value, Secret):
        return give(value)
    kind = type(cast(object, value))
    if kind not in (list, tuple, set, frozenset, dict) or not depth:
        return value
    if not 0 < len(value) <= MOST_ITEMS:
        return value
    if kind is dict:
        made = {key: _filled(item, give, depth - 1) for key, item in value.items()}
        return value if all(made[key] is item for key, item in value.items()) else made
    items: list[Any] = list(value)
    filled = [_filled(item, give, depth - 1) for item in items]
    same = all(new is old for new, old in zip(filled, items, strict=True))
    made_again: Any = value if same else cast(Callable[[object], Any], kind)(filled)
    return made_again
