"""The pytest plugin: fixtures for pipelines, and each pipeline file as a test of its own.

    pytest --mlflowkit-dags pipelines/ [--mlflowkit-lint]

Every pytest of an environment with mlflowkit loads this file. It must stay light: nothing
of mlflowkit is imported before a fixture or an option asks for it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from contextlib import ExitStack

    from mlflowkit.authoring.folder import FolderReport
    from mlflowkit.authoring.lint_rules import Finding
    from mlflowkit.testing import DagRunner, FrozenTime

OPTION, INI = "--mlflowkit-dags", "mlflowkit_dags"


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options of the integrity tests."""
    group = parser.getgroup("mlflowkit", "mlflowkit: pipelines as tests")
    group.addoption(
        OPTION,
        action="append",
        metavar="FOLDER",
        help="load every pipeline file below FOLDER; each is a test. May be given often.",
    )
    group.addoption(
        "--mlflowkit-lint",
        action="store_true",
        help="lint these files as well: each is one more test",
    )
    parser.addini(
        INI,
        type="paths",
        default=[],
        help="folders for --mlflowkit-dags, when no single tests are asked for",
    )


# ── pipeline files ──────────────────────────────────────────────────────────


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(
    session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Put the tests of pipeline files beside those that were collected."""
    found = [item for folder in _folders(config) for item in _items(session, folder)]
    items.extend(found)


def _folders(config: pytest.Config) -> list[Path]:
    """What the option names; else what the ini file does, unless something else was asked for."""
    here = config.invocation_params.dir
    given = [here / one for one in config.getoption(OPTION) or ()]
    if given:
        return given
    asked = [str(one) for one in config.args]
    named: list[Path] = config.getini(INI)
    if config.args_source is not pytest.Config.ArgsSource.ARGS:
        return named
    return [one for one in named if any(_holds(here / a, one) for a in asked)]


def _holds(asked: Path, folder: Path) -> bool:
    return "::" not in str(asked) and folder.is_relative_to(asked)


def _items(session: pytest.Session, folder: Path) -> Iterator[pytest.Item]:
    from mlflowkit.authoring.folder_files import candidates
    from mlflowkit.errors import UserError

    try:
        files = candidates(folder)
    except UserError as exc:
        raise pytest.UsageError(f"{OPTION}: {exc}") from exc
    loaded = _Loaded(session.config, folder)
    for file in files:
        parent: PipelineFile = PipelineFile.from_parent(
            session, path=Path(os.path.abspath(file.path))
        )
        yield DagsItem.from_parent(parent, name="dags", loaded=loaded)
        if session.config.getoption("--mlflowkit-lint"):
            yield LintItem.from_parent(parent, name="lint", loaded=loaded)


class _Loaded:
    """A folder, loaded when the first of its tests asks."""

    def __init__(self, config: pytest.Config, folder: Path) -> None:
        self._config, self._folder = config, folder
        self._home: Path | None = None
        self._report: FolderReport | None = None
        self._findings: list[Finding] | None = None

    def _in(self) -> Path:
        if self._home is None:
            self._home = Path(tempfile.mkdtemp(prefix="mlflowkit-dags-"))
            self._config.add_cleanup(lambda: shutil.rmtree(str(self._home), True))
        return self._home

    def report(self) -> FolderReport:
        """All DAGs and errors of the folder."""
        if self._report is None:
            from mlflowkit.authoring.folder import load_folder

            self._report = load_folder(self._folder, self._in())
        return self._report

    def findings(self) -> list[Finding]:
        """What the rules find in it."""
        if self._findings is None:
            from mlflowkit.authoring.lint import lint

            self._findings = lint(self._folder, self._in())
        return self._findings


class PipelineFile(pytest.File):
    """A file that may define DAGs."""

    def collect(self) -> list[pytest.Item]:
        return []


class BadPipeline(Exception):
    """What is wrong with a pipeline file, in lines for people."""


class _PipelineItem(pytest.Item):
    def __init__(self, *, loaded: _Loaded, **more: Any) -> None:
        super().__init__(**more)
        self.loaded = loaded

    @property
    def real_path(self) -> str:
        return os.path.realpath(self.path)

    def repr_failure(
        self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None
    ) -> Any:
        if isinstance(excinfo.value, BadPipeline):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int, str]:
        return self.path, 0, f"{self.path.name}::{self.name}"


class DagsItem(_PipelineItem):
    """Can the file be loaded, and are its DAGs whole?"""

    def runtest(self) -> None:
        errors = [
            error for error in self.loaded.report().errors if error.file == self.real_path
        ]
        if errors:
            raise BadPipeline("\n".join(_error_text(self.path, one) for one in errors))


class LintItem(_PipelineItem):
    """Do the rules of `mlflowkit dags lint` find anything in it?"""

    def runtest(self) -> None:
        mine = [
            one
            for one in self.loaded.findings()
            if one.counts and os.path.realpath(one.file) == self.real_path
        ]
        mine = [one for one in mine if one.rule != "not-loaded"]
        if mine:
            lines = (
                f"{self.path.name}:{one.line}: {one.rule}: {one.reason} {one.todo}"
                for one in mine
            )
            raise BadPipeline("\n".join(lines))


def _error_text(path: Path, error: Any) -> str:
    at = f":{error.line}" if error.line and not error.where else ""
    about = f"DAG {error.dag_id!r}: " if error.dag_id else ""
    within = f" (in {error.where}{f', line {error.line}' if error.line else ''})"
    return f"{path.name}{at}: {about}{error.error}{within if error.where else ''}"


# ── fixtures ────────────────────────────────────────────────────────────────


@pytest.fixture
def mlflowkit_home(tmp_path: Path) -> Generator[Path, None, None]:
    """An empty home for this test; an engine that was started in it is stopped."""
    from mlflowkit.testing import fresh_home

    with fresh_home(tmp_path / "mlflowkit-home") as home:
        yield home


@pytest.fixture
def dag_runner(mlflowkit_home: Path) -> DagRunner:
    """Runs DAGs and tasks of this test: `.run`, `.run_task`, `.assert_runs`, `.submit`."""
    from mlflowkit.testing import DagRunner

    return DagRunner(mlflowkit_home)


@pytest.fixture
def simulate() -> Callable[..., Any]:
    """`simulate(dag, start, end, …)`: what `dag.simulate(start, end, …)` gives."""

    def run(dag: Any, start: Any, end: Any, **options: Any) -> Any:
        return dag.simulate(start, end, **options)

    return run


@pytest.fixture
def _until_the_end() -> Generator[ExitStack, None, None]:
    from contextlib import ExitStack

    with ExitStack() as stack:
        yield stack


@pytest.fixture
def stub_connections(_until_the_end: ExitStack) -> Callable[..., None]:
    """`stub_connections(aws_default="…")`: these answer until the test ends."""
    from mlflowkit import testing

    def stub(given: Any = None, **more: Any) -> None:
        _until_the_end.enter_context(testing.stub_connections(given, **more))

    return stub


@pytest.fixture
def stub_variables(_until_the_end: ExitStack) -> Callable[..., None]:
    """`stub_variables(bucket="b")`: these answer until the test ends."""
    from mlflowkit import testing

    def stub(given: Any = None, **more: Any) -> None:
        _until_the_end.enter_context(testing.stub_variables(given, **more))

    return stub


@pytest.fixture
def frozen_time(_until_the_end: ExitStack) -> Callable[..., FrozenTime]:
    """`clock = frozen_time("2026-03-01")`: sensors wait no real time until the test ends."""
    from mlflowkit import testing

    def freeze(moment: Any) -> FrozenTime:
        return _until_the_end.enter_context(testing.frozen_time(moment))

    return freeze
