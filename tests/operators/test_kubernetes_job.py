"""A Kubernetes job as a task: real HTTP, a controller that makes pods, `dag.test()`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest

from mlflowkit import DAG, RunFailed
from mlflowkit.errors import BadOption, JobFailed
from mlflowkit.operators.kubernetes import KubernetesJobOperator
from tests.kubernetes_server import FakePod, succeeds
from tests.operators.kubernetes_tasks import Cluster, printed


def failure(cluster: Cluster, **options: Any) -> BaseException:
    with pytest.raises(RunFailed) as caught:
        cluster.test(cluster.job_task, **options)
    assert caught.value.__cause__ is not None
    return caught.value.__cause__


def test_the_manifest_of_a_job_is_whole(tmp_path: Path) -> None:
    template = tmp_path / "job.yaml"
    template.write_text(
        """
apiVersion: batch/v1
kind: Job
metadata: {labels: {from: template}}
spec:
  backoffLimit: 9
  podFailurePolicy:
    rules: [{action: FailJob, onExitCodes: {operator: In, values: [42]}}]
  template:
    spec:
      serviceAccountName: trainer
      containers: [{name: base, image: "fit:0", env: [{name: A, value: "1"}]}]
"""
    )
    task = KubernetesJobOperator(
        task_id="fit",
        name="Fit Model",
        namespace="models",
        random_name_suffix=False,
        job_template_file=str(template),
        image="fit:1",
        cmds=["python", "fit.py"],
        labels={"team": "vision"},
        backoff_limit=2,
        parallelism=2,
        completions=4,
        completion_mode="Indexed",
        ttl_seconds_after_finished=60,
        suspend=False,
    )
    made = task.build_job_request_obj()
    kubernetes_validate.validate(made, "1.36", strict=True)
    labels = dict(made["metadata"]["labels"])
    assert len(labels.pop("mlflowkit/owner")) == 32
    assert labels == {
        "from": "template",
        "team": "vision",
        "kubernetes_job_operator": "True",
        "try_number": "1",
    }
    inner = made["spec"]["template"]["metadata"].pop("labels")
    assert inner == {k: v for k, v in made["metadata"]["labels"].items() if k != "from"}
    made["metadata"].pop("labels")
    assert made == {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "fit-model", "namespace": "models"},
        "spec": {
            "backoffLimit": 2,
            "parallelism": 2,
            "completions": 4,
            "completionMode": "Indexed",
            "ttlSecondsAfterFinished": 60,
            "suspend": False,
            "podFailurePolicy": {
                "rules": [
                    {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}}
                ]
            },
            "template": {
                "metadata": {},
                "spec": {
                    "serviceAccountName": "trainer",
                    "restartPolicy": "Never",
                    "containers": [
                        {
                            "name": "base",
                            "image": "fit:1",
                            "command": ["python", "fit.py"],
                            "env": [{"name": "A", "value": "1"}],
                        }
                    ],
                },
            },
        },
    }


def test_a_job_is_waited_for_and_its_pods_are_heard(
    cluster: Cluster, capfd: pytest.CaptureFixture[str]
) -> None:
    cluster.fake.story = succeeds("epoch 1", "epoch 2")
    run = cluster.test(cluster.job_task, completions=2)
    assert run.states() == {"fit": "success"}
    name = cluster.fake.created[0]["metadata"]["name"]
    assert run.result("fit", "job_name") == name
    assert run.result("fit", "job_namespace") == "models"
    assert sorted(capfd.readouterr().out.splitlines()) == [
        f"[{name}-0] epoch 1",
        f"[{name}-0] epoch 2",
        f"[{name}-1] epoch 1",
        f"[{name}-1] epoch 2",
    ]
    assert list(cluster.fake.jobs) == [("models", name)]


def test_without_waiting_the_task_ends_once_the_job_is_there(cluster: Cluster) -> None:
    cluster.fake.story = lambda pod: pod.schedule()
    run = cluster.test(cluster.job_task, wait_until_job_complete=False)
    assert run.states() == {"fit": "success"}
    assert len(cluster.fake.jobs) == 1


def test_a_pod_that_the_cluster_replaces_is_no_failure(cluster: Cluster) -> None:
    def story(pod: FakePod) -> None:
        pod.run()
        pod.end(1 if pod.name.endswith("-0") else 0)

    cluster.fake.story = story
    assert cluster.test(cluster.job_task, backoff_limit=1).states() == {"fit": "success"}
    assert len(cluster.fake.pods) == 2


def test_a_failed_job_tells_of_its_last_pod(cluster: Cluster) -> None:
    def story(pod: FakePod) -> None:
        pod.run()
        pod.log(f"no data for {pod.name[-1]}")
        pod.end(137, reason="OOMKilled")

    cluster.fake.story = story
    limits = {"limits": {"memory": "1Gi"}}
    exc = failure(cluster, backoff_limit=1, container_resources=limits)
    assert isinstance(exc, JobFailed)
    assert exc.reason == "BackoffLimitExceeded"
    where = "context 'fake', namespace 'models'"
    assert str(exc) == (
        f"job {exc.job!r} in {where} failed: BackoffLimitExceeded: Job has reached the "
        f"specified backoff limit\npod '{exc.job}-1' in {where} failed: container 'base' "
        "needed more memory than its limit of 1Gi (OOMKilled, exit code 137). Raise "
        "limits.memory in container_resources.\nIts log ends with:\nno data for 1"
    )


def test_a_job_whose_pods_cannot_start_is_given_up_and_deleted(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(KubernetesJobOperator, "STUCK_SECONDS", 0.1)

    def story(pod: FakePod) -> None:
        pod.schedule()
        pod.event("Warning", "Failed", "not found")
        pod.wait_with("ImagePullBackOff", "not found")

    cluster.fake.story = story
    exc = failure(cluster)
    assert isinstance(exc, JobFailed)
    assert exc.reason == "ImagePullBackOff"
    assert "Warning Failed: not found" in str(exc)
    assert (cluster.fake.jobs, cluster.fake.pods) == ({}, {})


def test_a_job_that_somebody_deletes_fails_the_task(cluster: Cluster) -> None:
    def story(pod: FakePod) -> None:
        pod.run()
        time.sleep(0.1)
        with pod.server.change:
            pod.server.jobs.clear()
        pod.server.remove(pod.namespace, pod.name)

    cluster.fake.story = story
    exc = failure(cluster)
    assert isinstance(exc, JobFailed)
    assert exc.reason == "Deleted"


def test_the_results_of_several_pods_are_a_list_in_their_order(cluster: Cluster) -> None:
    def story(pod: FakePod) -> None:
        pod.server.results[pod.name] = printed(f'"{pod.name[-1]}"')
        pod.run()
        pod.end(0)

    cluster.fake.story = story
    run = cluster.test(cluster.job_task, completions=3, do_xcom_push=True)
    assert run.result("fit") == ["0", "1", "2"]
    assert cluster.test(cluster.job_task, do_xcom_push=True).result("fit") == "0"


def test_an_interrupted_task_deletes_its_job(cluster: Cluster) -> None:
    def story(pod: FakePod) -> None:
        pod.run()
        import os
        import signal

        os.kill(os.getpid(), signal.SIGTERM)

    cluster.fake.story = story
    with DAG("train") as dag:
        cluster.job_task(on_kill_propagation_policy="Background")
    with pytest.raises(KeyboardInterrupt):
        dag.test()
    assert [options for _, options in cluster.fake.deleted] == [
        {"propagationPolicy": "Background"}
    ]
    assert (cluster.fake.jobs, cluster.fake.pods) == ({}, {})


def test_what_cannot_be_is_refused_when_the_dag_is_written() -> None:
    with pytest.raises(BadOption, match="needs wait_until_job_complete=True"):
        KubernetesJobOperator(task_id="t", image="x", do_xcom_push=True)
    with pytest.raises(BadOption, match="on_kill_propagation_policy"):
        KubernetesJobOperator(task_id="t", image="x", on_kill_propagation_policy="No")
    with pytest.raises(BadOption, match="image"):
        KubernetesJobOperator(task_id="t")
