"""Kinds of `@task` that Airflow has and that are not here: what to do instead. Words alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

VIRTUALENV: Final = (
    "a task runs in the interpreter of its run: install what it needs there, or start "
    "another interpreter with BashOperator"
)
DOCKER: Final = "run the image with KubernetesPodOperator, or call docker with BashOperator"
KUBERNETES: Final = "run an image with KubernetesPodOperator"
SPARK: Final = "call spark-submit with BashOperator"
#: By the kind's name.
ELSEWHERE: Final[Mapping[str, str]] = {
    "virtualenv": VIRTUALENV,
    "external_python": VIRTUALENV,
    "branch_virtualenv": VIRTUALENV,
    "branch_external_python": VIRTUALENV,
    "docker": DOCKER,
    "kubernetes": KUBERNETES,
    "kubernetes_cmd": KUBERNETES,
    "pyspark": SPARK,
}
