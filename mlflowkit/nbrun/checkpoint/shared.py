"""Objects that modules hold by a name of their own: a variable that is one of them stays it.

`from helper import CONFIG` binds what `helper` itself goes on with: a copy of it would be
another object. It is kept by its name; what it holds is a setting (see `contents_of`), so
that a cell which changed it is replayed. Looks only; runs in a kernel.
"""

from __future__ import annotations

import re
import sys
import types
from collections.abc import Iterable, Mapping
from typing import Any, Final

from mlflowkit.nbrun.checkpoint.modules import content_of, is_named
from mlflowkit.nbrun.checkpoint.travels import ATOMS

#: What they are known by: all their kinds are found again by their own names, or are values.
_OTHERS: Final = (
    type,
    types.ModuleType,
    types.FunctionType,
    types.BuiltinFunctionType,
    types.MethodType,
)
_VALUES: Final = ATOMS | {tuple, frozenset}
#: What the interpreter and the shell put into `sys` while cells run.
_PASSING: Final = {
    *("last_type", "last_value", "last_traceback", "last_exc", "displayhook"),
    *("ps1", "ps2", "ps3", "excepthook", "stdout", "stderr", "stdin"),
}
#: What these hold is a setting of its own, or brought back.
_LOOKED_AT: Final = ("os", "sys", "warnings")
_GENERATORS: Final = ("_inst", "_rand")
#: What a shell has in its namespace by itself.
_OF_SHELLS: Final = re.compile(r"_i*|__\w*|_i\d+|_[iod]h|In|Out|exit|quit|open|get_ipython")
#: Between a module and a name in it.
_IN: Final = ":"

#: id → module and name; the objects are held by their modules.
_found: Final[dict[int, tuple[str, str]]] = {}


def look_again() -> None:
    """Find out what modules hold now."""
    _found.clear()
    skipped: dict[type, bool] = {}
    for module, found in list(sys.modules.items()):
        if not is_named(module, found) or module == "builtins":
            continue
        for name, value in list(vars(found).items()):
            kind = type(value)
            skip = skipped.get(kind)
            if skip is None:
                skip = skipped[kind] = kind in _VALUES or issubclass(kind, _OTHERS)
            if not skip and not _is_passing(module, name):
                _found.setdefault(id(value), (module, name))


def _is_passing(module: str, name: str) -> bool:
    return name.startswith("__") or (module == "sys" and name in _PASSING)


def place_of(obj: object) -> tuple[str, str] | None:
    """The module that holds an object, and its name there, when it was last looked."""
    place = _found.get(id(obj))
    if place is None or there(*place) is not obj:
        return None
    return place


def there(module: str, name: str) -> Any:
    """What a module that is loaded holds by this name."""
    return vars(sys.modules[module]).get(name) if module in sys.modules else None


# ── what they hold ──


def contents_in(namespace: Mapping[str, Any]) -> dict[str, str]:
    """Of the variables that are such objects: what they hold, by its hash."""
    values = [v for name, v in list(namespace.items()) if not _OF_SHELLS.fullmatch(name)]
    if not values:
        return {}
    look_again()
    places = map(place_of, values)
    return contents_of(_IN.join(place) for place in places if place is not None)


def contents_of(places: Iterable[str]) -> dict[str, str]:
    """The same, of named ones; those whose module is not loaded are left out."""
    found: dict[str, str] = {}
    for place in places:
        module, mark, name = place.partition(_IN)
        if mark and module in sys.modules:
            known = module in _LOOKED_AT or name in _GENERATORS
            found[place] = "" if known else content_of(there(module, name))
    return found
