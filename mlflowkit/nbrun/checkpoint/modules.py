"""The person's own modules in a kernel: their files, their data; functions that were replaced.

Looks only; runs no code of a module.
"""

from __future__ import annotations

import os
import pickle
import site
import sys
import sysconfig
import types
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from mlflowkit.nbrun.checkpoint.libraries import name_of
from mlflowkit.nbrun.checkpoint.store import digest, text_digest

#: Data of a local module that is looked at.
_MOST_BYTES: Final = 1 << 20


def local_modules() -> dict[str, str]:
    """Files of the person's own modules that are loaded, with the hash of their content."""
    found: dict[str, str] = {}
    for module in list(sys.modules.values()):
        path = getattr(module, "__file__", None)
        if path and is_local(path):
            try:
                found[path] = digest(Path(path).read_bytes())
            except OSError:
                found[path] = ""
    return found


#: What a kernel is made of.
_NOT_OF_CELLS: Final = (
    "mlflowkit",
    "debugpy",
    "pydev",
    "_pydev",
    "__main__",
    "__mp_main__",
)


def loaded() -> bytes:
    """The names of all modules that an import would bring again, in the order of importing."""
    every = list(sys.modules.items())
    return "\n".join(name for name, each in every if is_named(name, each)).encode()


def is_named(name: str, module: object) -> bool:
    """Whether an import of this name brings it, and it is none of the kernel's own."""
    if name.startswith(_NOT_OF_CELLS) or not isinstance(module, types.ModuleType):
        return False
    return getattr(vars(module).get("__spec__"), "name", None) == name


_installed: list[str] = []


def is_local(path: str) -> bool:
    if not _installed:
        paths = sysconfig.get_paths()
        _installed.extend({paths["stdlib"], paths["platstdlib"], paths["purelib"]})
        _installed.extend([paths["platlib"], *site.getsitepackages()])
        _installed.append(site.getusersitepackages())
        _installed.append(str(Path(__file__).parents[2]))
    # What is not there as a file was made by a library (torch.ops).
    return (
        path.endswith(".py")
        and os.path.isabs(path)
        and not path.startswith(tuple(_installed))
    )


def states_of_modules() -> dict[str, Any]:
    """The data that local modules hold: a cell may change it by calling them."""
    found: dict[str, Any] = {}
    for name, module in list(sys.modules.items()):
        path = getattr(module, "__file__", None)
        if path and name not in ("__main__", "__mp_main__") and is_local(path):
            found[f"the state of module {name}"] = _state_of(module)
    return found


def _state_of(module: types.ModuleType) -> str:
    said: list[str] = []
    for name, value in sorted(vars(module).items()):
        if name.startswith("__") or isinstance(value, types.ModuleType):
            continue
        if isinstance(value, type | types.FunctionType | types.BuiltinFunctionType):
            held = _held_by(value) if value.__module__ == module.__name__ else ""
            said.append(f"{name} {value.__module__} {value.__qualname__} {held}")
        else:
            said.append(f"{name} {content_of(value)}")
    return text_digest(*said)


def _held_by(thing: object) -> str:
    """What a function or a class holds that calling it may change."""
    if isinstance(thing, types.BuiltinFunctionType):  # as in each class of an Enum
        return thing.__qualname__
    if isinstance(thing, types.FunctionType):
        return content_of([thing.__defaults__, thing.__kwdefaults__, thing.__dict__])
    parts = [(n, v) for n, v in vars(thing).items() if not n.startswith("__")]
    methods = types.FunctionType | types.BuiltinFunctionType
    said = (_held_by(v) if isinstance(v, methods) else content_of(v) for _, v in parts)
    return text_digest(*(f"{n} {each}" for (n, _), each in zip(parts, said, strict=True)))


def content_of(value: object) -> str:
    """What something holds, by its hash; where it cannot be had, what it is."""
    if isinstance(value, set | frozenset):  # their order differs between processes
        return text_digest(*sorted(map(repr, value)))
    try:
        return digest(pickle.dumps(value)[:_MOST_BYTES])
    except Exception:  # noqa: BLE001 - the code of any class may be called here
        return name_of(type(value))


#: Functions and classes of modules, as they were when they were first seen (and kept alive).
_seen: Final[dict[str, dict[str, object]]] = {}


def know_modules(namespace: Mapping[str, Any]) -> None:
    """The functions of modules that were not seen before are what they should be."""
    for module in _modules_in(namespace.values()):
        if module.__name__ not in _seen:
            _seen[module.__name__] = _functions_of(module)


def _functions_of(module: types.ModuleType) -> dict[str, object]:
    kinds = (types.FunctionType, types.BuiltinFunctionType, type)
    return {n: v for n, v in list(vars(module).items()) if isinstance(v, kinds)}


def patched(namespace: Mapping[str, Any]) -> dict[str, Any]:
    """Functions of modules that are not what they were."""
    know_modules(namespace)
    found: list[str] = []
    for module in _modules_in(namespace.values()):
        now, then = _functions_of(module), _seen[module.__name__]
        found += [f"{module.__name__}.{n}" for n in then if now.get(n) is not then[n]]
    return {"functions of modules": sorted(found)}


_DATA_KINDS: Final = (str, int, float, bool, complex, bytes, type(None))


def data_in(namespace: Mapping[str, Any]) -> dict[str, str]:
    """As `data_of`, of the modules that are variables."""
    return data_of(module.__name__ for module in _modules_in(namespace.values()))


def data_of(names: Iterable[str]) -> dict[str, str]:
    """The public constants of modules that are loaded, which a cell may have set."""
    found = {name: sys.modules[name] for name in names if name in sys.modules}
    return {name: _constants(vars(module)) for name, module in found.items()}


def _constants(values: Mapping[str, object]) -> str:
    said = [
        f"{name}={value!r}"
        for name, value in sorted(values.items())
        if not name.startswith("_") and type(value) in _DATA_KINDS
    ]
    return text_digest(*said)


def _modules_in(values: Iterable[object]) -> list[types.ModuleType]:
    found: dict[str, types.ModuleType] = {}
    for value in list(values):
        if isinstance(value, types.ModuleType) and value.__name__ not in (
            "__main__",
            "__mp_main__",
        ):
            found[value.__name__] = value
    return list(found.values())
