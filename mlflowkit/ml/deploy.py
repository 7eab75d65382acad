"""Put a model to work: `deploy_model(uri, target="local"|"kubernetes")`.

The one function that a pipeline calls. It says what it did only after it was seen to work;
how that is seen is in `deploy_local.py` and `deploy_kubernetes.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mlflowkit.errors import LocalModelInCluster, NoTestImage, UnknownTarget
from mlflowkit.ml.deploy_local import LocalPlan, deploy_local, stop_local
from mlflowkit.ml.manifests import ServerFacts, dns_label

__all__ = ["TARGETS", "Deployment", "Target", "deploy_model", "stop_local"]

Target = Literal["local", "kubernetes"]
TARGETS = ("local", "kubernetes")


@dataclass(frozen=True, slots=True)
class Deployment:
    """A model at work.

    `url` takes `POST /predict`; on Kubernetes it is the Service's, from inside the cluster.
    `pid` and `log` are known for `local`; `namespace` and `context` for `kubernetes`.
    """

    target: str
    name: str
    url: str
    model: str
    pid: int | None = None
    log: str | None = None
    namespace: str | None = None
    context: str | None = None


def deploy_model(
    uri: str,
    target: Target = "local",
    *,
    name: str = "model",
    connection: str = "aws_default",
    timeout: float = 300.0,
    # local
    test_image: Path | str | bytes | None = None,
    expected_class: str | None = None,
    host: str = "127.0.0.1",
    port: int | None = None,
    cache: Path | None = None,
    # kubernetes
    context: str | None = None,
    namespace: str | None = None,
    kubeconfig: Path | None = None,
    image: str | None = None,
    image_pull_policy: str = "IfNotPresent",
    image_pull_secret: str | None = None,
    command: list[str] | None = None,
    replicas: int | None = 1,
    cpu: str = "500m",
    cpu_limit: str | None = None,
    memory: str = "1Gi",
    secret: str | None = None,
    service_account: str | None = None,
    service_type: str = "ClusterIP",
    env: Mapping[str, str] | None = None,
    force: bool = False,
    server_args: tuple[str, ...] = (),
    say: Callable[[str], None] = print,
) -> Deployment:
    """Serve a model, and return when it is known to answer.

    Deploying again under the same name replaces the server that was there, without a gap: the
    new one is ready before the old one ends. A failure leaves the old one at work.

    Args:
        uri: A model: `s3://…` of a version or its `latest` (which is settled now, so that all
            replicas serve the same), or for `local` also a folder.
        target: A process on this machine, or a Deployment and a Service on a cluster.
        name: What the server is called; becomes a DNS label.
        connection: The S3 connection that the server reads the model with.
        timeout: Seconds until it must be ready.
        test_image: Local: a file or its bytes, sent to the new server before it takes over.
        expected_class: Local: what the answer must be; any class when not given.
        host: Local: the address to listen on. Loopback, unless others are to reach it.
        port: Local: None keeps the port of the server before it, else takes a free one.
        cache: Local: where the server keeps models.
        context: Kubernetes: of the kubeconfig; the current one by default.
        namespace: Kubernetes: else the setting `namespace`, else the context's own.
        kubeconfig: Kubernetes: the file; else `KUBECONFIG` or `~/.kube/config`.
        image: Kubernetes: with the server in it; by default the setting `serve_image`.
        image_pull_policy: Kubernetes: `Never` for an image that was put on the nodes by hand.
        image_pull_secret: Kubernetes: the Secret with the registry's credentials.
        command: Kubernetes: in place of the image's entry point.
        replicas: Kubernetes: pods; None leaves the number to an autoscaler.
        cpu: Kubernetes: what a pod asks for, as "500m" or "2".
        cpu_limit: Kubernetes: no limit when not given.
        memory: Kubernetes: what a pod asks for, and its limit.
        secret: Kubernetes: a Secret whose keys become environment variables, or `name/key` for
            the connection alone.
        service_account: Kubernetes: that the pods run as, where it carries the S3 rights.
        service_type: Kubernetes: `ClusterIP`, `NodePort` or `LoadBalancer`.
        env: Kubernetes: more environment variables. Nothing secret: anyone who may read
            the Deployment sees them.
        force: Kubernetes: take over fields that another field manager owns.
        server_args: More arguments for `python -m mlflowkit.ml.serve`.
        say: Where progress is told, a line at a time.

    Raises:
        DeployError: what went wrong, with the reason and the last log lines.
    """
    if target == "local":
        plan = LocalPlan(
            name=name,
            model_uri=_settled(uri, connection),
            connection=connection,
            host=host,
            port=port,
            cache=cache,
            test_image=_bytes_of(test_image),
            expected_class=expected_class,
            timeout=timeout,
            extra_args=server_args,
        )
        server = deploy_local(plan, say=say)
        return Deployment("local", name, server.url, plan.model_uri, server.pid, server.log)
    if target != "kubernetes":
        raise UnknownTarget(target, TARGETS)
    return _to_kubernetes(
        where={"context": context, "namespace": namespace, "kubeconfig": kubeconfig},
        facts={
            "name": dns_label(name),
            "model_uri": uri,
            "image": image or _default_image(),
            "connection": connection,
            "image_pull_policy": image_pull_policy,
            "image_pull_secret": image_pull_secret,
            "command": tuple(command) if command is not None else None,
            "extra_args": server_args,
            "replicas": replicas,
            "cpu": cpu,
            "cpu_limit": cpu_limit,
            "memory": memory,
            "secret": secret,
            "service_account": service_account,
            "service_type": service_type,
            "env": dict(env or {}),
            "rollout_seconds": max(2, int(timeout)),
        },
        timeout=timeout,
        force=force,
        say=say,
    )


def _to_kubernetes(
    *,
    where: dict[str, Any],
    facts: dict[str, Any],
    timeout: float,
    force: bool,
    say: Callable[[str], None],
) -> Deployment:
    from mlflowkit.hooks.kubernetes import connect
    from mlflowkit.ml.deploy_kubernetes import deploy_kubernetes
    from mlflowkit.ml.model_card import local_folder

    if local_folder(facts["model_uri"]) is not None:
        raise LocalModelInCluster(facts["model_uri"])
    cluster = connect(**where)
    facts["model_uri"] = _settled(facts["model_uri"], facts["connection"])
    wanted = ServerFacts(namespace=cluster.namespace, **facts)
    url = deploy_kubernetes(wanted, cluster, timeout=timeout, force=force, say=say)
    return Deployment(
        "kubernetes",
        wanted.name,
        url,
        wanted.model_uri,
        namespace=cluster.namespace,
        context=cluster.context,
    )


def _bytes_of(image: Path | str | bytes | None) -> bytes | None:
    if image is None or isinstance(image, bytes):
        return image
    try:
        return Path(image).read_bytes()
    except OSError as exc:
        raise NoTestImage(str(image), exc.strerror or str(exc)) from exc


def _default_image() -> str:
    from mlflowkit.settings import settings

    return settings().serve_image


def _settled(uri: str, connection: str) -> str:
    """The immutable version that a URI means now: `latest` is looked up; a folder's path."""
    from mlflowkit.ml.model import resolve_model
    from mlflowkit.ml.model_card import local_folder

    folder = local_folder(uri)
    if folder is not None:
        return str(folder.absolute())
    return resolve_model(uri, connection=connection)
