from datetime import datetime, timedelta, timezone

from airflow.sdk import DAG, Param, setup, task, teardown

with DAG(
    dag_id="conditions",
    schedule="@once",
    start_date=datetime(2025, 1, 1, tzinfo=timezone.utc),
    params={
        "env": Param("dev", enum=["dev", "prod"]),
        "days": Param(7, type=["integer", "null"]),
    },
    is_paused_upon_creation=False,
    owner_links={"ann": "mailto:ann@example.com"},
    default_args={"owner": "ann", "execution_timeout": timedelta(minutes=5)},
) as dag:

    @setup
    def make():
        return "cluster"

    @teardown
    def drop(name):
        assert name == "cluster"

    @task.run_if(lambda context: context["params"]["env"] == "prod")
    @task
    def only_in_prod():
        return 1

    @task.skip_if(lambda context: context["params"]["days"] is None)
    @task.bash(env={"N": "1"}, append_env=True)
    def days(name, params=None) -> str:
        return f"echo $N {name} {params['days']}"

    @task.short_circuit
    def enough(text):
        return text == "1 cluster 7"

    @task
    def report(*given, ti=None):
        assert list(given) == ["1 cluster 7", None]
        assert ti.xcom_pull(task_ids="make") == "cluster"

    cluster = make()
    dropped = drop(cluster)
    said = days(cluster)
    checked = enough(said)
    told = report.override(trigger_rule="none_failed")(said, only_in_prod())
    cluster >> said >> checked >> dropped
    checked >> told
    with make.override(task_id="make_again")() >> drop.override(task_id="drop_again")(
        "cluster"
    ):
        report.override(task_id="fails")("only one")
