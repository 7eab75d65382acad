"""Helpers of the tests about pods and jobs: a cluster, and tasks that look at it often."""

from __future__ import annotations

import base64
import hashlib
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mlflowkit import DAG, RunFailed
from mlflowkit.operators.kubernetes import KubernetesJobOperator, KubernetesPodOperator
from tests.kubernetes_server import FakeKubernetes, FakePod, Story, kubeconfig, serving

Json = dict[str, Any]
WHERE = "context 'fake', namespace 'models'"
QUICK = {
    "startup_check_interval_seconds": 0.01,
    "base_container_status_polling_interval": 0.01,
}


class Cluster:
    """A fake cluster, and tasks that run on it."""

    def __init__(self, fake: FakeKubernetes, config: Path) -> None:
        self.fake, self.config = fake, config

    def pod_task(self, **options: Any) -> KubernetesPodOperator:
        given = {"task_id": "serve", "image": "serve:1", "config_file": str(self.config)}
        return KubernetesPodOperator(**{**given, **QUICK, **options})

    def job_task(self, **options: Any) -> KubernetesJobOperator:
        given = {"task_id": "fit", "image": "fit:1", "config_file": str(self.config)}
        given |= {"job_poll_interval": 0.01, "wait_until_job_complete": True}
        return KubernetesJobOperator(**{**given, **QUICK, **options})

    def test(self, make: Callable[..., Any] | None = None, **options: Any) -> Any:
        """`dag.test()` of a DAG with one task."""
        with DAG("train") as dag:
            (make or self.pod_task)(**options)
        return dag.test()

    def left(self) -> list[str]:
        return sorted(name for _, name in self.fake.pods)


@contextmanager
def cluster_with(folder: Path, story: Story | None = None) -> Iterator[Cluster]:
    fake = FakeKubernetes(story)
    with serving(fake) as url:
        yield Cluster(fake, kubeconfig(folder, url))


def without_marks(manifest: Json) -> Json:
    """A manifest with what is drawn by chance replaced: suffix, owner, and the id of a test run."""
    metadata = manifest["metadata"]
    labels = metadata["labels"]
    assert len(labels["mlflowkit/owner"]) == 32
    fixed = {**labels, "mlflowkit/owner": "OWNER"}
    return {**manifest, "metadata": {**metadata, "labels": fixed}}


def failure(cluster: Cluster, story: Story | None = None, **options: Any) -> BaseException:
    """The error of the task of a run that must fail."""
    if story is not None:
        cluster.fake.story = story
    with pytest.raises(RunFailed) as caught:
        cluster.test(**options)
    assert caught.value.__cause__ is not None
    return caught.value.__cause__


def ends_with(code: int, *lines: str, **facts: Any) -> Story:
    def story(pod: FakePod) -> None:
        pod.run()
        pod.log(*lines)
        pod.end(code, **facts)

    return story


def printed(text: str) -> list[str]:
    """What the helper prints of a file with this text, by its own script's rules."""
    body = text.encode()
    encoded = textwrap.wrap(base64.b64encode(body).decode(), 76)
    digest = hashlib.sha256(body).hexdigest()
    mark = "mlflowkit-xcom"
    return [f"{mark} start {len(body)}", *encoded, f"{mark} end {digest}"]
