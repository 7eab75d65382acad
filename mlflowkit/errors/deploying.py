"""Errors of putting a model to work."""

from __future__ import annotations

from collections.abc import Iterable

from mlflowkit.errors.base import UserError, listing, suggest


class DeployError(UserError):
    """A model that could not be put to work."""

    code = "deploy"


class UnknownTarget(DeployError):
    """A target that models are not deployed to."""

    code = "unknown_target"

    def __init__(self, target: str, known: Iterable[str]) -> None:
        known = list(known)
        self.target = target
        super().__init__(
            f"a model is not deployed to {target!r}: the targets are {listing(known)}."
            f"{suggest(target, known)}"
        )


class BadServiceName(DeployError):
    """A name that a deployed model cannot have."""

    code = "bad_service_name"

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(
            f"{name!r} cannot name a deployed model: it has no letter or digit from which a "
            "DNS label (a-z, 0-9, '-') could be made. Give another name=."
        )


class PortInUse(DeployError):
    """The port that a server was to listen on is taken."""

    code = "port_in_use"

    def __init__(self, host: str, port: int, holder: str | None = None) -> None:
        self.host, self.port, self.holder = host, port, holder
        by = f" by {holder}" if holder else ""
        super().__init__(
            f"port {port} on {host} is already in use{by}. "
            "Stop that program, or choose another port (0 finds a free one)."
        )


class ServerDied(DeployError):
    """A model server ended before it was ready."""

    code = "server_died"

    def __init__(self, name: str, how: str, log: object, tail: str) -> None:
        self.name, self.how, self.log, self.tail = name, how, str(log), tail
        super().__init__(
            f"the model server {name!r} {how} before it was ready. Its log {log} ends with:\n"
            f"{tail or '(the log is empty)'}"
        )


class ServerNotReady(DeployError):
    """A model server did not become ready in time."""

    code = "server_not_ready"

    def __init__(self, name: str, seconds: float, log: object, tail: str) -> None:
        self.name, self.seconds, self.log, self.tail = name, seconds, str(log), tail
        super().__init__(
            f"the model server {name!r} was not ready after {seconds:g} s and was stopped; "
            f"give more time with timeout=. Its log {log} ends with:\n"
            f"{tail or '(the log is empty)'}"
        )


class PredictionFailed(DeployError):
    """A new server answered the test image wrongly, and was stopped."""

    code = "prediction_failed"

    def __init__(self, name: str, why: str, log: object, tail: str) -> None:
        self.name, self.why, self.log, self.tail = name, why, str(log), tail
        super().__init__(
            f"the model server {name!r} failed its test image: {why}. It was stopped; what was "
            f"deployed before is untouched. Its log {log} ends with:\n"
            f"{tail or '(the log is empty)'}"
        )


class TooManyPixels(DeployError):
    """An image that a server does not decode: it would take too much memory."""

    code = "too_many_pixels"

    def __init__(self, size: tuple[int, int] | None, most: int) -> None:
        self.size, self.most = size, most
        shown = f"{size[0]} x {size[1]} pixels" if size else "far too many pixels"
        super().__init__(
            f"the image has {shown}; at most {most:,} are taken. Scale it down."
        )


class LocalModelInCluster(DeployError):
    """A model on this machine's disk cannot be read by pods."""

    code = "local_model_in_cluster"

    def __init__(self, uri: str) -> None:
        self.uri = uri
        super().__init__(
            f"the pods of a cluster cannot read {uri!r}, which is on this machine. "
            "Upload the model first (upload_model), and deploy its s3:// URI."
        )


class DemoOnLoopback(DeployError):
    """The demo was asked to deploy to a cluster from its own S3 server."""

    code = "demo_on_loopback"

    def __init__(self) -> None:
        super().__init__(
            "the demo's own S3 server listens on this machine only, so a cluster cannot read "
            "the model from it. Give --s3-uri (and --connection) of a bucket that it can reach."
        )


class UnknownStyle(UserError):
    """A style that the tutorial pipeline is not written in."""

    code = "unknown_style"

    def __init__(self, style: str, known: Iterable[str]) -> None:
        known = list(known)
        self.style = style
        super().__init__(
            f"the tutorial pipeline has no style {style!r}: there are {listing(known)}."
            f"{suggest(style, known)}"
        )


class NoTestImage(DeployError):
    """The image that a new server is to be tested with cannot be read."""

    code = "no_test_image"

    def __init__(self, path: str, why: str) -> None:
        self.path, self.why = path, why
        super().__init__(
            f"the test image {path} cannot be read: {why}. "
            "Pass test_image= a file or the bytes of an image."
        )


class NoCluster(DeployError):
    """Nothing says which Kubernetes cluster is meant."""

    code = "no_cluster"

    def __init__(self, why: str) -> None:
        self.why = why
        super().__init__(
            f"no Kubernetes cluster to talk to: {why}. Set KUBECONFIG or pass context=; "
            "`kubectl config get-contexts` lists what there is."
        )


class ClusterUnreachable(DeployError):
    """A Kubernetes API server does not answer."""

    code = "cluster_unreachable"

    def __init__(self, where: str, server: str, why: str) -> None:
        self.where, self.server, self.why = where, server, why
        super().__init__(
            f"the Kubernetes API of {where} ({server}) does not answer: {why}. "
            "Check the address in the kubeconfig, the network and that the cluster is up."
        )


class ClusterForbidden(DeployError):
    """A Kubernetes API server does not let this user do what a deployment needs."""

    code = "cluster_forbidden"

    def __init__(self, what: str, where: str, said: str, *, known: bool = True) -> None:
        self.what, self.where, self.said = what, where, said
        todo = (
            "Grant it with a Role and a RoleBinding (docs/how-to/deploy.md lists the rules)."
            if known
            else "The credentials are missing, wrong or expired: log in to the cluster again."
        )
        super().__init__(f"not allowed to {what} in {where}: {said}. {todo}")


class ClusterRefused(DeployError):
    """A Kubernetes API server refused a request."""

    code = "cluster_refused"

    def __init__(self, what: str, where: str, status: int, said: str) -> None:
        self.what, self.where, self.status, self.said = what, where, status, said
        todo = {
            404: " Does the namespace exist? `kubectl create namespace` makes it.",
            409: " Leave the field to its owner (replicas=None), or take it over with force=True.",
        }
        said = said.rstrip(".")
        super().__init__(
            f"could not {what} in {where}: {said} (HTTP {status}).{todo.get(status, '')}"
        )


class RolloutFailed(DeployError):
    """New pods did not come up. The message has the pod's reason and its last log lines."""

    code = "rollout_failed"

    def __init__(
        self,
        name: str,
        where: str,
        reason: str,
        message: str,
        pod: str | None,
        tail: str,
    ) -> None:
        self.name, self.where, self.reason = name, where, reason
        self.message, self.pod, self.tail = message, pod, tail
        by = f" (pod {pod})" if pod else ""
        log = f"\nThe pod's log ends with:\n{tail}" if tail else ""
        super().__init__(
            f"deployment {name!r} in {where} failed{by}: {reason}: {message}{log}"
        )


class PodNameTaken(DeployError):
    """A pod or job of the name that a task asks for is there, and is not this task's."""

    code = "pod_name_taken"

    def __init__(self, kind: str, name: str, where: str) -> None:
        self.kind, self.name, self.where = kind, name, where
        super().__init__(
            f"there is a {kind} {name!r} in {where} that does not belong to this task "
            f"instance. Delete it (`kubectl delete {kind} {name}`), or let each have a name "
            "of its own with random_name_suffix=True."
        )


class PodTemplateBroken(DeployError):
    """The file or dict that a pod or job starts from cannot be used."""

    code = "pod_template_broken"

    def __init__(self, task_id: str, what: str, why: str) -> None:
        self.task_id, self.what, self.why = task_id, what, why
        super().__init__(f"task {task_id!r} cannot use its {what}: {why}")


class ServiceNotStarted(DeployError):
    """A long-lived process could not be started."""

    code = "service_not_started"

    def __init__(self, name: str, program: str, why: str) -> None:
        self.name, self.program, self.why = name, program, why
        super().__init__(
            f"the service {name!r} could not be started: {why}. "
            f"Is {program!r} installed, and may it be run?"
        )
