"""The demo, step by step: the S3 server, the pipeline, what came of it, and cleaning up."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from mlflowkit.authoring.loader import load_dag
from mlflowkit.cli.closing import tell_end
from mlflowkit.cli.console import console, print_json
from mlflowkit.cli.demo_files import digits_folder, pipeline_file
from mlflowkit.cli.demo_report import Report, make_report, predict, tell_report
from mlflowkit.cli.demo_results import results_of
from mlflowkit.cli.drive import carry_out
from mlflowkit.cli.finish import status_of
from mlflowkit.cli.jobs import Submit
from mlflowkit.cli.table import run_table
from mlflowkit.core.view import RunView
from mlflowkit.errors import DemoOnLoopback, MissingExtra
from mlflowkit.handles.request import make_request
from mlflowkit.handles.run import RunHandle
from mlflowkit.hooks.base import env_variable
from mlflowkit.hooks.s3 import parse_s3_url

BUCKET: Final = "mlflowkit-demo"
_NEEDED: Final = ("boto3", "fastapi", "matplotlib", "obstore", "sklearn", "torch")


class Tour:
    """One demo.

    Args:
        params: Parameters of the pipeline, but for the two URIs. None is its default.
        style: How it is written: notebooks, classic or taskflow.
        s3_uri: A person's own images; None starts a local server with ours.
    """

    def __init__(
        self,
        home: Path,
        params: dict[str, Any],
        *,
        style: str = "notebooks",
        s3_uri: str | None,
        model_uri: str | None,
        json: bool = False,
    ) -> None:
        self._home, self._json = home, json
        self._own_images = s3_uri is not None
        self._s3_uri = s3_uri or f"s3://{BUCKET}/digits"
        bucket, _ = parse_s3_url(self._s3_uri)
        models = model_uri or f"s3://{bucket}/models/{params['name']}"
        given = {name: value for name, value in params.items() if value is not None}
        self._params = {**given, "s3_uri": self._s3_uri, "model_uri": models}
        self._file = pipeline_file(home, style)
        self._console = console(stderr=json)
        #: What came of it, once it has succeeded.
        self.report: Report | None = None
        if params["target"] == "kubernetes" and not self._own_images:
            raise DemoOnLoopback

    def go(self, *, keep: bool, logs: bool) -> int:
        """Do it all. Gives the exit status."""
        _check_installed()
        begun = time.monotonic()
        dag = load_dag(str(self._file))
        dag.check(self._params)
        with self._images():
            request = make_request(dag, self._params, {"retry_delay": 0}, self._home)
            outcome = carry_out(Submit(request), self._home, self._console, logs=logs)
            handle = RunHandle(outcome.run_ids[0], self._home)
            try:
                view = self._tell(handle, time.monotonic() - begun)
                if keep and self.report is not None:
                    self._wait_for_a_person(self.report.url)
            finally:
                self._stop_model_server(handle)
        return status_of(outcome, [view])

    # ── before ──────────────────────────────────────────────────────────────

    @contextmanager
    def _images(self) -> Iterator[None]:
        """The images are in S3, and a connection leads there."""
        if self._own_images:
            yield
            return
        from mlflowkit.demo.digits import upload_folder
        from mlflowkit.demo.s3_server import S3Server

        self._say("starting an S3 server on loopback …")
        with S3Server(self._home / "demo" / "s3") as server:
            variable = env_variable(self._params["connection"])
            before = os.environ.get(variable)
            os.environ[variable] = server.connection_uri
            try:
                server.create_bucket(BUCKET)
                digits = digits_folder(self._home)
                sent = upload_folder(digits, self._s3_uri, self._params["connection"])
                self._say(f"{sent:,} images were put to {self._s3_uri} ({server.endpoint})")
                yield
            finally:
                _put_back(variable, before)

    # ── after ───────────────────────────────────────────────────────────────

    def _tell(self, handle: RunHandle, seconds: float) -> RunView:
        view = handle.view()
        if not self._console.is_terminal:
            self._console.print(run_table(view, {}, datetime.now(UTC)))
        view = tell_end(handle, self._console)
        if view.state != "success":
            if self._json:
                print_json(Report(view=view, seconds=seconds).as_dict())
            return view
        report = make_report(handle, view, seconds)
        if self._params["target"] == "local":
            predict(report, self._a_picture(report))
        tell_report(report, self._console)
        self.report = report
        if self._json:
            print_json(report.as_dict())
        return view

    def _a_picture(self, report: Report) -> Path:
        """An image to ask the model about."""
        manifest = report.results.manifest
        if not self._own_images or manifest is None:
            return sorted((digits_folder(self._home) / "7").glob("*.png"))[-1]
        from dataclasses import replace

        _, path = next(replace(manifest, images=manifest.images[-1:]).paths())
        return Path(path)

    def _wait_for_a_person(self, url: str) -> None:
        self._say(f"kept: the model at {url}. Ctrl-C stops what the demo has started.")
        numbers = {signal.SIGINT, signal.SIGTERM}
        before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
        try:
            signal.sigwait(numbers)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _stop_model_server(self, handle: RunHandle) -> None:
        """End the server that this run has deployed, and no other one of that name."""
        deployed = results_of(handle, handle.view()).deployment
        if deployed is not None and deployed.target == "local":
            from mlflowkit.ml.deploy import stop_local

            stop_local(deployed.name)

    def _say(self, line: str) -> None:
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)


def _put_back(variable: str, before: str | None) -> None:
    if before is None:
        os.environ.pop(variable, None)
    else:
        os.environ[variable] = before


def _check_installed() -> None:
    """Raises MissingExtra now, rather than in the middle."""
    for library in _NEEDED:
        if find_spec(library) is None:
            raise MissingExtra(library, "demo", "the demo")
