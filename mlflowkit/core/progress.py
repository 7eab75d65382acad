"""How far an attempt is, from the notes that it makes: cells, steps, metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from mlflowkit.core.progress_text import STEPS, is_number, report_text

#: Points of a metric that are kept; of more every second one is left out, again and again.
CURVE_POINTS: Final = 300
#: Different metrics that are kept of one attempt.
CURVES: Final = 12


@dataclass
class Curve:
    """One metric over the reports of an attempt."""

    xs: list[float] = field(default_factory=list[float])
    ys: list[float] = field(default_factory=list[float])
    stride: int = 1
    seen: int = 0

    def add(self, x: float, y: float) -> None:
        """One more point. Memory stays bounded, and the whole course is kept."""
        if self.seen % self.stride == 0:
            self.xs.append(x)
            self.ys.append(y)
        self.seen += 1
        if len(self.xs) > CURVE_POINTS:
            self.xs, self.ys, self.stride = self.xs[::2], self.ys[::2], self.stride * 2


@dataclass
class AttemptProgress:
    """What one attempt has told so far. `take` every note once, in order."""

    cells: int = 0
    #: Code cells that were begun, and the index of the latest one in its notebook.
    begun: int = 0
    cell: int = -1
    source: str = ""
    report: dict[str, Any] = field(default_factory=dict[str, Any])
    curves: dict[str, Curve] = field(default_factory=dict[str, Curve])
    reports: int = 0

    def take(self, note: Mapping[str, Any]) -> None:
        """One note of the attempt's journal. What is not known says nothing."""
        kind = note.get("kind")
        if kind == "notebook_started":
            self.cells, self.begun = _whole(note.get("cells")), 0
        elif kind == "cell_started":
            self.begun += 1
            self.cell = _whole(note.get("cell"), -1)
            self.source, self.report = str(note.get("source", ""))[:200], {}
        elif kind == "progress":
            self._report(note)

    def _report(self, note: Mapping[str, Any]) -> None:
        self.report = {k: v for k, v in list(note.items())[:20] if k != "kind"}
        self.reports += 1
        x = float(self.reports)
        for name, value in self.report.items():
            metric = isinstance(value, int | float) and not isinstance(value, bool)
            if name in STEPS or not metric:
                continue
            if name in self.curves or len(self.curves) < CURVES:
                self.curves.setdefault(name, Curve()).add(x, float(value))

    @property
    def share(self) -> float | None:
        """How much of it is done, from 0 to 1, where that can be told."""
        done, total = self.report.get("done"), self.report.get("total")
        if not _positive(total):
            done, total = self.report.get("epoch"), self.report.get("epochs")
        inner = float(done) / float(total) if _positive(total) and is_number(done) else None  # type: ignore[arg-type]
        if not self.cells:
            return None if inner is None else min(max(inner, 0.0), 1.0)
        within = 0.0 if inner is None else min(max(inner, 0.0), 1.0)
        return min((max(self.begun - 1, 0) + within) / self.cells, 1.0)

    @property
    def text(self) -> str:
        """`cell 4 of 8: epoch 3/8, loss 0.310`."""
        told = report_text(self.report)
        if not self.cells:
            return told
        if not self.begun:
            return f"starts, {self.cells} cells"
        where = f"cell {min(self.begun, self.cells)} of {self.cells}"
        said = told or self.source
        return f"{where}: {said}" if said else where

    def facts(self) -> dict[str, Any] | None:
        """For a screen; None before anything was told."""
        if not self.cells and not self.report:
            return None
        share = self.share
        found: dict[str, Any] = {"text": self.text[:200]}
        if share is not None:
            found["share"] = round(share, 3)
        if self.cells:
            found["cell"] = self.cell
        return found

    def curve_facts(self) -> list[dict[str, Any]]:
        """The metrics that make a curve, by name."""
        return [
            {"name": name[:60], "x": curve.xs, "y": curve.ys}
            for name, curve in self.curves.items()
            if len(curve.xs) > 1
        ]


def _positive(value: object) -> bool:
    return isinstance(value, int | float) and value > 0


def _whole(value: object, otherwise: int = 0) -> int:
    return value if isinstance(value, int) else otherwise
