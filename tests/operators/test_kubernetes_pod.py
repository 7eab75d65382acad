"""A pod as a task: real HTTP against a cluster that follows a story, by `dag.test()`."""

from __future__ import annotations

import json
import sys
import threading
import time

import pytest

from mlflowkit import DAG, task
from mlflowkit.errors import (
    ClusterRefused,
    MissingExtra,
    PodXComUnreadable,
)
from mlflowkit.hooks.kubernetes import KubernetesHook
from mlflowkit.operators.kubernetes import KubernetesPodOperator
from mlflowkit.operators.kubernetes_plain import label_value
from tests.kubernetes_server import FakeKubernetes, FakePod, succeeds
from tests.operators.kubernetes_tasks import (
    Cluster,
    failure,
    printed,
    without_marks,
)


def test_a_pod_is_made_followed_and_deleted(
    cluster: Cluster, capfd: pytest.CaptureFixture[str]
) -> None:
    gate = threading.Event()

    def story(pod: FakePod) -> None:
        pod.until(gate)
        pod.run()
        pod.log("loading", "", "épochs: 3\tdone")
        pod.end(0)

    cluster.fake.story = story
    threading.Timer(0.1, gate.set).start()
    run = cluster.test(cmds=["python", "deploy.py"], env_vars={"STAGE": "dev"})
    assert run.states() == {"serve": "success"}
    assert capfd.readouterr().out == "loading\n\népochs: 3\tdone\n"
    name = cluster.fake.deleted[0][0]
    assert [without_marks(m) for m in cluster.fake.created] == [
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": name,
                "namespace": "models",
                "labels": {
                    "dag_id": "train",
                    "run_id": cluster.fake.created[0]["metadata"]["labels"]["run_id"],
                    "task_id": "serve",
                    "try_number": "1",
                    "kubernetes_pod_operator": "True",
                    "mlflowkit/owner": "OWNER",
                },
            },
            "spec": {
                "restartPolicy": "Never",
                "containers": [
                    {
                        "name": "base",
                        "image": "serve:1",
                        "command": ["python", "deploy.py"],
                        "env": [{"name": "STAGE", "value": "dev"}],
                    }
                ],
            },
        }
    ]
    assert name.startswith("serve-")
    assert cluster.fake.deleted == [(name, {})]
    assert cluster.left() == []


def test_log_lines_come_while_the_pod_runs(
    cluster: Cluster, capfd: pytest.CaptureFixture[str]
) -> None:
    gate = threading.Event()
    seen_early: list[bool] = []

    def story(pod: FakePod) -> None:
        pod.run()
        pod.log("first")
        pod.until(gate)
        pod.end(0)

    def look() -> None:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and not seen_early:
            if "first\n" in capfd.readouterr().out:
                seen_early.append(True)
            time.sleep(0.01)
        gate.set()

    cluster.fake.story = story
    looker = threading.Thread(target=look)
    looker.start()
    cluster.test()
    looker.join()
    assert seen_early == [True]


def test_outputs_of_other_tasks_reach_the_pod_at_any_depth(cluster: Cluster) -> None:
    @task
    def model() -> str:
        return "s3://models/7"

    @task
    def gpus() -> int:
        return 2

    with DAG("train") as dag:
        where = model()
        cluster.pod_task(
            arguments=["--model", where],
            env_vars={"MODEL": where},
            container_resources={"limits": {"nvidia.com/gpu": gpus()}},
        )
    assert dag.test().states() == {
        "model": "success",
        "gpus": "success",
        "serve": "success",
    }
    assert cluster.fake.created[0]["spec"]["containers"] == [
        {
            "name": "base",
            "image": "serve:1",
            "args": ["--model", "s3://models/7"],
            "env": [{"name": "MODEL", "value": "s3://models/7"}],
            "resources": {"limits": {"nvidia.com/gpu": "2"}},
        }
    ]


def test_templates_are_rendered_at_any_depth_of_the_pod(cluster: Cluster) -> None:
    from kubernetes.client import models as k8s

    claim = k8s.V1PersistentVolumeClaimVolumeSource(claim_name="data-{{ params.stage }}")
    with DAG("train", params={"stage": "dev"}) as dag:
        cluster.pod_task(
            image="serve:{{ params.stage }}",
            name="serve-{{ params.stage }}",
            random_name_suffix=False,
            namespace="{{ params.stage }}",
            cmds=["{{ ti.task_id }}"],
            arguments=["--stage", "{{ params.stage }}"],
            labels={"stage": "{{ params.stage }}/1"},
            env_vars=[k8s.V1EnvVar(name="STAGE", value="{{ params.stage }}")],
            volumes=[k8s.V1Volume(name="data", persistent_volume_claim=claim)],
            volume_mounts=[
                k8s.V1VolumeMount(
                    name="data", mount_path="/d", sub_path="{{ params.stage }}"
                )
            ],
            container_resources=k8s.V1ResourceRequirements(
                limits={"memory": "{{ 2 * 64 }}Mi"}
            ),
        )
    assert dag.test(stage="prod").states() == {"serve": "success"}
    made = cluster.fake.created[0]
    assert (made["metadata"]["name"], made["metadata"]["namespace"]) == (
        "serve-prod",
        "prod",
    )
    assert made["metadata"]["labels"]["stage"] == label_value("prod/1")
    assert made["spec"] == {
        "restartPolicy": "Never",
        "containers": [
            {
                "name": "base",
                "image": "serve:prod",
                "command": ["serve"],
                "args": ["--stage", "prod"],
                "env": [{"name": "STAGE", "value": "prod"}],
                "volumeMounts": [{"name": "data", "mountPath": "/d", "subPath": "prod"}],
                "resources": {"limits": {"memory": "128Mi"}},
            }
        ],
        "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data-prod"}}],
    }


def test_templates_of_mapped_pods_are_rendered_for_each(cluster: Cluster) -> None:
    with DAG("train", params={"stage": "dev"}) as dag:
        KubernetesPodOperator.partial(
            task_id="serve",
            image="serve:1",
            config_file=str(cluster.config),
            startup_check_interval_seconds=0.01,
            cmds=["{{ params.stage }}"],
        ).expand(arguments=[["{{ ti.map_index }}"], ["b"]])
    dag.test()
    found = [m["spec"]["containers"][0] for m in cluster.fake.created]
    assert [(c["command"], c["args"]) for c in found] == [
        (["dev"], ["0"]),
        (["dev"], ["b"]),
    ]


def test_mapped_instances_have_pods_of_their_own(cluster: Cluster) -> None:
    with DAG("train") as dag:
        KubernetesPodOperator.partial(
            task_id="serve",
            image="serve:1",
            config_file=str(cluster.config),
            startup_check_interval_seconds=0.01,
        ).expand(arguments=[["a"], ["b"], ["c"]])
    run = dag.test()
    assert set(run.states().values()) == {"success"}
    found = [
        (m["metadata"]["labels"]["map_index"], m["spec"]["containers"][0]["args"])
        for m in cluster.fake.created
    ]
    assert found == [("0", ["a"]), ("1", ["b"]), ("2", ["c"])]
    assert len({m["metadata"]["name"] for m in cluster.fake.created}) == 3
    owners = {m["metadata"]["labels"]["mlflowkit/owner"] for m in cluster.fake.created}
    assert len(owners) == 3


def test_the_names_of_pod_and_namespace_are_xcoms(cluster: Cluster) -> None:
    run = cluster.test()
    assert run.result("serve", "pod_name") == cluster.fake.created[0]["metadata"]["name"]
    assert run.result("serve", "pod_namespace") == "models"
    assert run.result("serve") is None


def test_several_containers_share_the_log_with_their_names(
    cluster: Cluster, capfd: pytest.CaptureFixture[str]
) -> None:
    def story(pod: FakePod) -> None:
        pod.run()
        pod.log("unpacked", container="fetch")
        pod._state("fetch", {"terminated": {"exitCode": 0}})
        pod.log("one")
        pod.log("two", container="helper")
        pod.end(0, container="helper")
        pod.end(0)

    cluster.fake.story = story
    spec = {
        "spec": {
            "containers": [
                {"name": "base", "image": "x"},
                {"name": "helper", "image": "y"},
            ]
        }
    }
    cluster.test(
        full_pod_spec=spec,
        init_containers=[{"name": "fetch", "image": "fetch:1"}],
        container_logs=True,
        init_container_logs=True,
    )
    lines = capfd.readouterr().out.splitlines()
    assert sorted(lines) == ["[base] one", "[fetch] unpacked", "[helper] two"]


def test_without_get_logs_the_task_only_waits(
    cluster: Cluster, capfd: pytest.CaptureFixture[str]
) -> None:
    cluster.fake.story = succeeds("not shown")
    assert cluster.test(get_logs=False).states() == {"serve": "success"}
    assert capfd.readouterr().out == ""
    assert "GET log" not in cluster.fake.seen


def test_a_mesh_s_helper_that_never_ends_does_not_hold_the_task(cluster: Cluster) -> None:
    def story(pod: FakePod) -> None:
        pod.run()
        pod.end(0)

    cluster.fake.story = story
    spec = {
        "spec": {"containers": [{"name": "base"}, {"name": "istio-proxy", "image": "i"}]}
    }
    assert cluster.test(full_pod_spec=spec).states() == {"serve": "success"}


def test_what_the_pod_wrote_is_the_task_s_result(cluster: Cluster) -> None:
    cluster.fake.results["*"] = printed('{"url": "http://model", "scores": [1, 2.5]}')
    run = cluster.test(do_xcom_push=True)
    assert run.result("serve") == {"url": "http://model", "scores": [1, 2.5]}
    assert cluster.left() == []


def test_a_pod_that_wrote_nothing_gives_none(cluster: Cluster) -> None:
    cluster.fake.results["*"] = ["mlflowkit-xcom empty"]
    run = cluster.test(do_xcom_push=True)
    assert run.states() == {"serve": "success"}
    assert run.result("serve") is None


def test_a_result_that_is_no_json_fails_the_task(cluster: Cluster) -> None:
    cluster.fake.results["*"] = printed("{'a': 1}")
    exc = failure(cluster, do_xcom_push=True)
    assert isinstance(exc, PodXComUnreadable)
    assert "it is no JSON" in str(exc)
    assert cluster.left() == []


def test_a_connection_may_name_the_cluster(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    extra = {
        "kube_config": cluster.config.read_text(),
        "namespace": "ml",
        "xcom_sidecar_container_image": "tools:1",
    }
    text = json.dumps({"conn_type": "kubernetes", "extra": extra})
    monkeypatch.setenv("MLFLOWKIT_CONN_MY_CLUSTER", text)
    cluster.fake.results["*"] = printed("1")
    cluster.test(kubernetes_conn_id="my_cluster", config_file=None, do_xcom_push=True)
    made = cluster.fake.created[0]
    assert made["metadata"]["namespace"] == "ml"
    assert made["spec"]["initContainers"][0]["image"] == "tools:1"


def test_the_hook_gives_plain_dicts(cluster: Cluster) -> None:
    hook = KubernetesHook(config_file=str(cluster.config))
    manifest = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "namespace": "models"},
        "spec": {"containers": [{"name": "c", "image": "i"}]},
    }
    cluster.fake.story = lambda pod: pod.event("Normal", "Pulled", "there")
    assert hook.create_pod(manifest)["metadata"]["name"] == "p"
    found = hook.get_pod("p")
    assert found is not None
    assert found["spec"] == manifest["spec"]
    cluster.fake.wait(lambda: cluster.fake.events)
    assert [e["reason"] for e in hook.get_pod_events("p")] == ["Pulled"]
    assert (hook.delete_pod("p"), hook.delete_pod("p"), hook.get_pod("p")) == (
        True,
        False,
        None,
    )


def test_without_the_client_library_the_extra_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "kubernetes", None)
    with pytest.raises(MissingExtra, match=r"mlflowkit\[kubernetes\]"):
        KubernetesPodOperator(task_id="t", image="x").execute({})


def test_the_story_server_refuses_what_the_real_one_would(cluster: Cluster) -> None:
    assert isinstance(cluster.fake, FakeKubernetes)
    exc = failure(cluster, dnspolicy=7)  # type: ignore[arg-type]
    assert isinstance(exc, ClusterRefused)
