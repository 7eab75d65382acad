"""What a process holds beside variables: settings, random states, modules, threads.

`probe` gives plain data that is equal where nothing has changed; what differs after a
cell was changed by it, and the cell is replayed. Random states are brought back instead.
Runs in a kernel; changes nothing but by `set_random`.
"""

from __future__ import annotations

import builtins
import decimal
import locale
import logging
import os
import pickle
import random
import signal
import site
import socket
import sys
import sysconfig
import threading
import types
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from mlflowkit.nbrun.checkpoint.store import digest, text_digest

#: Different in each kernel, and nothing that a cell sets.
_OWN_VARIABLES: Final = (
    "JPY_",
    "MLFLOWKIT_",
    "PYDEVD_",
    "IPY_INTERRUPT",
    "COLUMNS",
    "LINES",
)
#: Data of a local module that is looked at.
_MOST_BYTES: Final = 1 << 20


def here() -> dict[str, Any]:
    """The settings that a fork of this process would not have. Plain data."""
    return {
        "handlers of signals": _signals(),
        "threads": _threads(),
        "child processes": _children(),
        "sys.stdout": [_name(sys.stdout), _name(sys.stderr)],
    }


def rest(namespace: Mapping[str, Any]) -> dict[str, Any]:
    """All other settings, by what they are. Plain data."""
    found: dict[str, Any] = {
        "the working folder": os.getcwd(),
        "environment variables": _environment(),
        "sys.path": text_digest(*map(str, sys.path)),
        "filters of warnings": text_digest(*map(repr, warnings.filters)),
        "logging": _logging(),
        "the locale": locale.setlocale(locale.LC_ALL),
        "the decimal context": repr(decimal.getcontext()),
        "the recursion limit": sys.getrecursionlimit(),
        "hooks of the interpreter": [
            _name(hook) for hook in (sys.excepthook, sys.gettrace(), sys.displayhook)
        ],
        "the sockets' time-out": socket.getdefaulttimeout(),
        "builtins": _builtins(),
    }
    for module, (what, look) in _LIBRARIES.items():
        if module in sys.modules:
            found[what] = look(sys.modules[module])
    found.update(_shell())
    found.update(_local_modules())
    found.update(_patched(namespace))
    return found


def probe(namespace: Mapping[str, Any]) -> dict[str, Any]:
    """All settings of this process."""
    return {**here(), **rest(namespace)}


# ── the process ──


def _environment() -> str:
    kept = [f"{k}={v}" for k, v in os.environ.items() if not k.startswith(_OWN_VARIABLES)]
    return text_digest(*sorted(kept))


def _name(thing: object) -> str:
    return str(getattr(thing, "__qualname__", None) or type(thing).__qualname__)


def _logging() -> str:
    root = logging.getLogger()
    said = [f"{root.level} {logging.root.manager.disable}", *map(_name, root.handlers)]
    for name, each in sorted(logging.root.manager.loggerDict.items()):
        if isinstance(each, logging.Logger) and (each.level or each.handlers):
            said.append(f"{name} {each.level} {[_name(h) for h in each.handlers]}")
    return text_digest(*said)


#: The shell puts its own handler there while a cell runs.
_SIGNALS: Final = sorted(signal.valid_signals() - {signal.SIGINT})


def _signals() -> str:
    return text_digest(*(_name(signal.getsignal(each)) for each in _SIGNALS))


_builtins_then: Final[dict[str, int]] = {name: id(v) for name, v in vars(builtins).items()}


def _builtins() -> list[str]:
    now = vars(builtins)
    ours = {"_", "__", "___", "input"}  # the kernel puts its own there for each cell
    names = (now.keys() | _builtins_then.keys()) - ours
    return sorted(n for n in names if id(now.get(n)) != _builtins_then.get(n))


_threads_then: Final[set[int | None]] = set()


def know_threads() -> None:
    """The threads that run now are the kernel's own."""
    _threads_then.update(each.ident for each in threading.enumerate())


def _threads() -> int:
    own = ("IPythonHistorySavingThread", "Tmp", "asyncio_", "IOPub", "Heartbeat", "Control")
    return sum(
        each.ident not in _threads_then and not each.name.startswith(own)
        for each in threading.enumerate()
    )


#: Children that write checkpoints.
own_children: Final[set[int]] = set()


def _children() -> int:
    try:
        told = Path(f"/proc/self/task/{threading.main_thread().native_id}/children")
        return len({int(pid) for pid in told.read_text().split()} - own_children)
    except (OSError, ValueError):
        return 0


# ── libraries ──


def _numpy(numpy: Any) -> str:
    return text_digest(repr(numpy.geterr()), repr(numpy.get_printoptions()))


def _pandas(_: Any) -> str:
    from pandas._config import config

    return text_digest(_flat(config._global_config))


def _flat(settings: Any) -> str:
    if isinstance(settings, dict):
        return repr({str(key): _flat(value) for key, value in settings.items()})
    return _plain(settings)


def _plain(value: object) -> str:
    """Its text, where that holds no address."""
    plain = (str, int, float, bool, type(None), tuple, list)
    return repr(value) if isinstance(value, plain) else _name(value)


def _matplotlib(matplotlib: Any) -> str:
    settings = sorted((k, v) for k, v in dict.items(matplotlib.rcParams) if k != "backend")
    return text_digest(*(f"{k}={_plain(v)}" for k, v in settings))


def _figures(helpers: Any) -> int:
    return len(helpers.Gcf.figs)


def _torch(torch: Any) -> list[str]:
    flags = (
        torch.get_default_dtype(),
        torch.get_num_threads(),
        torch.is_grad_enabled(),
        torch.are_deterministic_algorithms_enabled(),
        torch.get_default_device() if hasattr(torch, "get_default_device") else "",
    )
    return [str(flag) for flag in flags]


_LIBRARIES: Final[dict[str, tuple[str, Callable[[Any], Any]]]] = {
    "numpy": ("numpy's settings", _numpy),
    "pandas": ("pandas' options", _pandas),
    "matplotlib": ("matplotlib's settings", _matplotlib),
    "matplotlib._pylab_helpers": ("open figures", _figures),
    "torch": ("torch's settings", _torch),
    "sklearn": ("scikit-learn's settings", lambda sklearn: repr(sklearn.get_config())),
}


def _shell() -> dict[str, Any]:
    ipython = sys.modules.get("IPython")
    shell: Any = ipython.get_ipython() if ipython is not None else None
    if shell is None:
        return {}
    formatters = shell.display_formatter.formatters.values()
    printers = [len(f.type_printers) + len(f.deferred_printers) for f in formatters]
    return {
        "the shell's extensions": sorted(shell.extension_manager.loaded),
        "the shell's transformers": [
            len(shell.input_transformers_cleanup),
            len(shell.input_transformers_post),
            len(shell.ast_transformers),
        ],
        "the shell's callbacks": [len(each) for each in shell.events.callbacks.values()],
        "how values are shown": printers,
    }


# ── modules ──


def local_modules() -> dict[str, str]:
    """Files of the person's own modules that are loaded, with the hash of their content."""
    found: dict[str, str] = {}
    for module in list(sys.modules.values()):
        path = getattr(module, "__file__", None)
        if path and _is_local(path):
            try:
                found[path] = digest(Path(path).read_bytes())
            except OSError:
                found[path] = ""
    return found


_installed: list[str] = []


def _is_local(path: str) -> bool:
    if not _installed:
        paths = sysconfig.get_paths()
        _installed.extend({paths["stdlib"], paths["platstdlib"], paths["purelib"]})
        _installed.extend([paths["platlib"], *site.getsitepackages()])
        _installed.append(site.getusersitepackages())
        _installed.append(str(Path(__file__).parents[2]))
    return path.endswith(".py") and not path.startswith(tuple(_installed))


def _local_modules() -> dict[str, Any]:
    """The data that local modules hold: a cell may change it by calling them."""
    found: dict[str, Any] = {}
    for name, module in list(sys.modules.items()):
        path = getattr(module, "__file__", None)
        if path and name not in ("__main__", "__mp_main__") and _is_local(path):
            found[f"the state of module {name}"] = _state_of(module)
    return found


def _state_of(module: types.ModuleType) -> str:
    said: list[str] = []
    for name, value in sorted(vars(module).items()):
        if name.startswith("__") or isinstance(value, types.ModuleType):
            continue
        if isinstance(value, type | types.FunctionType | types.BuiltinFunctionType):
            said.append(f"{name} {value.__module__} {value.__qualname__}")
            continue
        try:
            said.append(f"{name} {digest(pickle.dumps(value)[:_MOST_BYTES])}")
        except Exception:  # noqa: BLE001 - the code of any class may be called here
            said.append(f"{name} {_name(type(value))}")
    return text_digest(*said)


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


def _patched(namespace: Mapping[str, Any]) -> dict[str, Any]:
    """Functions of modules that are not what they were."""
    know_modules(namespace)
    found: list[str] = []
    for module in _modules_in(namespace.values()):
        now, then = _functions_of(module), _seen[module.__name__]
        found += [f"{module.__name__}.{n}" for n in then if now.get(n) is not then[n]]
    return {"functions of modules": sorted(found)}


def _modules_in(values: Iterable[object]) -> list[types.ModuleType]:
    found: dict[str, types.ModuleType] = {}
    for value in list(values):
        if isinstance(value, types.ModuleType) and value.__name__ not in (
            "__main__",
            "__mp_main__",
        ):
            found[value.__name__] = value
    return list(found.values())


def interpreter() -> str:
    """Of which Python and packages this process is: changes with every installation."""
    said = [sys.version, sys.executable]
    folders = sorted({*site.getsitepackages(), *sysconfig.get_paths().values()})
    packages = [f for f in folders if f.endswith("packages") and os.path.isdir(f)]
    return text_digest(*said, *(f"{f} {os.stat(f).st_mtime_ns}" for f in packages))


# ── random states ──


def get_random() -> bytes:
    """The states of the generators behind random, numpy.random and torch."""
    states: dict[str, Any] = {"random": random.getstate()}
    numpy, torch = sys.modules.get("numpy"), sys.modules.get("torch")
    if "numpy.random" in sys.modules and numpy is not None:
        states["numpy"] = numpy.random.get_state()
    if torch is not None:
        states["torch"] = torch.get_rng_state().numpy().tobytes()
    return pickle.dumps(states, protocol=5)


def set_random(stored: bytes | bytearray) -> None:
    """Bring them back."""
    states = pickle.loads(stored)
    random.setstate(states["random"])
    if "numpy" in states:
        import numpy

        numpy.random.set_state(states["numpy"])
    if "torch" in states:
        import torch

        torch.set_rng_state(torch.frombuffer(bytearray(states["torch"]), dtype=torch.uint8))
