"""Which objects travel to another process, which do not and why, and which join no others."""

from __future__ import annotations

import enum
import io
import sys
import types
from typing import Any, Final

#: Never changed in place, and nobody asks which of two equal ones it is.
ATOMS: Final = {int, float, complex, str, bytes, bool, type(None), type(...), range, slice}
_PLAIN_MODULES: Final = {"datetime", "decimal", "fractions", "uuid", "zoneinfo", "pathlib"}
#: Kept by a pickle as something else, or without what matters of them.
_REFUSED: Final = {
    ("tempfile", "TemporaryDirectory"): "is a folder that ends with its process",
    ("weakref", "finalize"): "is a weak reference",
    ("weakref", "ProxyType"): "is a weak reference",
    ("weakref", "CallableProxyType"): "is a weak reference",
    ("builtins", "memoryview"): "looks into the memory of another object",
    ("decimal", "Context"): "may be the context of a thread",
    ("numpy", "memmap"): "is a file mapped into memory",
    ("IPython.core.display_functions", "DisplayHandle"): "redraws an output of this kernel",
}
_ITERATOR_MODULES: Final = {"builtins", "itertools", "_collections", "_io", "generator"}
_BASES_REFUSED: Final = {
    ("traitlets.traitlets", "HasTraits"): "is a widget",
    ("matplotlib.artist", "Artist"): "is a part of a figure",
    ("multiprocessing.process", "BaseProcess"): "is a process",
    ("_ctypes", "_CData"): "is memory of C",
}


def root_of_other(array: Any) -> Any:
    """For a kind of array that pickles itself: whose memory it looks into."""
    return array if array.base is None else array.base


def is_shared_by_all(obj: Any, kind: type) -> bool:
    """Whether every variable may reach it, so that it joins none."""
    if isinstance(obj, type | types.BuiltinFunctionType | types.FunctionType):
        return getattr(obj, "__module__", None) != "__main__"
    module = kind.__module__
    if isinstance(obj, enum.Enum):
        return module != "__main__"
    if kind is tuple or kind is frozenset:
        return not obj
    top = module.partition(".")[0]
    return (
        module in _PLAIN_MODULES
        or (top == "numpy" and "dtype" in kind.__mro__[-2].__name__)
        or (top == "numpy" and any(b.__name__ == "generic" for b in kind.__mro__))
        or (top == "torch" and kind.__name__ in ("dtype", "device", "layout"))
        or (top == "pandas" and kind.__name__ in ("NAType", "NaTType", "Timestamp"))
        or kind is types.CodeType
    )


def refusal(obj: Any, kind: type) -> str:
    """Why an object does not travel; empty if it may."""
    module = kind.__module__
    why = _REFUSED.get((module, kind.__name__), "")
    if why:
        return why
    if kind.__name__ == "_lru_cache_wrapper" and obj.__module__ == "__main__":
        return "is a function with a cache"
    if any(obj is each for each in _the_generators()):
        return "is the generator that its whole module uses"
    iterates = module in _ITERATOR_MODULES and hasattr(kind, "__next__")
    if iterates and not isinstance(obj, io.BytesIO | io.StringIO):
        return f"is a {kind.__name__} that may be half used up"
    for base in kind.__mro__:  # not of a proxy's object: of its own kind
        why = _BASES_REFUSED.get((base.__module__, base.__name__), "")
        if why:
            return why
    return ""


def _the_generators() -> list[object]:
    """The random generators behind the functions of modules."""
    import random

    found: list[object] = [random._inst]
    numpy_random = sys.modules.get("numpy.random.mtrand")
    return found if numpy_random is None else [*found, numpy_random._rand]
