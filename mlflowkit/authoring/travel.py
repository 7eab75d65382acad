"""Which objects can be sent to another process, and how they are taken apart and packed.

Packing is cloudpickle's, with two things added: names in a person's own modules stay names
(their current file goes along), and functions under `lru_cache` travel.
"""

from __future__ import annotations

import functools
import io
import pickle
import socket
import sqlite3
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable
from types import (
    AsyncGeneratorType,
    CoroutineType,
    FrameType,
    FunctionType,
    GeneratorType,
    ModuleType,
    TracebackType,
)
from typing import TYPE_CHECKING, Any, cast

import cloudpickle  # pyright: ignore[reportMissingTypeStubs]

from mlflowkit.authoring.places import load_place, place_of

if TYPE_CHECKING:
    from mlflowkit.authoring.modules import LocalModules

_LRU = type(functools.lru_cache(lambda: None))
_PROCESS = "it belongs to this process"
_REASONS: tuple[tuple[tuple[type, ...], str], ...] = (
    (
        (type(threading.Lock()), type(threading.RLock())),
        "a lock holds only in its process",
    ),
    ((threading.Event, threading.Condition, threading.Semaphore), "it holds a lock"),
    ((threading.Thread, subprocess.Popen), _PROCESS),
    ((io.TextIOWrapper, io.BufferedIOBase, io.FileIO), "an open file cannot be sent"),
    ((socket.socket,), "an open socket cannot be sent"),
    ((sqlite3.Connection, sqlite3.Cursor), "an open database cannot be sent"),
    (
        (GeneratorType, AsyncGeneratorType),
        "a generator cannot be stopped here to go on there",
    ),
    ((CoroutineType,), _PROCESS),
    ((FrameType, TracebackType), _PROCESS),
    ((weakref.ReferenceType,), "a weak reference names an object of this process"),
)
#: What taking an object apart may raise: it runs the object's own code.
TAKE_APART_ERRORS = (
    TypeError,
    ValueError,
    AttributeError,
    RuntimeError,
    LookupError,
    OSError,
    ImportError,
    pickle.PicklingError,
)


def why_not(value: object) -> str:
    """Why an object of this kind cannot be sent; empty if nothing is known against it."""
    if isinstance(value, (io.BytesIO, io.StringIO)):
        return ""
    for kinds, reason in _REASONS:
        if isinstance(value, kinds):
            return reason
    return _PROCESS if _is_of_a_loop(value) else ""


def _is_of_a_loop(value: object) -> bool:
    """Nothing is, where asyncio is not loaded: that would take longer than all else here."""
    asyncio: Any = sys.modules.get("asyncio")
    kinds = (getattr(asyncio, "Future", ()), getattr(asyncio, "AbstractEventLoop", ()))
    return isinstance(value, kinds)


def reduced(value: object) -> tuple[object, ...] | str:
    """What pickle would take the object apart into, or why it cannot."""
    if isinstance(value, _LRU):
        return _lru_parts(value)
    if _is_dense_tensor(value):
        return _tensor_parts(value)
    table = cast(
        "dict[type, Callable[[object], object]]", cloudpickle.Pickler.dispatch_table
    )
    known = table.get(type(value))
    try:
        parts = known(value) if known else value.__reduce_ex__(4)
    except TAKE_APART_ERRORS as exc:
        return str(exc) or type(exc).__name__
    if isinstance(parts, str):
        return _named(value, parts)
    return cast("tuple[object, ...]", parts)


def _is_dense_tensor(value: object) -> bool:
    torch: Any = sys.modules.get("torch")
    if not isinstance(value, getattr(torch, "Tensor", ())):
        return False
    tensor: Any = value
    return bool(tensor.layout is torch.strided and not tensor.is_quantized)


def _tensor_parts(tensor: Any) -> tuple[object, ...]:
    """Torch's own parts hold addresses, which differ in each process: its content instead."""
    torch: Any = sys.modules["torch"]
    flat = tensor.detach().cpu().contiguous().flatten()
    content = flat.view(torch.uint8).numpy().tobytes()
    facts = (str(tensor.dtype), tuple(tensor.shape), bool(tensor.requires_grad))
    return (cast("object", type(tensor)), facts, content)


def _named(value: object, name: str) -> tuple[object, ...] | str:
    module = getattr(value, "__module__", None) or type(value).__module__
    if module == "__main__":
        return f"it can only be found as {name} in this session"
    return ("named", str(module), name)


def _lru_parts(value: Any) -> tuple[object, ...]:
    return (_cached_again, (value.__wrapped__, value.cache_parameters()))


def _cached_again(function: Callable[..., Any], parameters: dict[str, Any]) -> Any:
    """A function under `lru_cache`, with an empty cache."""
    return functools.lru_cache(**parameters)(function)


class BundlePickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle has no types
    """Packs the tasks of a bundle."""

    def __init__(self, file: io.BytesIO, modules: LocalModules) -> None:
        super().__init__(file)  # pyright: ignore[reportUnknownMemberType]
        self._modules = modules

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, (FunctionType, type)):
            place = place_of(obj, self._modules)
            if place is not None and self._modules.is_local(place.module):
                return load_place, tuple(place)
        elif isinstance(obj, _LRU) and _module_of(cast("object", obj)) == "__main__":
            return _lru_parts(obj)
        elif isinstance(obj, ModuleType) and self._modules.is_local(obj.__name__):
            return _import, (obj.__name__,)
        return super().reducer_override(obj)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]


def _module_of(value: object) -> str | None:
    return cast("str | None", getattr(value, "__module__", None))


def _import(name: str) -> ModuleType:
    from importlib import import_module

    return import_module(name)


def packed(value: object, modules: LocalModules) -> bytes:
    """The value as bytes. Raises TAKE_APART_ERRORS if it cannot travel."""
    file = io.BytesIO()
    BundlePickler(file, modules).dump(value)  # pyright: ignore[reportUnknownMemberType]
    return file.getvalue()
