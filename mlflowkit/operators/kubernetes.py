"""Kubernetes as tasks: a pod, a job, and the secrets they may have.

The names that people import; each lives in the file beside this one that says what it does.
"""

from mlflowkit.operators.kubernetes_job import KubernetesJobOperator
from mlflowkit.operators.kubernetes_options import OnFinishAction
from mlflowkit.operators.kubernetes_plain import Secret
from mlflowkit.operators.kubernetes_pod import KubernetesPodOperator

__all__ = ["KubernetesJobOperator", "KubernetesPodOperator", "OnFinishAction", "Secret"]
