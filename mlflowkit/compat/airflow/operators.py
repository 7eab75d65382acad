"""Operators whose arguments differ between Airflow and here: thin adapters, nothing more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from mlflowkit.authoring.empty import EmptyOperator
from mlflowkit.authoring.operator import BaseOperator
from mlflowkit.authoring.python import PythonOperator
from mlflowkit.operators.trigger_dag import TriggerDagRunOperator as _Trigger

__all__ = ["PythonOperator"]


class TriggerDagRunOperator(_Trigger):
    """Also takes `execution_date`, Airflow 2's name for `logical_date`."""

    def __init__(self, task_id: str, *, execution_date: Any = None, **options: Any) -> None:
        if execution_date is not None:
            options["logical_date"] = execution_date
        super().__init__(task_id, **options)


class ExternalTaskMarker(EmptyOperator):
    """Marks a task of another DAG as below this one: for Airflow's screens. Does nothing."""

    def __init__(
        self,
        task_id: str,
        *,
        external_dag_id: str = "",
        external_task_id: str = "",
        execution_date: object = None,
        logical_date: object = None,
        recursion_depth: int = 10,
        **options: Any,
    ) -> None:
        super().__init__(task_id, **options)
        self.external_dag_id, self.external_task_id = external_dag_id, external_task_id
        del execution_date, logical_date, recursion_depth


class S3CreateObjectOperator(BaseOperator):
    """Writes text or bytes to S3.

    Args:
        s3_key: `s3://bucket/key`, or a key in `s3_bucket`.
        data: What to write; a text is written in `encoding`.
        replace: Write over an object that is there; else that is an error.
    """

    template_fields: ClassVar[Sequence[str]] = ("s3_bucket", "s3_key", "data")

    def __init__(
        self,
        task_id: str,
        *,
        s3_key: str,
        data: str | bytes,
        s3_bucket: str | None = None,
        replace: bool = False,
        encrypt: bool = False,
        acl_policy: str | None = None,
        encoding: str | None = None,
        aws_conn_id: str = "aws_default",
        **options: Any,
    ) -> None:
        super().__init__(task_id, **options)
        self.s3_key, self.s3_bucket, self.data = s3_key, s3_bucket, data
        self.how = {"replace": replace, "encrypt": encrypt, "acl_policy": acl_policy}
        self.encoding, self.aws_conn_id = encoding or "utf-8", aws_conn_id

    def execute(self, context: Mapping[str, Any]) -> None:
        from mlflowkit.hooks.s3 import S3Hook

        data = self.data.encode(self.encoding) if isinstance(self.data, str) else self.data
        hook: Any = S3Hook(self.aws_conn_id)
        hook.load_bytes(data, self.s3_key, self.s3_bucket, **self.how)
