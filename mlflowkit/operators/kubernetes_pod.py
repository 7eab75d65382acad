"""KubernetesPodOperator: a pod as a task. Its log is the task's log, its end is the task's end.

Nothing is left behind that nobody asked for, and nothing runs twice: an attempt goes on with
the pod of the one before it, and an attempt that is interrupted takes its pod with it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, Final

from mlflowkit.errors import (
    ClusterForbidden,
    ClusterOutage,
    ClusterRefused,
    ClusterUnreachable,
    MlflowkitError,
    PodGone,
    TaskSkipped,
)
from mlflowkit.hooks.kubernetes import KubernetesHook, Pods
from mlflowkit.operators import kubernetes_why as why
from mlflowkit.operators import kubernetes_xcom as xcom
from mlflowkit.operators.kubernetes_identity import Identity, may_go_on
from mlflowkit.operators.kubernetes_options import OnFinishAction, chosen, log
from mlflowkit.operators.kubernetes_plain import dns_name
from mlflowkit.operators.kubernetes_run_options import RunOptions
from mlflowkit.operators.kubernetes_spec import Manifest, base_container, pod_manifest
from mlflowkit.operators.kubernetes_stop import stop_signal
from mlflowkit.operators.kubernetes_telling import Telling
from mlflowkit.operators.kubernetes_watch import Pod, Watch

KIND_LABEL: Final = "kubernetes_pod_operator"
_LAST_WORDS_S: Final = 5.0


class KubernetesPodOperator(RunOptions):
    """Runs a container image as a pod, and ends as the pod ends.

    Takes Airflow's arguments; parts of the pod are dicts with the API's field names or models
    of the Kubernetes client. `full_pod_spec` and pod templates are under the arguments.

    Args:
        env_vars: A dict, or a list of V1EnvVar.
        secrets: `Secret(deploy_type, deploy_target, secret, key)`.
        container_resources: `{"requests": {"cpu": 1}, "limits": {"memory": "2Gi"}}`, or
            V1ResourceRequirements.
        kubernetes_conn_id: The cluster. `kubernetes_default` needs no connection: a
            kubeconfig is used, or the cluster that the worker runs in.
        reattach_on_restart: Go on with the pod of an earlier attempt of this task instance.
        schedule_timeout_seconds: For finding a node; `startup_timeout_seconds` if None.
        startup_timeout_seconds: From there until the container runs.
        get_logs: Pass the lines of `container_logs` (the base container; True: all) on, live.
        do_xcom_push: The result is what the pod writes to /airflow/xcom/return.json.
        xcom_sidecar_image: Image of the container that hands it over: one with a shell;
            the base container's own if None.
        skip_on_exit_code: Exit codes of the base container that mean "skipped".
        on_finish_action: `delete_pod`, `keep_pod` or `delete_succeeded_pod`. An interrupted
            task always deletes its pod.
        deferrable: Taken and without effect: the task waits in its worker either way.
    """

    #: Asks for the end of what the task started in the cluster.
    _end_it: Callable[[], None] | None = None

    # ── what a task does ────────────────────────────────────────────────────

    def execute(self, context: Mapping[str, Any]) -> object:
        """Run the pod to its end, or go on with the one that an earlier attempt started.

        Returns:
            With `do_xcom_push` what the pod wrote to /airflow/xcom/return.json, else None.

        Raises:
            PodNotStarted: no node, no image, no such Secret, or too late.
            PodFailed: it ended without success; the message has its last log lines.
            PodGone: somebody else deleted it.
            PodXComUnreadable: what it wrote is no JSON.
            TaskSkipped: it ended with a code of `skip_on_exit_code`.
            ClusterOutage: the API server is away; the next attempt goes on with the pod.
            ClusterRefused, ClusterForbidden, NoCluster: the pod cannot be made like this.
        """
        with stop_signal() as stop:
            try:
                return self._run(context)
            except KeyboardInterrupt:
                stop.cleaning_up = True
                self.on_kill()
                raise

    def on_kill(self) -> None:
        """Delete the pod, whatever `on_finish_action` says."""
        end_it, self._end_it = self._end_it, None
        if end_it is None:
            return
        try:
            end_it()
        except MlflowkitError as exc:
            log.warning("could not clean up in the cluster: %s", exc)

    def build_pod_request_obj(
        self, context: Mapping[str, Any] | None = None, identity: Identity | None = None
    ) -> Manifest:
        """The manifest of the pod as it would be created, as a dict."""
        identity = identity or Identity.of(context or {}, KIND_LABEL)
        options = self._described()
        manifest = pod_manifest(options, self._template())
        metadata, spec = manifest["metadata"], manifest["spec"]
        asked = metadata.get("name") or self.task_id
        taken = metadata.get("name") and not self.name and not self.random_name_suffix
        name = str(self.name or asked)
        metadata["name"] = (
            name if taken else dns_name(name, suffix=bool(self.random_name_suffix))
        )
        metadata["namespace"] = (
            options["namespace"] or metadata.get("namespace") or self.hook.get_namespace()
        )
        metadata["labels"] = {**(metadata.get("labels") or {}), **identity.all_labels()}
        if self.do_xcom_push:
            xcom.add_sidecar(
                spec,
                base_container(spec, options["base_container_name"]),
                image=options["xcom_sidecar_image"]
                or self.hook.get_xcom_sidecar_container_image(),
                resources=self.hook.get_xcom_sidecar_container_resources(),
            )
        return manifest

    @cached_property
    def hook(self) -> KubernetesHook:
        """The cluster that the arguments and the connection name."""
        return KubernetesHook(
            self.kubernetes_conn_id,
            in_cluster=self.in_cluster,
            config_file=self.config_file,
            cluster_context=self.cluster_context,
        )

    # ── steps ───────────────────────────────────────────────────────────────

    def _run(self, context: Mapping[str, Any]) -> object:
        identity = Identity.of(context, KIND_LABEL)
        manifest = self.build_pod_request_obj(context, identity)
        pods = Pods(
            self.hook.cluster,
            manifest["metadata"]["namespace"],
            patience=self.API_PATIENCE_SECONDS,
        )
        pod = self._earlier(pods, identity)
        name = str((pod or manifest)["metadata"]["name"])
        self._end_it = lambda: self._delete_now(pods, name, identity)
        if pod is None:
            pods.create(manifest)
            log.info("created pod %s in %s", name, pods.where)
        if "ti" in context:
            context["ti"].xcom_push("pod_name", name)
            context["ti"].xcom_push("pod_namespace", pods.namespace)
        watch = Watch(pods, name, str(self.base_container_name), self.pace, self._telling())
        try:
            pod = self._watched(watch)
            result = self._outcome(watch, pod)
        except ClusterOutage:
            raise  # it may go on: the next attempt looks after it
        except PodGone:
            identity.forget()
            raise
        except MlflowkitError:
            self._finish(watch, identity, succeeded=False)
            raise
        self._finish(watch, identity, succeeded=True)
        return result

    def _earlier(self, pods: Pods, identity: Identity) -> Pod | None:
        """The pod of an earlier attempt of this task instance, if there is one to go on with."""
        if not self.reattach_on_restart or identity.file is None:
            return None
        found = [p for p in pods.find(identity.selector) if may_go_on(p, identity)]
        if not found:
            return None
        name = found[-1]["metadata"]["name"]
        log.info(
            "going on with pod %s, which an earlier attempt started; its log from the start:",
            name,
        )
        return found[-1]

    def _telling(self) -> Telling:
        several = bool(self.init_container_logs) or self.container_logs is not None
        prefixed = self.container_name_log_prefix_enabled
        return Telling(self.log_formatter, several if prefixed is None else prefixed)

    def _watched(self, watch: Watch) -> Pod:
        """The pod when it has ended, its log lines passed on."""
        began = time.monotonic()
        pod = watch.wait_for_start()
        log.info("pod %s started after %.1f s", watch.name, time.monotonic() - began)
        if not self.get_logs:
            return watch.wait_for_end()
        spec = pod["spec"]
        base = watch.base
        names = [c["name"] for c in spec["containers"]]
        before = [
            c["name"] for c in spec.get("initContainers") or () if c["name"] != xcom.SIDECAR
        ]
        for name in chosen(self.init_container_logs or False, before, base):
            if why.end_of(pod, name) is not None:
                for line in watch.lines(name, lambda _lines: True):
                    watch.telling.line(name, line, main=False)
        wanted = chosen(self.container_logs, names, base)
        main = [base] if base in wanted else []
        return watch.follow(main, [name for name in wanted if name != base])

    def _outcome(self, watch: Watch, pod: Pod) -> object:
        end = why.end_of(pod, watch.base)
        if end is not None and end.exit_code in self.skip_on_exit_code:
            raise TaskSkipped(f"pod {watch.name!r} ended with exit code {end.exit_code}")
        if not why.succeeded(pod, watch.base):
            raise watch.failure(pod)
        if not self.do_xcom_push:
            return None
        return xcom.read_result(watch.name, watch.lines(xcom.SIDECAR, xcom.handed_over))

    def _finish(self, watch: Watch, identity: Identity, *, succeeded: bool) -> None:
        """What `on_finish_action` wants. The outcome stands, whether or not this works."""
        skipped = isinstance(sys.exception(), TaskSkipped)
        if not succeeded and not skipped:
            self._tell_failure(watch)
        action = self.on_finish_action
        delete = action is OnFinishAction.DELETE_POD or (
            action is OnFinishAction.DELETE_SUCCEEDED_POD and succeeded
        )
        try:
            if delete:
                watch.pods.delete(watch.name, self.termination_grace_period)
            else:
                log.info("pod %s is kept in %s", watch.name, watch.pods.where)
        except MlflowkitError as exc:
            log.warning("could not delete pod %s: %s", watch.name, exc)
        self._end_it = None
        identity.forget()

    def _tell_failure(self, watch: Watch) -> None:
        if self.log_events_on_failure:
            for line in watch.events():
                log.warning("pod event: %s", line)
        if self.log_pod_spec_on_failure:
            try:
                pod = watch.pods.get(watch.name)
            except (ClusterOutage, ClusterRefused, ClusterForbidden, ClusterUnreachable):
                return
            log.warning("the pod as it was: %s", why.without_values(pod))

    def _delete_now(self, pods: Pods, name: str, identity: Identity) -> None:
        """Ask for the pod's end, also if the request that creates it is still on its way."""
        hasty = Pods(pods.cluster, pods.namespace, patience=_LAST_WORDS_S)
        if not hasty.delete(name, self.termination_grace_period):
            time.sleep(0.2)
            hasty.delete(name, self.termination_grace_period)
        identity.forget()
        log.info("deleted pod %s", name)
