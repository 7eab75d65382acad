"""What the submitter had around them may be gone when their attempt is to start."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import mlflowkit.handles.request
from mlflowkit import DAG, task
from mlflowkit.errors import RunFailed
from mlflowkit.surroundings import surroundings
from tests.homes import fresh_home


@task
def answer() -> int:
    return 42


@pytest.mark.parametrize("gone", [{"cwd": "/not/there"}, {"python": "/not/there/python"}])
def test_an_attempt_that_cannot_be_started_fails_and_the_engine_lives_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gone: dict[str, str]
) -> None:
    with fresh_home(tmp_path) as home, DAG("lonely") as dag:
        answer()
        monkeypatch.setenv("MLFLOWKIT_HOME", str(home))
        with monkeypatch.context() as patch:
            patch.setattr(
                mlflowkit.handles.request,
                "surroundings",
                lambda: replace(surroundings(), **gone),
            )
            broken = dag.run(wait=False)
        with pytest.raises(RunFailed, match=r"no process can be started.*not/there"):
            broken.wait(timeout=120)
        assert dag.run(wait=True)["answer"].result() == 42
