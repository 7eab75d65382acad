"""Settings of libraries and of the shell in a kernel, as plain data. Changes nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Final

from mlflowkit.nbrun.checkpoint.store import text_digest


def settings_of_libraries() -> dict[str, Any]:
    """Those of the libraries that are loaded, and of the shell."""
    found = {
        what: look(sys.modules[module])
        for module, (what, look) in _LIBRARIES.items()
        if module in sys.modules
    }
    return {**found, **_shell()}


def name_of(thing: object) -> str:
    """What a function or a class is called, or the class of something else."""
    return str(getattr(thing, "__qualname__", None) or type(thing).__qualname__)


def _numpy(numpy: Any) -> str:
    call = name_of(numpy.geterrcall())
    return text_digest(repr(numpy.geterr()), call, repr(numpy.get_printoptions()))


def _pandas(_: Any) -> str:
    from pandas._config import config

    return text_digest(_flat(config._global_config))


def _flat(settings: Any) -> str:
    if isinstance(settings, dict):
        return repr({str(key): _flat(value) for key, value in settings.items()})
    return _plain(settings)


def _plain(value: object) -> str:
    """Its text, where that holds no address."""
    text = repr(value)
    return name_of(value) if " at 0x" in text else text


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
        torch.get_float32_matmul_precision(),
        torch.is_anomaly_enabled(),
        torch.backends.cudnn.benchmark,
        torch.backends.cudnn.deterministic,
        vars(torch._tensor_str.PRINT_OPTS),
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
