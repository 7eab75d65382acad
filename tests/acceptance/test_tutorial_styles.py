"""The tutorial pipeline, written with operators and written with functions: the same story."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlflowkit.authoring.loader import load_dag
from mlflowkit.cli.demo_results import Results, take_mapping
from mlflowkit.demo.digits import upload_folder
from mlflowkit.ml.deploy import Deployment
from tests.cli.terminal import Terminal
from tests.kubernetes_server import FakeKubernetes, kubeconfig, serving, succeeds
from tests.ml.digits import digits
from tests.operators.kubernetes_tasks import printed
from tests.s3 import bucket, s3, s3_server

__all__ = ["bucket", "s3", "s3_server"]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

PIPELINES = Path(__file__).parents[2] / "pipelines"
ENDS = {"local": ("skipped", "success"), "kubernetes": ("success", "skipped")}


def states(style: str, target: str) -> dict[str, str]:
    """What each task instance has to come to, under the names that `dag.test()` uses."""
    pod, local = ENDS[target]
    middle = {
        "classic": ["fit_model", "upload_model[0]", "upload_model[1]"],
        "taskflow": ["training.fit[0]", "training.fit[1]", "training.best", "upload_model"],
    }[style]
    tasks = ["read_images", "preprocess", *middle, "choose"]
    return {**dict.fromkeys(tasks, "success"), "deploy_pod": pod, "deploy_local": local}


def as_reported(found: dict[str, str]) -> dict[str, str]:
    """The same as a report has it: each task instance with its map index."""
    return {k if k.endswith("]") else f"{k}[-1]": v for k, v in found.items()}


# ── on this machine ─────────────────────────────────────────────────────────


@pytest.mark.parametrize("style", ["classic", "taskflow"])
def test_the_demo_runs_in_this_style_to_a_model_that_answers(
    style: str, terminal: Terminal
) -> None:
    options = ("--style", style, "--epochs", "1", "--image-size", "16", "--json")
    answer = terminal("demo", *options, seconds=400)
    assert answer.status == 0, answer.err
    report = answer.json()
    assert (report["dag_id"], report["state"], report["tasks"]) == (
        f"tutorial_{style}",
        "success",
        as_reported(states(style, "local")),
    )
    assert (report["images"], report["notebooks"]) == (1797, [])
    assert 0 < report["accuracy"] <= 1
    assert report["model"].startswith("s3://mlflowkit-demo/models/digits/")
    assert report["answer"]["model"].startswith(report["model"].rpartition("/")[2])
    assert terminal.left_running() == []


def test_a_style_that_there_is_not_is_refused_before_anything_starts(
    terminal: Terminal,
) -> None:
    answer = terminal("demo", "--style", "clasic")
    assert (answer.status, answer.out) == (2, "")
    assert "no style 'clasic'" in answer.err
    assert "Did you mean 'classic'?" in answer.err


# ── on a cluster ────────────────────────────────────────────────────────────


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeKubernetes]:
    """A cluster that `kubernetes_default` leads to; its pods deploy, and say where."""
    fake = FakeKubernetes(succeeds("rolled out"))
    with serving(fake) as url:
        extra = {"kube_config_path": str(kubeconfig(tmp_path, url))}
        connection = json.dumps({"conn_type": "kubernetes", "extra": extra})
        monkeypatch.setenv("MLFLOWKIT_CONN_KUBERNETES_DEFAULT", connection)
        monkeypatch.setenv("MLFLOWKIT_HOME", str(tmp_path / "home"))
        yield fake


@pytest.fixture
def few_images(tmp_path: Path, bucket: str) -> str:
    """The URI of eight images of each of two digits."""
    manifest_folder = tmp_path / "digits"
    digits(manifest_folder, only=(3, 7), per_class=8)
    upload_folder(manifest_folder, f"{bucket}/digits")
    return f"{bucket}/digits"


@pytest.mark.parametrize("style", ["classic", "taskflow"])
def test_a_cluster_gets_the_pod_and_the_local_server_is_left_out(
    style: str, cluster: FakeKubernetes, few_images: str, bucket: str
) -> None:
    deployed = Deployment("kubernetes", "seven", "http://seven.models", f"{bucket}/m/1")
    text = json.dumps({field: getattr(deployed, field) for field in deployed.__slots__})
    cluster.results["*"] = printed(text)
    run = load_dag(str(PIPELINES / f"tutorial_{style}.py")).test(
        s3_uri=few_images,
        model_uri=f"{bucket}/models",
        target="kubernetes",
        epochs=1,
        image_size=16,
        name="seven",
        image="serve:2",
        secret="s3-rights",
    )
    assert run.states() == states(style, "kubernetes")
    assert result_of(run.result("deploy_pod")) == deployed
    assert len(cluster.created) == 1
    spec = cluster.created[0]["spec"]
    base = spec["containers"][0]
    model = uploaded_model(bucket)
    assert spec["serviceAccountName"] == "mlflowkit-deployer"
    assert (base["image"], base["command"]) == (
        "serve:2",
        ["python", "-m", "mlflowkit.ml.deploy_main"],
    )
    assert base["envFrom"] == [{"secretRef": {"name": "s3-rights"}}]
    assert asked(base["args"]) == {
        "model": model,
        "target": "kubernetes",
        "name": "seven",
        "connection": "aws_default",
        "image": "serve:2",
        "secret": "s3-rights",
    }


def asked(arguments: list[str]) -> dict[str, Any]:
    """What the program in the pod makes of its arguments, but for those that it was not given."""
    from mlflowkit.ml.deploy_main import arguments as parser

    found = vars(parser().parse_args(arguments))
    return {k: v for k, v in found.items() if v and k not in ("result", "timeout")}


def result_of(value: dict[str, Any]) -> Deployment | None:
    """What the demo's report makes of the JSON of a pod."""
    found = Results()
    take_mapping(found, value)
    return found.deployment


def uploaded_model(bucket: str) -> str:
    """The one model below the bucket, whole and readable."""
    from mlflowkit.hooks.s3 import S3Hook
    from mlflowkit.ml.model import download_model

    name = bucket.removeprefix("s3://")
    folders = {k.rpartition("/")[0] for k in S3Hook().list_keys(name, "models/")}
    versions = [f"{bucket}/{folder}" for folder in folders if folder != "models"]
    assert len(versions) == 1
    assert sorted(f.name for f in download_model(versions[0]).iterdir()) == [
        "model.json",
        "model.safetensors",
    ]
    return versions[0]


# ── as it is written ────────────────────────────────────────────────────────


@pytest.mark.parametrize("style", ["classic", "taskflow"])
def test_both_have_the_parameters_schedule_and_retries_of_the_notebooks(style: str) -> None:
    notebooks = load_dag(str(PIPELINES / "train_and_deploy.py")).spec()
    spec = load_dag(str(PIPELINES / f"tutorial_{style}.py")).spec()
    names = {param.name for param in notebooks.params}
    assert {param.name for param in spec.params} == names | {"service_account"}
    same = ("schedule", "catchup", "start_date", "tags")
    assert [getattr(spec, name) for name in same] == [
        getattr(notebooks, name) for name in same
    ]
    retries = {(t.retry.retries, t.retry.retry_delay) for t in notebooks.tasks.values()}
    assert {(t.retry.retries, t.retry.retry_delay) for t in spec.tasks.values()} == retries


def test_the_classic_one_is_the_chain_of_the_tutorial() -> None:
    spec = load_dag(str(PIPELINES / "tutorial_classic.py")).spec()
    assert {t.task_id: tuple(sorted(t.upstream)) for t in spec.in_order()} == {
        "read_images": (),
        "preprocess": ("read_images",),
        "fit_model": ("preprocess",),
        "upload_model": ("fit_model",),
        "choose": ("upload_model",),
        "deploy_pod": ("choose",),
        "deploy_local": ("choose",),
    }
