"""The main job: from images in S3 to a model that answers, by one command."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.cli.terminal import Answer, Terminal, finished, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

MINUTES = 60
ALL_GOOD = {
    f"{task}[-1]": "success"
    for task in ("read_images", "preprocess", "fine_tune", "upload_model", "deploy_model")
}


@pytest.fixture(scope="module")
def first(terminal: Terminal) -> Answer:
    """The demo on a fresh home."""
    return terminal("demo", "--json", seconds=8 * MINUTES)


@pytest.fixture(scope="module")
def report(first: Answer) -> dict[str, Any]:
    assert first.status == 0, first.err
    found: dict[str, Any] = first.json()
    return found


def test_five_tasks_succeed_and_the_model_is_at_least_90_percent_right(
    report: dict[str, Any],
) -> None:
    assert (report["dag_id"], report["state"], report["tasks"]) == (
        "train_and_deploy",
        "success",
        ALL_GOOD,
    )
    assert report["accuracy"] >= 0.9
    assert report["images"] == report["downloaded"] == 1797
    assert report["model"].startswith("s3://mlflowkit-demo/models/digits/")


def test_the_request_that_is_shown_was_answered(report: dict[str, Any]) -> None:
    assert report["curl"].startswith("curl ")
    assert report["url"] in report["curl"]
    probabilities = report["answer"]["probabilities"]
    assert sorted(probabilities) == [str(digit) for digit in range(10)]
    assert report["answer"]["class"] == "7"


def test_the_executed_notebooks_are_kept_with_their_outputs(
    report: dict[str, Any], terminal: Terminal
) -> None:
    assert [Path(path).name for path in report["notebooks"]] == [
        "preprocess.ipynb",
        "fine_tune.ipynb",
    ]
    for path in report["notebooks"]:
        assert Path(path).is_relative_to(terminal.home / "runs")
        cells = json.loads(Path(path).read_text())["cells"]
        outputs = [o for cell in cells for o in cell.get("outputs", ())]
        pictures = [o for o in outputs if "image/png" in o.get("data", {})]
        assert pictures, path


def test_nothing_is_left_running(first: Answer, terminal: Terminal) -> None:
    assert first.status == 0
    assert terminal.left_running() == []


def test_a_second_run_downloads_nothing_and_keep_leaves_the_model_at_work(
    report: dict[str, Any], terminal: Terminal
) -> None:
    assert report["downloaded"] == 1797
    process = terminal.start("demo", "--keep", "--epochs", "1", "--image-size", "16")
    out = process.stdout
    assert out is not None
    said: list[str] = []

    def kept() -> bool:
        said.append(out.readline())
        assert said[-1], process.communicate()
        return "kept: the model at" in said[-1]

    wait_until(kept, "it is kept")
    assert "images         1,797, 0 of them downloaded now\n" in said
    url = said[-1].split()[4].rstrip(".")
    assert httpx.get(f"{url}/readyz", trust_env=False).status_code == 200
    process.send_signal(signal.SIGINT)
    assert finished(process).status == 0
    assert terminal.left_running() == []


def test_a_failing_task_exits_with_1_names_its_cell_and_leaves_nothing(
    terminal: Terminal,
) -> None:
    options = ("--weights", "nowhere.pth", "--image-size", "16")
    answer = terminal("demo", *options, seconds=4 * MINUTES)
    assert answer.status == 1
    assert "task fine_tune (NotebookOperator) failed" in answer.out
    assert "finetune_resnet.ipynb" in answer.out
    assert "nowhere.pth" in answer.out
    assert "mlflowkit runs retry train_and_deploy/" in answer.out
    assert terminal.left_running() == []


def test_a_cluster_cannot_read_from_the_demos_own_server(terminal: Terminal) -> None:
    answer = terminal("demo", "--target", "kubernetes")
    assert answer.status == 2
    assert "--s3-uri" in answer.err
