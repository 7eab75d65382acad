"""The arguments of a pod task that are not about the pod: where, how long, what is shown and kept.

Checked when the DAG is written. It sends nothing and runs nothing.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, ClassVar

from mlflowkit.hooks.kubernetes import KubernetesHook
from mlflowkit.hooks.kubernetes_steady import PATIENCE_SECONDS
from mlflowkit.operators.kubernetes_options import (
    Containers,
    LogFormatter,
    OnFinishAction,
    PodOptions,
    exit_codes,
    on_finish,
    span,
)
from mlflowkit.operators.kubernetes_telling import Pace


class RunOptions(PodOptions):
    """How a pod is run. Its subclasses run it."""

    template_fields: ClassVar[tuple[str, ...]] = (
        "image",
        "name",
        "hostname",
        "cmds",
        "annotations",
        "arguments",  # as it is written in .partial() and .expand()
        "arguments_",  # as it is kept: every operator has a method arguments()
        "env_vars",
        "labels",
        "config_file",
        "pod_template_file",
        "pod_template_dict",
        "namespace",
        "container_resources",
        "volumes",
        "volume_mounts",
        "cluster_context",
        "env_from",
        "node_selector",
        "kubernetes_conn_id",
        "base_container_name",
    )
    #: Seconds that the API server may be away, and that a pod may be stuck in starting.
    API_PATIENCE_SECONDS: ClassVar[float] = PATIENCE_SECONDS
    STUCK_SECONDS: ClassVar[float] = 15.0

    def __init__(  # noqa: PLR0913 - Airflow's arguments
        self,
        task_id: str,
        *,
        kubernetes_conn_id: str | None = KubernetesHook.default_conn_name,
        in_cluster: bool | None = None,
        config_file: Any = None,
        cluster_context: Any = None,
        reattach_on_restart: bool = True,
        startup_timeout_seconds: float = 120,
        startup_check_interval_seconds: float = 1,
        schedule_timeout_seconds: float | None = None,
        base_container_status_polling_interval: float = 1,
        get_logs: bool = True,
        container_logs: Containers = None,
        init_container_logs: Containers = None,
        container_name_log_prefix_enabled: bool | None = None,
        log_formatter: LogFormatter | None = None,
        log_events_on_failure: bool = False,
        log_pod_spec_on_failure: bool = False,
        do_xcom_push: bool = False,
        xcom_sidecar_image: Any = None,
        skip_on_exit_code: int | Collection[int] | None = None,
        on_finish_action: str | OnFinishAction = OnFinishAction.DELETE_POD,
        is_delete_operator_pod: bool | None = None,
        deferrable: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(task_id, **options)
        where = f"task {task_id!r}"
        self.kubernetes_conn_id, self.in_cluster = kubernetes_conn_id, in_cluster
        self.config_file, self.cluster_context = config_file, cluster_context
        self.reattach_on_restart = reattach_on_restart
        startup = span(where, "startup_timeout_seconds", startup_timeout_seconds)
        scheduling = schedule_timeout_seconds
        self.pace = Pace(
            startup=startup,
            schedule=startup
            if scheduling is None
            else span(where, "schedule_timeout_seconds", scheduling),
            check=span(
                where, "startup_check_interval_seconds", startup_check_interval_seconds
            ),
            poll=base_container_status_polling_interval,
            stuck=self.STUCK_SECONDS,
        )
        self.get_logs = get_logs
        self.container_logs = container_logs
        self.init_container_logs = init_container_logs
        self.container_name_log_prefix_enabled = container_name_log_prefix_enabled
        self.log_formatter = log_formatter
        self.log_events_on_failure = log_events_on_failure
        self.log_pod_spec_on_failure = log_pod_spec_on_failure
        self.do_xcom_push = do_xcom_push
        self.xcom_sidecar_image = xcom_sidecar_image
        self.skip_on_exit_code = exit_codes(where, skip_on_exit_code)
        self.on_finish_action = on_finish(where, on_finish_action, is_delete_operator_pod)
        self.deferrable = deferrable
