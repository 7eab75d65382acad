"""How a process logs, as plain data. Changes nothing."""

from __future__ import annotations

import logging

from mlflowkit.nbrun.checkpoint.libraries import name_of
from mlflowkit.nbrun.checkpoint.store import text_digest


def settings_of_logging() -> dict[str, str]:
    """For each logger that has something of its own, what that is; at "" also what the
    whole module has."""
    root = logging.getLogger()
    found = {"": f"{_of_module(root)} {_of_logger(root)}"}
    for name, each in sorted(root.manager.loggerDict.items()):
        if isinstance(each, logging.Logger) and _has_own(each):
            found[name] = _of_logger(each)
    return found


def _has_own(logger: logging.Logger) -> bool:
    own = (logger.level, logger.handlers, logger.filters, logger.disabled)
    return any(own) or not logger.propagate


def _of_module(root: logging.Logger) -> str:
    names = text_digest(*(f"{k} {v}" for k, v in sorted(logging._levelToName.items())))
    makers = (logging.getLogRecordFactory(), logging.getLoggerClass())
    captures = logging._warnings_showwarning is not None  # type: ignore[attr-defined]  # its own
    facts = (root.manager.disable, names, [name_of(each) for each in makers], captures)
    return " ".join(map(str, facts))


def _of_logger(logger: logging.Logger) -> str:
    facts = [logger.level, bool(logger.propagate), bool(logger.disabled)]
    filters = [name_of(each) for each in logger.filters]
    return f"{facts} {filters} {[_of_handler(each) for each in logger.handlers]}"


def _of_handler(handler: logging.Handler) -> str:
    made = handler.formatter
    facts = (
        name_of(handler),
        handler.level,
        [name_of(each) for each in handler.filters],
        (name_of(made), made._fmt, made.datefmt) if made is not None else "",
        str(getattr(handler, "baseFilename", "")),
    )
    return str(facts)
