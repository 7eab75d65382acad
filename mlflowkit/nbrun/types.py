"""Does a value fit an annotation that is only text, or a default that is only a literal?

Annotations are never evaluated: a notebook's names mean nothing here. A name that is not
known (an alias, a protocol, a class of the notebook) is not held against a value.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from functools import lru_cache
from numbers import Integral, Real
from typing import Final

from mlflowkit.core.secret import Secret
from mlflowkit.errors import WrongType

#: Names whose classes can be told by looking at a value's own class and its bases.
_BY_NAME: Final = frozenset(
    {
        "str",
        "bytes",
        "bytearray",
        "complex",
        "range",
        "datetime",
        "date",
        "time",
        "timedelta",
    }
    | {"Decimal", "Fraction", "UUID", "Path", "PurePath", "Enum"}
    | {"DataFrame", "Series", "Index", "ndarray", "Tensor", "Table", "Image"}
)
#: Name → what it means when it has no `[…]`, or whatever its `[…]` says.
_CONTAINERS: Final[dict[str, type | tuple[type, ...]]] = {
    "list": list,
    "tuple": tuple,
    "set": set,
    "frozenset": frozenset,
    "dict": dict,
    "Mapping": dict,
    "MutableMapping": dict,
}
_ANYTHING: Final = frozenset({"Any", "object", "Hashable", "Callable"})
#: Items of a long list that are looked at.
_LOOKED_AT: Final = 1000


class SecretValue:
    """What a `secret(...)` will be when the notebook has it: a text, or a connection."""

    def __init__(self, handle: Secret) -> None:
        self.handle = handle

    @property
    def names(self) -> frozenset[str]:
        """The classes that it will be of."""
        return frozenset({"str"} if self.handle.is_variable else {"Connection"})

    def __repr__(self) -> str:
        return repr(self.handle)


class Later:
    """What is not there yet, inside of a list or a dict: the output of a task.

    Args:
        annotation: Of what it will be; empty where nobody knows.
        shown: What it is called.
    """

    def __init__(self, annotation: str, shown: str) -> None:
        self.annotation, self.shown = annotation, shown

    def may_be(self, wanted: ast.expr) -> bool:
        """Whether it may be what an annotation's tree says."""
        from mlflowkit.nbrun.edges import can_be  # it reads parameters, which come here

        return not self.annotation or can_be(self.annotation, ast.unparse(wanted))

    def __repr__(self) -> str:
        return (
            f"<{self.shown}: {self.annotation}>" if self.annotation else f"<{self.shown}>"
        )


def check_annotation(
    where: str,
    name: str,
    annotation: str,
    value: object,
    optional: bool = False,
    item: str = "",
) -> None:
    """Raises WrongType when `value` surely is not what `annotation` says."""
    node = _parsed(annotation)
    if node is None or (value is None and optional):
        return
    if not fits(node, value):
        raise WrongType(where, name, annotation, _shown(value), item)


def _shown(value: object) -> object:
    return value.handle if isinstance(value, SecretValue) else value


@lru_cache(maxsize=256)
def _parsed(annotation: str) -> ast.expr | None:
    try:
        return ast.parse(annotation, mode="eval").body
    except (SyntaxError, ValueError):
        return None


def check_like(
    where: str, name: str, default: object, value: object, item: str = ""
) -> None:
    """Raises WrongType when `value` is of another kind than a default without annotation."""
    if default is None:
        return
    kind = type(default).__name__
    if isinstance(default, list | tuple | set | dict):
        simple = str | bytes | bool | Real | SecretValue
        loose = not (value is None or isinstance(value, simple))
        if not loose:
            expected = f"a {kind} (as its default is)"
            raise WrongType(where, name, expected, _shown(value), item)
    elif not _fits_name(kind, value):
        shown = f"{kind} (as its default {default!r} is; annotate it to take others)"
        raise WrongType(where, name, shown, _shown(value), item)


def fits(node: ast.expr, value: object) -> bool:
    """Whether `value` may be what the annotation's tree says; True where it cannot be told."""
    if isinstance(value, Later):
        return value.may_be(node)
    if isinstance(node, ast.Constant):
        if isinstance(node.value, str):
            return _fits_text(node.value, value)
        return value is None if node.value is None else True
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return fits(node.left, value) or fits(node.right, value)
    if isinstance(node, ast.Subscript):
        return _fits_subscript(_last(node.value), node.slice, value)
    return _fits_name(_last(node), value)


def _fits_text(text: str, value: object) -> bool:
    node = _parsed(text)
    return node is None or fits(node, value)


def _last(node: ast.expr) -> str:
    """`datetime` of `datetime.datetime`."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _fits_name(name: str, value: object) -> bool:
    name = {"List": "list", "Dict": "dict", "Tuple": "tuple", "Set": "set"}.get(name, name)
    if name in _ANYTHING:
        return True
    if isinstance(value, SecretValue):
        return name in value.names or not _is_known(name)
    if name in ("None", "NoneType"):
        return value is None
    if name == "bool":
        return type(value).__name__ in ("bool", "bool_")
    if name == "int":
        return isinstance(value, Integral) and not isinstance(value, bool)
    if name == "float":
        return isinstance(value, Real) and not isinstance(value, bool)
    if name in _CONTAINERS:
        return isinstance(value, _CONTAINERS[name])
    if name in ("Sequence", "Iterable", "Collection"):
        return hasattr(value, "__iter__") and not isinstance(value, str | bytes)
    if name in _BY_NAME:
        return any(base.__name__ == name for base in type(value).__mro__)
    return True


def _is_known(name: str) -> bool:
    """Whether it can be told what is no `name`."""
    return (
        name in _BY_NAME
        or name in _CONTAINERS
        or name in ("None", "NoneType", "bool", "int", "float")
        or name in ("Sequence", "Iterable", "Collection")
    )


def _fits_subscript(name: str, inner: ast.expr, value: object) -> bool:
    parts = inner.elts if isinstance(inner, ast.Tuple) else [inner]
    if name == "Optional":
        return value is None or fits(parts[0], value)
    if name == "Union":
        return any(fits(part, value) for part in parts)
    if name in ("Annotated", "Final"):
        return fits(parts[0], value)
    if name == "Literal":
        constants = [part.value for part in parts if isinstance(part, ast.Constant)]
        return len(constants) < len(parts) or any(
            type(value) is type(each) and value == each for each in constants
        )
    if not _fits_name(name, value):
        return False
    return _items_fit(name.lower(), parts, value)


def _items_fit(name: str, parts: list[ast.expr], value: object) -> bool:
    if isinstance(value, dict) and len(parts) == 2:
        return _all(parts[0], value.keys()) and _all(parts[1], value.values())
    if isinstance(value, tuple) and name == "tuple":
        if len(parts) == 2 and isinstance(parts[1], ast.Constant) and parts[1].value is ...:
            return _all(parts[0], value)
        return len(parts) == len(value) and all(
            fits(part, item) for part, item in zip(parts, value, strict=True)
        )
    if isinstance(value, list | set | frozenset | tuple) and len(parts) == 1:
        return _all(parts[0], value)
    return True


def _all(node: ast.expr, items: Iterable[object]) -> bool:
    return all(fits(node, item) for _, item in zip(range(_LOOKED_AT), items, strict=False))
