"""How progress reads, in a terminal, a notebook and a browser alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

#: Facts of a report that are no metrics.
STEPS: Final = frozenset(
    {"kind", "cell", "epoch", "epochs", "done", "total", "step", "steps"}
)
#: Metrics that read better in a form of their own.
_FORMS: Final = {
    "loss": "loss {:.3f}",
    "accuracy": "accuracy {:.1%}",
    "images_per_s": "{:,.0f} images/s",
}
_LONGEST: Final = 60


def report_text(report: Mapping[str, Any]) -> str:
    """A report in a line: `epoch 3/8, 378 of 1,259, loss 0.310, accuracy 91.0%`."""
    parts = [str(report["message"])] if "message" in report else []
    if "epoch" in report:
        parts.append(f"epoch {report['epoch']}/{report.get('epochs', '?')}")
    if report.get("total"):
        parts.append(f"{_shown(report.get('done', 0))} of {_shown(report['total'])}")
    known = STEPS | {"message"}
    parts += [_metric(name, value) for name, value in report.items() if name not in known]
    return ", ".join(parts)


def _metric(name: str, value: object) -> str:
    if name in _FORMS and is_number(value):
        return _FORMS[name].format(value)
    return f"{name} {_shown(value)}"


def _shown(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)[:_LONGEST]
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def is_number(value: object) -> bool:
    """Whether it is a number; True and False are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def span_text(seconds: float) -> str:
    """`42 s`, `3 min 05 s`, `2 h 07 min`; parts of a second are cut off."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"
