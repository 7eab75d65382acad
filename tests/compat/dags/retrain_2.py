"""Trains three models, and keeps the best one if it is good enough."""

from datetime import timedelta

from airflow.models import DAG
from airflow.operators.bash import BashOperator
from airflow.operators.dummy import DummyOperator
from airflow.operators.python import BranchPythonOperator, PythonOperator
from airflow.utils.dates import days_ago
from airflow.utils.edgemodifier import Label
from airflow.utils.helpers import cross_downstream


def _train(model, **_):
    return {"a": 0.8, "b": 0.9, "c": 0.7}[model]


def _choose(ti):
    accuracies = ti.xcom_pull(task_ids=["train_a", "train_b", "train_c"])
    ti.xcom_push(key="best", value=max(accuracies))
    return "deploy.upload" if max(accuracies) > 0.85 else "inaccurate"


def _upload(**kwargs):
    assert kwargs["ti"].xcom_pull(key="best", task_ids="choose") == 0.9
    assert kwargs["params"]["threshold"] == 0.85


args = dict(owner="airflow", start_date=days_ago(1), provide_context=True)
dag = DAG(
    dag_id="retrain",
    default_args=args,
    schedule_interval=timedelta(days=1),
    concurrency=3,
    catchup=False,
    params={"threshold": 0.85},
)
dag.doc_md = __doc__
load = [DummyOperator(task_id=f"load_{n}", dag=dag) for n in ("images", "labels")]
trains = [
    PythonOperator(
        task_id=f"train_{m}", python_callable=_train, op_kwargs={"model": m}, dag=dag
    )
    for m in "abc"
]
choose = BranchPythonOperator(task_id="choose", python_callable=_choose, dag=dag)
upload = PythonOperator(task_id="deploy.upload", python_callable=_upload, dag=dag)
serve = BashOperator(
    task_id="serve", bash_command="echo up", dag=dag, do_xcom_push=False
)
inaccurate = BashOperator(task_id="inaccurate", bash_command="echo no", dag=dag)
end = DummyOperator(task_id="end", trigger_rule="none_failed_or_skipped", dag=dag)
cross_downstream(load, trains)
trains >> choose
choose >> Label("good") >> upload >> serve >> end
choose >> Label("bad") >> inaccurate >> end

if __name__ == "__main__":
    dag.cli()
