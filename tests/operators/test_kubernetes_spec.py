"""Manifests of pods and jobs: whole, and valid by the API's own schema."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
from kubernetes.client import models as k8s

from mlflowkit.errors import BadOption, PodTemplateBroken, UnknownOption
from mlflowkit.operators import kubernetes_xcom as xcom
from mlflowkit.operators.kubernetes import KubernetesPodOperator, Secret
from mlflowkit.operators.kubernetes_plain import dns_name, label_value

Json = dict[str, Any]
VERSION = "1.36"


def task(**options: Any) -> KubernetesPodOperator:
    given = {"task_id": "deploy_model", "image": "serve:1", "namespace": "models"}
    return KubernetesPodOperator(**{**given, "random_name_suffix": False, **options})


def manifest(**options: Any) -> Json:
    """The manifest of a task outside of a run; the mark of its owner is not compared."""
    made = task(**options).build_pod_request_obj()
    kubernetes_validate.validate(made, VERSION, strict=True)
    labels = made["metadata"]["labels"]
    assert len(labels.pop("mlflowkit/owner")) == 32
    assert labels.pop("kubernetes_pod_operator") == "True"
    assert labels.pop("try_number") == "1"
    return made


def test_the_article_s_deploy_step_is_a_small_pod() -> None:
    assert manifest(cmds=["python", "deploy.py"], name="deploy_model") == {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "deploy-model", "namespace": "models", "labels": {}},
        "spec": {
            "restartPolicy": "Never",
            "containers": [
                {"name": "base", "image": "serve:1", "command": ["python", "deploy.py"]}
            ],
        },
    }


EVERYTHING: Json = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {
        "name": "deploy-model",
        "namespace": "models",
        "labels": {"team": "vision", "when": "2026-03-01T00-00-6eff9f397"},
        "annotations": {"note": "by hand: yes"},
    },
    "spec": {
        "restartPolicy": "Never",
        "containers": [
            {
                "name": "main",
                "image": "serve:1",
                "imagePullPolicy": "IfNotPresent",
                "command": ["python"],
                "args": ["serve.py", "8080"],
                "ports": [{"containerPort": 8080, "name": "http"}],
                "env": [
                    {"name": "STAGE", "value": "dev"},
                    {"name": "WORKERS", "value": "2"},
                    {
                        "name": "POD_IP",
                        "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}},
                    },
                    {
                        "name": "AWS_KEY",
                        "valueFrom": {"secretKeyRef": {"name": "s3", "key": "key"}},
                    },
                ],
                "envFrom": [
                    {"secretRef": {"name": "common"}},
                    {"configMapRef": {"name": "settings"}},
                    {"secretRef": {"name": "all-of-it"}},
                ],
                "volumeMounts": [
                    {"name": "models", "mountPath": "/models"},
                    {"name": "secret-2-b7e651cb", "mountPath": "/tls", "readOnly": True},
                ],
                "resources": {
                    "requests": {"cpu": "1", "memory": "1Gi"},
                    "limits": {"memory": "2Gi", "nvidia.com/gpu": "1"},
                },
                "securityContext": {"allowPrivilegeEscalation": False},
                "terminationMessagePolicy": "FallbackToLogsOnError",
            }
        ],
        "nodeSelector": {"disk": "ssd"},
        "affinity": {"nodeAffinity": {}},
        "tolerations": [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}],
        "initContainers": [{"name": "fetch", "image": "fetch:1"}],
        "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["db"]}],
        "imagePullSecrets": [{"name": "one"}, {"name": "two"}],
        "serviceAccountName": "trainer",
        "automountServiceAccountToken": False,
        "hostNetwork": True,
        "hostname": "host",
        "subdomain": "sub",
        "securityContext": {"runAsUser": 1000},
        "dnsPolicy": "ClusterFirst",
        "dnsConfig": {"nameservers": ["10.0.0.2"]},
        "schedulerName": "other",
        "priorityClassName": "high",
        "volumes": [
            {"name": "models", "persistentVolumeClaim": {"claimName": "models"}},
            {"name": "secret-2-b7e651cb", "secret": {"secretName": "tls"}},
        ],
        "activeDeadlineSeconds": 600,
        "terminationGracePeriodSeconds": 5,
    },
}


def test_every_argument_is_in_the_manifest_whether_dict_or_model_of_the_client() -> None:
    shared: Json = {
        "name": "deploy_model",
        "base_container_name": "main",
        "image_pull_policy": "IfNotPresent",
        "cmds": ["python"],
        "arguments": ["serve.py", "8080"],
        "configmaps": ["settings"],
        "secrets": [
            Secret("env", "aws_key", "s3", "key"),
            Secret("env", None, "all-of-it"),
            Secret("volume", "/tls", "tls"),
        ],
        "termination_message_policy": "FallbackToLogsOnError",
        "labels": {"team": "vision", "when": "2026-03-01T00:00"},
        "annotations": {"note": "by hand: yes"},
        "node_selector": {"disk": "ssd"},
        "image_pull_secrets": "one, two",
        "service_account_name": "trainer",
        "automount_service_account_token": False,
        "hostnetwork": True,
        "hostname": "host",
        "subdomain": "sub",
        "dnspolicy": "ClusterFirst",
        "schedulername": "other",
        "priority_class_name": "high",
        "active_deadline_seconds": 600,
        "termination_grace_period": 5,
    }
    limits = {"memory": "2Gi", "nvidia.com/gpu": "1"}
    by_models: Json = {
        "env_vars": [
            k8s.V1EnvVar(name="STAGE", value="dev"),
            k8s.V1EnvVar(name="WORKERS", value="2"),
        ],
        "pod_runtime_info_envs": [
            k8s.V1EnvVar(
                name="POD_IP",
                value_from=k8s.V1EnvVarSource(
                    field_ref=k8s.V1ObjectFieldSelector(field_path="status.podIP")
                ),
            )
        ],
        "env_from": [k8s.V1EnvFromSource(secret_ref=k8s.V1SecretEnvSource(name="common"))],
        "ports": [k8s.V1ContainerPort(container_port=8080, name="http")],
        "volumes": [
            k8s.V1Volume(
                name="models",
                persistent_volume_claim=k8s.V1PersistentVolumeClaimVolumeSource(
                    claim_name="models"
                ),
            )
        ],
        "volume_mounts": [k8s.V1VolumeMount(name="models", mount_path="/models")],
        "container_resources": k8s.V1ResourceRequirements(
            requests={"cpu": "1", "memory": "1Gi"}, limits=limits
        ),
        "affinity": k8s.V1Affinity(node_affinity=k8s.V1NodeAffinity()),
        "tolerations": [
            k8s.V1Toleration(key="gpu", operator="Exists", effect="NoSchedule")
        ],
        "init_containers": [k8s.V1Container(name="fetch", image="fetch:1")],
        "host_aliases": [k8s.V1HostAlias(ip="10.0.0.1", hostnames=["db"])],
        "security_context": k8s.V1PodSecurityContext(run_as_user=1000),
        "container_security_context": k8s.V1SecurityContext(
            allow_privilege_escalation=False
        ),
        "dns_config": k8s.V1PodDNSConfig(nameservers=["10.0.0.2"]),
    }
    by_dicts: Json = {
        "env_vars": {"STAGE": "dev", "WORKERS": 2},
        "pod_runtime_info_envs": [
            {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
        ],
        "env_from": [{"secretRef": {"name": "common"}}],
        "ports": [{"containerPort": 8080, "name": "http"}],
        "volumes": [{"name": "models", "persistentVolumeClaim": {"claimName": "models"}}],
        "volume_mounts": [{"name": "models", "mountPath": "/models"}],
        "container_resources": {
            "requests": {"cpu": 1, "memory": "1Gi"},
            "limits": {"memory": "2Gi", "nvidia.com/gpu": 1},
        },
        "affinity": {"nodeAffinity": {}},
        "tolerations": [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}],
        "init_containers": [{"name": "fetch", "image": "fetch:1"}],
        "host_aliases": [{"ip": "10.0.0.1", "hostnames": ["db"]}],
        "security_context": {"runAsUser": 1000},
        "container_security_context": {"allowPrivilegeEscalation": False},
        "dns_config": {"nameservers": ["10.0.0.2"]},
    }
    assert manifest(**shared, **by_dicts) == EVERYTHING
    assert manifest(**shared, **by_models) == EVERYTHING


def test_arguments_come_before_full_pod_spec_and_that_before_the_template(
    tmp_path: Path,
) -> None:
    template = tmp_path / "pod.yaml"
    template.write_text(
        """
apiVersion: v1
kind: Pod
metadata:
  name: from-template
  labels: {a: template, b: template, c: template}
spec:
  restartPolicy: Never
  serviceAccountName: template
  nodeSelector: {disk: ssd}
  containers:
    - name: anything
      image: template:1
      env: [{name: A, value: template}, {name: B, value: template}]
      volumeMounts: [{name: data, mountPath: /data}]
    - {name: helper, image: "helper:1"}
  volumes: [{name: data, emptyDir: {}}]
"""
    )
    full = k8s.V1Pod(
        metadata=k8s.V1ObjectMeta(labels={"b": "full", "c": "full"}),
        spec=k8s.V1PodSpec(
            containers=[k8s.V1Container(name="base", image="full:1", command=["full"])],
            priority_class_name="high",
        ),
    )
    made = manifest(
        image=None,
        name=None,
        pod_template_file=str(template),
        full_pod_spec=full,
        labels={"c": "task"},
        env_vars={"B": "task"},
        service_account_name="task",
    )
    assert made == {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "from-template",
            "namespace": "models",
            "labels": {"a": "template", "b": "full", "c": "task"},
        },
        "spec": {
            "restartPolicy": "Never",
            "serviceAccountName": "task",
            "nodeSelector": {"disk": "ssd"},
            "priorityClassName": "high",
            "containers": [
                {
                    "name": "base",
                    "image": "full:1",
                    "command": ["full"],
                    "env": [
                        {"name": "A", "value": "template"},
                        {"name": "B", "value": "task"},
                    ],
                    "volumeMounts": [{"name": "data", "mountPath": "/data"}],
                },
                {"name": "helper", "image": "helper:1"},
            ],
            "volumes": [{"name": "data", "emptyDir": {}}],
        },
    }


def test_a_template_may_be_a_dict_and_is_not_changed() -> None:
    template = {"spec": {"containers": [{"name": "x", "image": "t:1"}]}}
    before = json.dumps(template)
    made = manifest(image=None, pod_template_dict=template)
    assert made["spec"]["containers"] == [{"name": "base", "image": "t:1"}]
    assert json.dumps(template) == before


def test_the_result_s_helper_runs_beside_the_task_s_container() -> None:
    made = manifest(do_xcom_push=True, container_security_context={"runAsUser": 7})
    sidecar = made["spec"]["initContainers"][0]
    mount = {"name": "xcom", "mountPath": "/airflow/xcom"}
    assert sidecar.pop("command")[:2] == ["sh", "-c"]
    assert made["spec"] == {
        "restartPolicy": "Never",
        "containers": [
            {
                "name": "base",
                "image": "serve:1",
                "securityContext": {"runAsUser": 7},
                "volumeMounts": [mount],
            }
        ],
        "initContainers": [
            {
                "name": "airflow-xcom-sidecar",
                "image": "serve:1",
                "restartPolicy": "Always",
                "volumeMounts": [mount],
                "resources": {"requests": {"cpu": "1m", "memory": "10Mi"}},
                "securityContext": {"runAsUser": 7},
            }
        ],
        "volumes": [{"name": "xcom", "emptyDir": {}}],
    }


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": [1, "é"]}', {"a": [1, "é"]}),
        (None, None),
        ("", None),
        ("x" * 100, "no JSON"),
    ],
    ids=["an object", "no file", "empty", "no JSON"],
)
@pytest.mark.parametrize("signal", ["TERM", "INT", "QUIT"])
def test_the_helper_s_script_gives_what_the_file_holds(
    tmp_path: Path, signal: str, text: str | None, value: object
) -> None:
    if text is not None:
        (tmp_path / "return.json").write_text(text)
    script = xcom._SCRIPT.replace("/airflow/xcom", str(tmp_path))
    # The last line ends it as a cluster would; the trap stands by then.
    script = script.replace("while", f"kill -{signal} $$\nwhile")
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert xcom.handed_over(lines)
    if value == "no JSON":
        with pytest.raises(Exception, match="it is no JSON"):
            xcom.read_result("p", lines)
        return
    assert xcom.read_result("p", lines) == value


def test_half_a_result_is_never_taken_for_a_whole_one(tmp_path: Path) -> None:
    (tmp_path / "return.json").write_text(json.dumps(list(range(100))))
    script = xcom._SCRIPT.replace("/airflow/xcom", str(tmp_path))
    script = script.replace("while", "kill -TERM $$\nwhile")
    lines = subprocess.run(["sh", "-c", script], capture_output=True, text=True).stdout
    whole = lines.splitlines()
    assert xcom.read_result("p", whole) == list(range(100))
    for lost in range(len(whole)):
        with pytest.raises(Exception, match="cannot be taken"):
            xcom.read_result("p", whole[:lost] + whole[lost + 1 :])


def test_a_result_that_is_too_large_says_so(tmp_path: Path) -> None:
    (tmp_path / "return.json").write_bytes(b" " * (xcom.LARGEST_BYTES + 1))
    script = xcom._SCRIPT.replace("/airflow/xcom", str(tmp_path))
    script = script.replace("while", "kill -TERM $$\nwhile")
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True)
    with pytest.raises(Exception, match=r"has 6,000,001 bytes, and at most 6,000,000 fit"):
        xcom.read_result("p", done.stdout.splitlines())


def test_names_and_labels_become_what_kubernetes_takes() -> None:
    assert label_value("plain-Value_1.x") == "plain-Value_1.x"
    assert label_value(None) == ""
    assert label_value("train/3") == "train-3-64feeb382"
    cut = [label_value("x" * 64), label_value("x" * 65), label_value("-" * 70)]
    assert [len(c) for c in cut] == [63, 63, 9]
    assert len(set(cut)) == 3
    assert dns_name("My_Task.42!", suffix=False) == "my-task-42"
    assert dns_name("x" * 100, suffix=False) == "x" * 63
    long = [dns_name("Ä" + "x" * 100, suffix=True) for _ in range(50)]
    assert {len(name) for name in long} == {63}
    assert len(set(long)) == 50
    assert dns_name("___", suffix=False) == "task"


@pytest.mark.parametrize(
    ("wrong", "option"),
    [
        ({"image": None}, "image"),
        ({"cmds": "python deploy.py"}, "cmds"),
        ({"env_vars": {"A=B": 1}}, "env_vars"),
        ({"env_vars": ["A"]}, "env_vars"),
        ({"volumes": {"name": "x"}}, "volumes"),
        ({"secrets": ["s3"]}, "secrets"),
        ({"container_resources": "2Gi"}, "container_resources"),
        ({"labels": {"no good": "x"}}, "labels"),
        ({"on_finish_action": "delete"}, "on_finish_action"),
        ({"skip_on_exit_code": ["3"]}, "skip_on_exit_code"),
        ({"startup_timeout_seconds": -1}, "startup_timeout_seconds"),
        ({"pod_template_file": "a", "pod_template_dict": {"b": 1}}, "pod_template_dict"),
    ],
)
def test_what_cannot_be_is_refused_when_the_dag_is_written(
    wrong: Json, option: str
) -> None:
    with pytest.raises(BadOption, match=option):
        task(**wrong)


def test_an_unknown_argument_is_named_with_the_one_that_was_meant() -> None:
    with pytest.raises(UnknownOption, match="on_finish_action"):
        task(on_finish_actoin="keep_pod")


def test_a_secret_must_say_where_it_goes() -> None:
    with pytest.raises(
        BadOption, match="'deploy_type' of Secret 's' must be 'env' or 'volume', not 'file'"
    ):
        Secret("file", "A", "s")
    with pytest.raises(
        BadOption, match="'deploy_target' of Secret 's' must say where it goes"
    ):
        Secret("env", None, "s", "key")


def test_a_broken_template_is_named(tmp_path: Path) -> None:
    with pytest.raises(PodTemplateBroken, match="No such file"):
        task(pod_template_file=str(tmp_path / "no.yaml")).build_pod_request_obj()
    (tmp_path / "job.yaml").write_text("kind: Job")
    with pytest.raises(PodTemplateBroken, match="no manifest of one Pod"):
        task(pod_template_file=str(tmp_path / "job.yaml")).build_pod_request_obj()
