"""What the demo shows at the end: accuracy, model, notebooks, and a request that was answered."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlflowkit.cli.closing import as_json
from mlflowkit.cli.demo_results import Results, executed_notebooks, results_of
from mlflowkit.cli.words import duration, shown_path
from mlflowkit.core.view import RunView
from mlflowkit.errors import PredictionFailed
from mlflowkit.handles.run import RunHandle

if TYPE_CHECKING:
    from rich.console import Console

REQUEST_SECONDS = 30
_INSIDE = ("view", "results", "server_log")


@dataclass
class Report:
    """What came of a demo."""

    view: RunView
    seconds: float
    results: Results = field(default_factory=Results)
    images: int = 0
    downloaded: int = 0
    accuracy: float | None = None
    model: str = ""
    url: str = ""
    server_log: str = ""
    notebooks: list[str] = field(default_factory=list[str])
    curl: str = ""
    answer: dict[str, Any] = field(default_factory=dict[str, Any])

    def as_dict(self) -> dict[str, Any]:
        """All of it as JSON; begins as the object of `mlflowkit run --json`."""
        own = {k: v for k, v in vars(self).items() if k not in _INSIDE}
        return {**as_json(self.view), **own}


def make_report(handle: RunHandle, view: RunView, seconds: float) -> Report:
    """The results of a run of the tutorial pipeline, from its XComs."""
    found = results_of(handle, view)
    report = Report(view=view, seconds=round(seconds, 1), results=found)
    if found.manifest is not None:
        report.images = len(found.manifest.images)
        report.downloaded = found.manifest.downloaded
    if found.metrics is not None:
        report.accuracy = found.metrics.get("test_accuracy")
    if found.deployment is not None:
        report.model, report.url = found.deployment.model, found.deployment.url
        report.server_log = found.deployment.log or ""
    report.notebooks = [str(path) for path in executed_notebooks(handle, view)]
    return report


def predict(report: Report, picture: Path) -> None:
    """Ask the model about a picture, with the very line that is shown.

    Raises:
        PredictionFailed: it did not answer.
    """
    command = ["curl", "-sS", *_past_proxies(), "-F", f"file=@{shown_path(picture)}"]
    command.append(f"{report.url}/predict")
    report.curl = shlex.join(command)
    said = _by_curl(command) if shutil.which("curl") else _by_httpx(report.url, picture)
    try:
        report.answer = json.loads(said)
        _ = report.answer["class"], report.answer["probability"]
    except (ValueError, KeyError, TypeError) as exc:
        raise PredictionFailed("demo", said[:500], report.server_log, "") from exc


def _past_proxies() -> list[str]:
    """The server is on this machine: no proxy leads there."""
    names = ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY")
    return ["--noproxy", "*"] if any(map(os.environ.get, names)) else []


def _by_curl(command: list[str]) -> str:
    asked = subprocess.run(
        [*command, "--max-time", str(REQUEST_SECONDS)],
        capture_output=True,
        text=True,
        check=False,
    )
    return asked.stdout or asked.stderr


def _by_httpx(url: str, picture: Path) -> str:
    import httpx

    try:
        asked = httpx.post(
            f"{url}/predict",
            files={"file": picture.read_bytes()},
            timeout=REQUEST_SECONDS,
            trust_env=False,
        )
    except httpx.HTTPError as exc:
        return f"{type(exc).__name__}: {exc}"
    return asked.text


def tell_report(report: Report, console: Console) -> None:
    """Show it."""
    accuracy = f"{report.accuracy:.1%}" if report.accuracy is not None else "not measured"
    lines = [
        "",
        f"images         {report.images:,}, {report.downloaded:,} of them downloaded now",
        f"test accuracy  {accuracy}",
        f"model          {report.model}",
        *(f"notebook       {shown_path(path)}" for path in report.notebooks),
        f"served at      {report.url}",
    ]
    if report.answer:
        probability = report.answer["probability"]
        lines += [
            "",
            f"$ {report.curl}",
            f"  → class {report.answer['class']!r}, probability {probability:.2f}",
        ]
    lines += ["", f"all in {duration(report.seconds)}"]
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
