"""Can what one task gives be what a notebook's parameter takes? Both are only annotations.

Answers False where it surely cannot, and True for everything that nobody can know: a class
of a person's own, an alias, a union of which a part fits. Annotations are never evaluated.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Final

from mlflowkit.nbrun.parameters import COMPUTED, NotebookParameter

#: Older names, and names of the same things elsewhere.
_ALIASES: Final[Mapping[str, str]] = {
    "List": "list",
    "Dict": "dict",
    "Tuple": "tuple",
    "Set": "set",
    "FrozenSet": "frozenset",
    "NoneType": "None",
    "Text": "str",
    "MutableMapping": "Mapping",
    "MutableSequence": "Sequence",
    "PurePath": "Path",
    "PosixPath": "Path",
}
_ANYTHING: Final = frozenset({"Any", "object", "Hashable", "Callable", "TypeVar", ""})


def _names(kind: str) -> list[str]:
    return [f"{kind}{bits}" for bits in (8, 16, 32, 64)]


#: Classes of which it is known what is one and what is not; what else each of them fits.
_FITS: Final[Mapping[str, frozenset[str]]] = {
    "None": frozenset(),
    "bool": frozenset(),
    "int": frozenset({"float", "complex"}),
    "float": frozenset({"complex"}),
    "complex": frozenset(),
    "str": frozenset({"Sequence", "Iterable", "Collection"}),
    "bytes": frozenset({"Sequence", "Iterable", "Collection"}),
    "list": frozenset({"Sequence", "Iterable", "Collection"}),
    "tuple": frozenset({"Sequence", "Iterable", "Collection"}),
    "set": frozenset({"Iterable", "Collection"}),
    "frozenset": frozenset({"Iterable", "Collection"}),
    "dict": frozenset({"Mapping", "Iterable", "Collection"}),
    "date": frozenset(),
    "datetime": frozenset({"date"}),
    "time": frozenset(),
    "timedelta": frozenset(),
    "Decimal": frozenset(),
    "Path": frozenset(),
    "UUID": frozenset(),
    "DataFrame": frozenset({"Iterable"}),
    "Series": frozenset({"Iterable", "Collection"}),
    "ndarray": frozenset({"Iterable", "Collection"}),
    "Tensor": frozenset({"Iterable"}),
}
#: numpy's: as given ones they are what they count; as wanted ones, Python's may do, too.
_NUMPY: Final[Mapping[str, frozenset[str]]] = {
    "bool_": frozenset({"bool"}),
    **dict.fromkeys(_names("int"), frozenset({"int", "float", "complex"})),
    **dict.fromkeys(_names("uint"), frozenset({"int", "float", "complex"})),
    **dict.fromkeys(_names("float"), frozenset({"float", "complex"})),
}
#: Abstract ones: nothing fits them but what says so above.
_ABSTRACT: Final = frozenset({"Sequence", "Iterable", "Collection", "Mapping"})
_ITEMS: Final = frozenset(
    {"list", "set", "frozenset", "Sequence", "Iterable", "Collection"}
)
#: What stands in the brackets of one means what it does in those of the other.
_ALIKE: Final = (_ITEMS, frozenset({"dict", "Mapping"}))


def can_be(given: str, wanted: str) -> bool:
    """Whether a value annotated `given` may be one that is annotated `wanted`."""
    try:
        have, want = (ast.parse(text, mode="eval").body for text in (given, wanted))
    except (SyntaxError, ValueError):
        return True
    return _can(have, want)


def wanted_by(parameter: NotebookParameter) -> str:
    """The annotation of a parameter, or the type that its plain default stands for."""
    if parameter.annotation:
        optional = parameter.default is None
        return f"{parameter.annotation} | None" if optional else parameter.annotation
    if parameter.default is COMPUTED or parameter.default is None:
        return ""
    kind = type(parameter.default).__name__
    return kind if kind in ("bool", "int", "float", "str") else ""


def item_of(annotation: str) -> str:
    """The annotation of the items of what is mapped over; empty where it is not known."""
    try:
        node = ast.parse(annotation, mode="eval").body
    except (SyntaxError, ValueError):
        return ""
    if isinstance(node, ast.Subscript) and _name(node.value) in _ITEMS:
        parts = _parts(node)
        return ast.unparse(parts[0]) if len(parts) == 1 else ""
    return ""


def _can(have: ast.expr, want: ast.expr) -> bool:
    have, want = _plain(have), _plain(want)
    if (members := _members(have)) is not None:
        return any(_can(one, want) for one in members)
    if (members := _members(want)) is not None:
        return any(_can(have, one) for one in members)
    if isinstance(want, ast.Subscript) and _name(want.value) == "Literal":
        return _can_literal(have, _parts(want))
    if isinstance(have, ast.Subscript) and _name(have.value) == "Literal":
        return any(_can(_type_of(one), want) for one in _parts(have))
    name, other = _name(have), _name(want)
    if not _names_fit(name, other):
        return False
    if isinstance(have, ast.Subscript) and isinstance(want, ast.Subscript):
        alike = name == other or any({name, other} <= kind for kind in _ALIKE)
        return not alike or _insides_fit(name, _parts(have), _parts(want))
    return True


def _names_fit(name: str, other: str) -> bool:
    if name in _ANYTHING or other in _ANYTHING or name == other:
        return True
    fits = _NUMPY.get(name) or _FITS.get(name)
    if fits is None or not (other in _FITS or other in _ABSTRACT):
        return True
    if other in ("Sequence", "Iterable", "Collection") and name in ("str", "bytes"):
        return False  # as the check of values has it: a text is no list of rows
    return other in fits


def _insides_fit(name: str, have: list[ast.expr], want: list[ast.expr]) -> bool:
    if name == "tuple":
        many = [any(_is_dots(part) for part in parts) for parts in (have, want)]
        if any(many):
            return _can(have[0], want[0])
        return len(have) == len(want) and all(map(_can, have, want))
    return len(have) != len(want) or all(map(_can, have, want))


def _plain(node: ast.expr) -> ast.expr:
    """Without quotes, and without `Annotated[...]`."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        try:
            return _plain(ast.parse(node.value, mode="eval").body)
        except (SyntaxError, ValueError):
            return ast.Name("Any")
    if isinstance(node, ast.Subscript) and _name(node.value) in ("Annotated", "Final"):
        return _plain(_parts(node)[0])
    return node


def _members(node: ast.expr) -> list[ast.expr] | None:
    """The parts of a union; None of what is none."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return [node.left, node.right]
    if isinstance(node, ast.Subscript) and _name(node.value) == "Union":
        return _parts(node)
    if isinstance(node, ast.Subscript) and _name(node.value) == "Optional":
        return [*_parts(node), ast.Constant(None)]
    return None


def _can_literal(have: ast.expr, wanted: list[ast.expr]) -> bool:
    constants = [one.value for one in wanted if isinstance(one, ast.Constant)]
    if len(constants) < len(wanted):
        return True
    if isinstance(have, ast.Subscript) and _name(have.value) == "Literal":
        mine = [one.value for one in _parts(have) if isinstance(one, ast.Constant)]
        if len(mine) < len(_parts(have)):
            return True
        return any(type(a) is type(b) and a == b for a in mine for b in constants)
    name = _name(have)
    known = name in _FITS or name in _NUMPY
    return not known or any(type(one).__name__ == name for one in constants)


def _type_of(constant: ast.expr) -> ast.expr:
    if not isinstance(constant, ast.Constant) or constant.value is None:
        return ast.Constant(None) if isinstance(constant, ast.Constant) else ast.Name("Any")
    return ast.Name(type(constant.value).__name__)


def _parts(node: ast.Subscript) -> list[ast.expr]:
    return node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]


def _is_dots(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is ...


def _name(node: ast.expr) -> str:
    """`DataFrame` of `pandas.core.frame.DataFrame[...]`, in its usual spelling."""
    if isinstance(node, ast.Subscript):
        return _name(node.value)
    if isinstance(node, ast.Constant):
        return "None" if node.value is None else ""
    name = node.attr if isinstance(node, ast.Attribute) else ""
    name = node.id if isinstance(node, ast.Name) else name
    return _ALIASES.get(name, name)
