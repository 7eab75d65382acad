"""A deployment as a program, as a pod runs it: real processes, a real S3, a fake cluster."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mlflowkit.ml.model import upload_model

from .fake_cluster import DEPLOYMENTS, FakeCluster, running
from .serving import make_model
from .test_deploy_kubernetes import UP, kubeconfig


@pytest.fixture
def fake() -> FakeCluster:
    return FakeCluster()


def deploy_main(config: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mlflowkit.ml.deploy_main", *arguments],
        env={**os.environ, "KUBECONFIG": str(config)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_it_rolls_out_and_writes_where_the_model_answers(
    tmp_path: Path, bucket: str, fake: FakeCluster
) -> None:
    uri = upload_model(make_model(tmp_path / "model"), f"{bucket}/digits")
    result = tmp_path / "return.json"
    fake.story = [UP]
    with running(fake) as url:
        done = deploy_main(
            kubeconfig(tmp_path, url),
            f"--model={bucket}/digits/latest",
            "--name=seven",
            "--image=serve:2",
            "--secret=",
            "--namespace=models",
            f"--result={result}",
        )
    assert done.returncode == 0, done.stderr
    told = {
        "target": "kubernetes",
        "name": "seven",
        "url": "http://seven.models.svc/",
        "model": uri,
        "pid": None,
        "log": None,
        "namespace": "models",
        "context": "dev",
    }
    assert (
        json.loads(result.read_text()) == json.loads(done.stdout.splitlines()[-1]) == told
    )
    pod = fake.stored(DEPLOYMENTS, "seven")["spec"]["template"]["spec"]
    assert pod["containers"][0]["image"] == "serve:2"


def test_a_model_that_is_not_there_ends_with_1_and_says_why(
    tmp_path: Path, bucket: str, fake: FakeCluster
) -> None:
    result = tmp_path / "return.json"
    with running(fake) as url:
        done = deploy_main(
            kubeconfig(tmp_path, url), f"--model={bucket}/none", f"--result={result}"
        )
    assert (done.returncode, fake.seen, result.exists()) == (1, [], False)
    assert "there is no model at" in done.stderr
    assert "Traceback" not in done.stderr
