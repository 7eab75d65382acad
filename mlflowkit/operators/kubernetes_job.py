"""KubernetesJobOperator: a Kubernetes job as a task, with retries and parallel pods of its own.

The cluster's controller decides about pods; this starts the job, passes on what its pods
write, and ends as the job ends.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, ClassVar, Final

from mlflowkit.errors import (
    BadOption,
    ClusterOutage,
    JobFailed,
    MlflowkitError,
    PodTemplateBroken,
)
from mlflowkit.hooks.kubernetes import Jobs
from mlflowkit.operators.kubernetes_identity import Identity
from mlflowkit.operators.kubernetes_job_pods import JobPods
from mlflowkit.operators.kubernetes_options import log, read_template
from mlflowkit.operators.kubernetes_plain import dns_name, mapping, plain
from mlflowkit.operators.kubernetes_pod import KubernetesPodOperator
from mlflowkit.operators.kubernetes_spec import Manifest

KIND_LABEL: Final = "kubernetes_job_operator"
_FIELDS: Final = {
    "backoff_limit": "backoffLimit",
    "completion_mode": "completionMode",
    "completions": "completions",
    "parallelism": "parallelism",
    "manual_selector": "manualSelector",
    "selector": "selector",
    "suspend": "suspend",
    "ttl_seconds_after_finished": "ttlSecondsAfterFinished",
}
_PROPAGATIONS: Final = ("Foreground", "Background", "Orphan")


class KubernetesJobOperator(KubernetesPodOperator):
    """Starts a Kubernetes job, and waits for it if told so. Takes a pod task's arguments too.

    Args:
        wait_until_job_complete: Wait, pass on the logs of its pods and fail if it fails;
            else the task ends once the job is there, as in Airflow.
        backoff_limit: How many failed pods the cluster replaces.
        completions: How many pods must succeed. With `do_xcom_push` and several, the
            result is the list of theirs.
        parallelism: How many pods run at once.
        ttl_seconds_after_finished: When the cluster deletes the ended job. Without it the
            job stays, whatever `on_finish_action` says.
        job_template_file: YAML of a job; `full_job_spec` (V1Job or a dict) comes on top.
        job_poll_interval: Seconds between two looks at the job.
        on_kill_propagation_policy: What becomes of the pods of an interrupted task's job:
            `Foreground`, `Background` or `Orphan`.
    """

    template_fields: ClassVar[tuple[str, ...]] = (
        "job_template_file",
        *KubernetesPodOperator.template_fields,
    )

    def __init__(  # noqa: PLR0913 - Airflow's arguments
        self,
        task_id: str,
        *,
        job_template_file: Any = None,
        full_job_spec: Any = None,
        backoff_limit: int | None = None,
        completion_mode: str | None = None,
        completions: int | None = None,
        manual_selector: bool | None = None,
        parallelism: int | None = None,
        selector: Any = None,
        suspend: bool | None = None,
        ttl_seconds_after_finished: int | None = None,
        wait_until_job_complete: bool = False,
        job_poll_interval: float = 2,
        on_kill_propagation_policy: str = "Foreground",
        **options: Any,
    ) -> None:
        where = f"task {task_id!r}"
        self.job_template_file = job_template_file
        self.full_job_spec = mapping(where, "full_job_spec", full_job_spec)
        super().__init__(task_id, **options)
        self.backoff_limit, self.completion_mode = backoff_limit, completion_mode
        self.completions, self.parallelism = completions, parallelism
        self.manual_selector = manual_selector
        self.selector = mapping(where, "selector", selector)
        self.suspend = suspend
        self.ttl_seconds_after_finished = ttl_seconds_after_finished
        self.wait_until_job_complete = wait_until_job_complete
        self.job_poll_interval = job_poll_interval
        self.on_kill_propagation_policy = on_kill_propagation_policy
        if on_kill_propagation_policy not in _PROPAGATIONS:
            why_ = f"must be one of {', '.join(_PROPAGATIONS)}"
            raise BadOption(where, "on_kill_propagation_policy", why_)
        if self.do_xcom_push and not wait_until_job_complete:
            raise BadOption(where, "do_xcom_push", "needs wait_until_job_complete=True")

    @property
    def _needs_image(self) -> bool:
        return not (self.job_template_file or self.full_job_spec)

    def build_job_request_obj(
        self, context: Mapping[str, Any] | None = None, identity: Identity | None = None
    ) -> Manifest:
        """The manifest of the job as it would be created, as a dict."""
        identity = identity or Identity.of(context or {}, KIND_LABEL)
        pod = self.build_pod_request_obj(context, identity)
        below = self._job_template()
        metadata = below.setdefault("metadata", {})
        asked = str(self.name or metadata.get("name") or self.task_id)
        metadata["name"] = dns_name(asked, suffix=bool(self.random_name_suffix))
        metadata["namespace"] = pod["metadata"]["namespace"]
        labels = pod["metadata"]["labels"]
        metadata["labels"] = {**(metadata.get("labels") or {}), **labels}
        if annotations := pod["metadata"].get("annotations"):
            metadata["annotations"] = {**(metadata.get("annotations") or {}), **annotations}
        spec = below.setdefault("spec", {})
        for name, field in _FIELDS.items():
            if (value := getattr(self, name)) is not None:
                spec[field] = plain(value)
        spec["template"] = {
            "metadata": {
                k: v for k, v in pod["metadata"].items() if k in ("labels", "annotations")
            },
            "spec": pod["spec"],
        }
        return {**below, "apiVersion": "batch/v1", "kind": "Job"}

    def _template(self) -> Manifest | None:
        """The job's own pod template is under what the pod arguments say."""
        found = super()._template()
        if found is not None:
            return found
        inner: Manifest | None = (self._job_template().get("spec") or {}).get("template")
        return {"apiVersion": "v1", "kind": "Pod", **inner} if inner else None

    def _job_template(self) -> Manifest:
        from mlflowkit.operators.kubernetes_spec import merged

        below: Manifest | None = None
        if self.job_template_file:
            path = str(self.job_template_file)
            below = read_template(self.task_id, "job_template_file", path, "Job")
        if self.full_job_spec is not None:
            below = merged(below, plain(self.full_job_spec), str(self.base_container_name))
        found = below or {}
        if not isinstance(found.get("spec") or {}, Mapping):
            raise PodTemplateBroken(self.task_id, "job template", "its spec is no object")
        return dict(found)

    # ── steps ───────────────────────────────────────────────────────────────

    def _run(self, context: Mapping[str, Any]) -> object:
        identity = Identity.of(context, KIND_LABEL)
        manifest = self.build_job_request_obj(context, identity)
        namespace = manifest["metadata"]["namespace"]
        jobs = Jobs(self.hook.cluster, namespace, patience=self.API_PATIENCE_SECONDS)
        job = self._earlier_job(jobs, identity)
        name = str((job or manifest)["metadata"]["name"])
        self._end_it = lambda: self._delete_job(jobs, name, identity)
        if job is None:
            jobs.create(manifest)
            log.info("created job %s in %s", name, jobs.where)
        if "ti" in context:
            context["ti"].xcom_push("job_name", name)
            context["ti"].xcom_push("job_namespace", namespace)
        result: object = None
        if self.wait_until_job_complete:
            result = self._waited(jobs, name, identity)
        self._end_it = None
        identity.forget()
        return result

    def _waited(self, jobs: Jobs, name: str, identity: Identity) -> object:
        crowd = JobPods(self, jobs, name)
        try:
            self._wait_for_job(jobs, name, crowd)
            crowd.hear_out()
            return crowd.results() if self.do_xcom_push else None
        except ClusterOutage:
            raise
        except MlflowkitError:
            self._end_it = None
            identity.forget()
            raise
        finally:
            crowd.stop()

    def _earlier_job(self, jobs: Jobs, identity: Identity) -> dict[str, Any] | None:
        if not self.reattach_on_restart or identity.file is None:
            return None
        found = [
            job
            for job in jobs.find(identity.selector)
            if not job["metadata"].get("deletionTimestamp")
        ]
        if found:
            log.info(
                "going on with job %s of an earlier attempt", found[-1]["metadata"]["name"]
            )
        return found[-1] if found else None

    def _wait_for_job(self, jobs: Jobs, name: str, crowd: JobPods) -> None:
        while True:
            job = jobs.get(name)
            if job is None:
                told = "somebody deleted it before it had ended"
                raise JobFailed(name, jobs.where, "Deleted", told)
            pods = crowd.look()
            for condition in (job.get("status") or {}).get("conditions") or ():
                if condition.get("status") != "True":
                    continue
                if condition.get("type") == "Complete":
                    return
                if condition.get("type") == "Failed":
                    reason = str(condition.get("reason") or "Failed")
                    told = str(condition.get("message") or "the cluster gives no message")
                    raise JobFailed(name, jobs.where, reason, told, crowd.story(pods))
            crowd.check_start(pods)
            time.sleep(self.job_poll_interval)

    def _delete_job(self, jobs: Jobs, name: str, identity: Identity) -> None:
        hasty = Jobs(jobs.cluster, jobs.namespace, patience=5.0)
        options: dict[str, Any] = {
            "propagation": self.on_kill_propagation_policy,
            "grace_seconds": self.termination_grace_period,
        }
        if not hasty.delete(name, **options):
            time.sleep(0.2)
            hasty.delete(name, **options)
        identity.forget()
        log.info("deleted job %s", name)
