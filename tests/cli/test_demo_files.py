"""Where an installed demo finds its pipeline."""

from __future__ import annotations

from pathlib import Path

import pytest

import mlflowkit
from mlflowkit.cli.demo_files import PIPELINES, pipeline_file
from mlflowkit.errors import UnknownStyle

ROOT = Path(__file__).parents[2]


def test_a_checkout_uses_its_own_files(tmp_path: Path) -> None:
    assert pipeline_file(tmp_path) == ROOT / "pipelines" / "train_and_deploy.py"


@pytest.mark.parametrize("style", PIPELINES)
def test_each_style_is_a_file_of_the_project(style: str, tmp_path: Path) -> None:
    assert pipeline_file(tmp_path, style) == ROOT / "pipelines" / PIPELINES[style]
    assert pipeline_file(tmp_path, style).is_file()


def test_a_style_that_there_is_not_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UnknownStyle, match="there are classic, notebooks, taskflow"):
        pipeline_file(tmp_path, "jupyter")


def test_an_installed_package_copies_them_and_never_writes_over_a_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package, home = tmp_path / "site" / "mlflowkit", tmp_path / "home"
    for folder in ("pipelines", "notebooks"):
        (package / "demo" / folder).mkdir(parents=True)
    (package / "demo" / "pipelines" / "train_and_deploy.py").write_text("shipped")
    (package / "demo" / "notebooks" / "preprocess.ipynb").write_text("shipped")
    monkeypatch.setattr(mlflowkit, "__file__", str(package / "__init__.py"))
    file = pipeline_file(home)
    assert file.read_text() == "shipped"
    assert (file.parent.parent / "notebooks" / "preprocess.ipynb").read_text() == "shipped"
    file.write_text("changed")
    assert pipeline_file(home).read_text() == "changed"
