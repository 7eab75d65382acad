"""A deployment on Kubernetes: real HTTP and the official client against kmock."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml

from mlflowkit.errors import (
    ClusterForbidden,
    ClusterRefused,
    ClusterUnreachable,
    LocalModelInCluster,
    ModelMissing,
    NoCluster,
    RolloutFailed,
)
from mlflowkit.hooks.kubernetes import Cluster, connect
from mlflowkit.ml.deploy import deploy_model, stop_local
from mlflowkit.ml.deploy_kubernetes import deploy_kubernetes
from mlflowkit.ml.manifests import ServerFacts
from mlflowkit.ml.model import upload_model

from .fake_cluster import (
    DEPLOYMENTS,
    SERVICES,
    FakeCluster,
    cluster_at,
    container,
    pod,
    running,
)
from .serving import make_model, picture

NONE_YET = {"status": {"replicas": 1, "updatedReplicas": 0}}
COMING = {"status": {"replicas": 1, "updatedReplicas": 1, "availableReplicas": 0}}
UP = {"status": {"replicas": 1, "updatedReplicas": 1, "availableReplicas": 1}}


def facts(**changes: object) -> ServerFacts:
    given = {
        "name": "digits",
        "namespace": "models",
        "model_uri": "s3://bucket/digits/v1",
        "image": "serve:1",
        "secret": "s3-credentials",
        **changes,
    }
    return ServerFacts(**given)  # type: ignore[arg-type]


@pytest.fixture
def fake() -> FakeCluster:
    return FakeCluster()


@pytest.fixture
def cluster(fake: FakeCluster) -> Iterator[Cluster]:
    with running(fake) as url:
        yield cluster_at(url)


def coming(*pods: dict[str, object]) -> dict[str, object]:
    return {**COMING, "pods": list(pods)}


def deploy(cluster: Cluster, said: list[str], **options: object) -> str:
    return deploy_kubernetes(facts(), cluster, timeout=20, say=said.append, **options)  # type: ignore[arg-type]


def test_it_says_where_to_and_waits_until_the_cluster_says_done(
    fake: FakeCluster, cluster: Cluster
) -> None:
    fake.story = [NONE_YET, COMING, UP]
    said: list[str] = []
    url = deploy(cluster, said)
    assert url == "http://digits.models.svc/"
    assert said == [
        "deploying 'digits' (serve:1) to context 'fake', namespace 'models'",
        "'digits': 0 of 1 new pods started",
        "'digits': 0 of 1 new pods are ready",
        "'digits' is rolled out: 1 pods available",
    ]
    assert fake.applied == [
        ("Deployment", True),
        ("Service", True),
        ("Deployment", False),
        ("Service", False),
    ]
    assert fake.stored(SERVICES, "digits")["spec"]["ports"][0]["targetPort"] == "http"
    assert fake.stored(DEPLOYMENTS, "digits")["metadata"]["generation"] == 1


def test_what_the_dry_run_refuses_is_never_applied(
    fake: FakeCluster, cluster: Cluster
) -> None:
    fake.refuse("UPDATE services", 422, "spec.type: Unsupported value")
    with pytest.raises(
        ClusterRefused, match=r"apply Service 'digits' \(dry run\).*Unsupported"
    ):
        deploy(cluster, [])
    assert fake.applied == [("Deployment", True)]
    assert not fake.objects


def test_a_field_that_another_manager_owns_is_left_to_it(
    fake: FakeCluster, cluster: Cluster
) -> None:
    fake.refuse("UPDATE deployments", 409, 'conflict with "kubectl": .spec.replicas')
    with pytest.raises(ClusterRefused, match="force=True") as caught:
        deploy(cluster, [])
    assert caught.value.status == 409


def test_a_forbidden_request_names_what_and_where(
    fake: FakeCluster, cluster: Cluster
) -> None:
    fake.refuse("UPDATE deployments", 403, 'User "ci" cannot patch resource "deployments"')
    with pytest.raises(ClusterForbidden, match="namespace 'models'.*RoleBinding") as caught:
        deploy(cluster, [])
    assert caught.value.what == "apply Deployment 'digits' (dry run)"


def test_expired_credentials_are_told_from_missing_rights(
    fake: FakeCluster, cluster: Cluster
) -> None:
    fake.refuse("UPDATE deployments", 401, "Unauthorized")
    with pytest.raises(ClusterForbidden, match="log in to the cluster again"):
        deploy(cluster, [])


def test_a_busy_server_is_asked_again(fake: FakeCluster, cluster: Cluster) -> None:
    fake.story = [UP]
    for line in ("UPDATE deployments", "UPDATE deployments", "FETCH deployments"):
        fake.refuse(line, 429, "too many requests", {"Retry-After": "0"})
    deploy(cluster, [])
    assert fake.seen.count("FETCH deployments") == 2


def test_an_expired_watch_reads_the_deployment_again(
    fake: FakeCluster, cluster: Cluster
) -> None:
    fake.story = [COMING, COMING, UP]
    fake.refuse("WATCH deployments", 410, "too old resource version")
    deploy(cluster, [])
    assert fake.seen.count("FETCH deployments") == 3


def test_a_watch_gives_the_deployment_as_it_changes(
    fake: FakeCluster, cluster: Cluster
) -> None:
    fake.story = [UP]
    deploy(cluster, [])
    changed = next(cluster.watch_deployment("digits", "0", 5))
    assert changed["metadata"]["name"] == "digits"


def test_without_the_right_to_watch_it_looks_every_few_seconds(
    fake: FakeCluster, cluster: Cluster
) -> None:
    fake.story = [COMING, UP]
    fake.refuse("WATCH deployments", 403, "cannot watch")
    deploy(cluster, [])
    assert fake.seen.count("FETCH deployments") == 2


def test_a_server_error_in_the_middle_of_a_roll_out_is_waited_out(
    fake: FakeCluster, cluster: Cluster
) -> None:
    fake.story = [COMING, UP]
    fake.refuse("LIST pods", 503, "etcd leader changed")
    said: list[str] = []
    deploy(cluster, said)
    assert any("etcd leader changed" in line for line in said)


def test_an_image_that_cannot_be_pulled_fails_at_once_with_the_reason(
    fake: FakeCluster, cluster: Cluster
) -> None:
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": 'pulling "serve:1"'}}
    fake.story = [coming(pod(containerStatuses=[container(waiting)]))]
    with pytest.raises(RolloutFailed) as caught:
        deploy(cluster, [])
    assert (caught.value.reason, caught.value.pod) == ("ImagePullBackOff", "digits-1")
    assert 'pulling "serve:1"' in str(caught.value)


def test_a_server_that_keeps_dying_fails_with_the_last_lines_of_its_log(
    fake: FakeCluster, cluster: Cluster
) -> None:
    crash = container(
        {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 20s"}},
        last={"terminated": {"exitCode": 1, "reason": "Error"}},
        restarts=2,
    )
    fake.story = [coming(pod(containerStatuses=[crash]))]
    fake.logs["digits-1", True] = "loading\nthe model cannot be loaded: no such bucket"
    with pytest.raises(RolloutFailed) as caught:
        deploy(cluster, [])
    assert str(caught.value) == (
        "deployment 'digits' in context 'fake', namespace 'models' failed (pod digits-1): "
        "CrashLoopBackOff: the container ended with exit code 1, restarted 2 times\n"
        "The pod's log ends with:\nloading\nthe model cannot be loaded: no such bucket"
    )


def test_out_of_memory_is_called_by_its_name(fake: FakeCluster, cluster: Cluster) -> None:
    killed = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}
    crash = container({"waiting": {"reason": "CrashLoopBackOff"}}, last=killed, restarts=2)
    fake.story = [coming(pod(containerStatuses=[crash]))]
    with pytest.raises(RolloutFailed, match="raise memory=") as caught:
        deploy(cluster, [])
    assert caught.value.reason == "OOMKilled"


def test_a_pod_that_fits_nowhere_is_waited_for_and_then_named(
    fake: FakeCluster, cluster: Cluster
) -> None:
    condition = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": "0/3 nodes are available: insufficient memory",
    }
    fake.story = [coming(pod(phase="Pending", conditions=[condition]))]
    said: list[str] = []
    with pytest.raises(RolloutFailed, match="insufficient memory.*Timeout") as caught:
        deploy_kubernetes(facts(), cluster, timeout=1, say=said.append)
    assert caught.value.reason == "Unschedulable"
    assert said[-1].endswith("pod digits-1: Unschedulable")


def test_the_pods_of_the_version_before_are_not_blamed(
    fake: FakeCluster, cluster: Cluster
) -> None:
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "of the last try"}}
    old = pod("digits-old", containerStatuses=[container(waiting)])
    old["metadata"]["labels"] = {
        "app.kubernetes.io/instance": "digits",
        "mlflowkit.io/template": "another",
    }
    fake.story = [coming(old), UP]
    deploy(cluster, [])


def test_a_deadline_that_the_cluster_itself_sets_fails_the_roll_out(
    fake: FakeCluster, cluster: Cluster
) -> None:
    late = {
        "type": "Progressing",
        "status": "False",
        "reason": "ProgressDeadlineExceeded",
        "message": "has timed out progressing",
    }
    fake.story = [{"status": {**COMING["status"], "conditions": [late]}}]
    with pytest.raises(RolloutFailed, match="has timed out progressing"):
        deploy(cluster, [])


def test_a_deployment_deleted_meanwhile_is_no_success(
    fake: FakeCluster, cluster: Cluster
) -> None:
    fake.story = [COMING]
    fake.refuse("FETCH deployments", 404, "not found")
    with pytest.raises(RolloutFailed, match="deleted it during the roll-out"):
        deploy(cluster, [])


def test_an_address_where_nothing_listens_is_unreachable() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{sock.getsockname()[1]}"
        with pytest.raises(ClusterUnreachable, match="Connection refused") as caught:
            deploy(cluster_at(url), [])
    assert caught.value.server == url


def kubeconfig(folder: Path, server: str = "http://127.0.0.1:1") -> Path:
    file = folder / "config"
    context = {"cluster": "c", "user": "u", "namespace": "team-a"}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "dev",
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "dev", "context": context}],
    }
    file.write_text(yaml.safe_dump(content))
    return file


def test_a_context_brings_its_server_and_its_namespace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOWKIT_NAMESPACE", raising=False)
    file = kubeconfig(tmp_path)
    found = connect(kubeconfig=file)
    assert (found.context, found.namespace, found.server) == (
        "dev",
        "team-a",
        "http://127.0.0.1:1",
    )
    assert connect("dev", "other", kubeconfig=file).namespace == "other"
    monkeypatch.setenv("MLFLOWKIT_NAMESPACE", "from-settings")
    assert connect(kubeconfig=file).namespace == "from-settings"


def test_an_unknown_context_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(NoCluster, match=r"no context 'prod' \(it has: dev\)"):
        connect("prod", kubeconfig=kubeconfig(tmp_path))


@pytest.mark.parametrize(
    "text", [None, "", "nonsense: [", "apiVersion: v1\nkind: Config\n"]
)
def test_a_kubeconfig_that_is_none_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None
) -> None:
    file = tmp_path / "config"
    if text is not None:
        file.write_text(text)
    monkeypatch.setenv("KUBECONFIG", str(file))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(NoCluster, match="kubectl config get-contexts"):
        connect()
    with pytest.raises(NoCluster):
        connect(kubeconfig=file)


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An S3 server with an empty bucket, behind the default connection."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    extra = {"endpoint_url": url, "region_name": "us-east-1"}
    connection = {
        "conn_type": "aws",
        "login": "key",
        "password": "secret",
        "extra": extra,
    }
    monkeypatch.setenv("MLFLOWKIT_CONN_AWS_DEFAULT", json.dumps(connection))
    boto3.client(
        "s3",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="key",
        aws_secret_access_key="secret",
    ).create_bucket(Bucket="models")
    yield
    httpx.post(
        f"{url}/moto-api/reset", trust_env=False
    )  # all of its servers share one state
    server.stop()


def test_latest_is_settled_before_it_is_deployed_and_all_goes_through(
    tmp_path: Path, fake: FakeCluster, s3: None, capsys: pytest.CaptureFixture[str]
) -> None:
    uri = upload_model(make_model(tmp_path / "model"), "s3://models/digits")
    fake.story = [UP]
    with running(fake) as url:
        done = deploy_model(
            "s3://models/digits/latest",
            "kubernetes",
            name="Digits_Model",
            kubeconfig=kubeconfig(tmp_path, url),
            namespace="models",
            image="serve:2",
            image_pull_policy="Never",
            secret="s3/uri",
        )
    assert (done.target, done.context, done.namespace) == (
        "kubernetes",
        "dev",
        "models",
    )
    assert done.model == uri != "s3://models/digits/latest"
    server = fake.stored(DEPLOYMENTS, done.name)["spec"]["template"]["spec"]["containers"][
        0
    ]
    assert (server["image"], server["imagePullPolicy"]) == ("serve:2", "Never")
    assert server["args"][:2] == ["--model", uri]
    assert "context 'dev', namespace 'models'" in capsys.readouterr().out


def test_a_model_that_is_not_in_s3_touches_no_cluster(
    tmp_path: Path, fake: FakeCluster, s3: None
) -> None:
    with running(fake) as url, pytest.raises(ModelMissing):
        deploy_model(
            "s3://models/digits/latest",
            "kubernetes",
            kubeconfig=kubeconfig(tmp_path, url),
        )
    assert fake.seen == []


def test_a_local_server_reads_the_model_from_s3(
    tmp_path: Path, s3: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOWKIT_HOME", str(tmp_path / "home"))
    uri = upload_model(
        make_model(tmp_path / "model", favourite="eel"), "s3://models/digits"
    )
    try:
        done = deploy_model(
            "s3://models/digits/latest",
            test_image=picture(),
            expected_class="eel",
            timeout=120,
        )
        assert done.model == uri
    finally:
        stop_local("model")


def test_a_model_on_this_disk_is_refused_before_any_cluster_is_touched(
    tmp_path: Path,
) -> None:
    with pytest.raises(LocalModelInCluster, match="upload_model"):
        deploy_model(str(tmp_path), "kubernetes")
