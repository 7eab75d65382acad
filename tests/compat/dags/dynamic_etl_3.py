import pendulum
from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import (
    Asset,
    Label,
    Param,
    chain,
    dag,
    get_current_context,
    task,
    task_group,
)

raw = Asset(name="raw", uri="s3://bucket/raw", extra={"team": "x"}, group="g")


@dag(
    schedule=None,
    start_date=pendulum.datetime(2025, 1, 1, tz="Europe/Athens"),
    params={"n": Param(3, type="integer", minimum=1), "limit": 100},
    render_template_as_native_obj=True,
    dag_display_name="Dynamic ETL",
    max_active_tasks=4,
)
def dynamic_etl():
    @task
    def list_files(params=None):
        return [f"part-{n}.csv" for n in range(params["n"])]

    @task(map_index_template="{{ file_name }}", max_active_tis_per_dagrun=2)
    def process(path: str, factor: int):
        context = get_current_context()
        context["file_name"] = f"of {path}"
        return int(path[5]) * factor

    @task(outlets=[raw], multiple_outputs=True)
    def stats(values, *, outlet_events=None) -> dict:
        values = list(values)
        outlet_events[raw].extra = {"rows": len(values)}
        return {"sum": sum(values), "first": values[:2]}

    @task.branch
    def choose(total: int, limit: int):
        return "big" if total > limit else "small.count"

    @task_group(default_args={"owner": "small"})
    def small(first):
        @task
        def count(of, task=None):
            assert task.owner == "small"
            return len(of)

        count(first)

    @task
    def show(value, logical_date=None, **kwargs):
        assert kwargs["ti"].map_index == -1
        assert value in (30, [0, 10])
        assert logical_date <= pendulum.now("UTC")

    numbers = stats(process.partial(factor=10).expand(path=list_files()))
    chosen = choose(numbers["sum"], "{{ params.limit }}")
    big = EmptyOperator(task_id="big")
    done = EmptyOperator(task_id="done", trigger_rule="none_failed_min_one_success")
    group = small(numbers["first"])
    chosen >> Label("large") >> big >> done
    chosen >> Label("small") >> group >> done
    shown = show.override(task_id="show_sum")(numbers["sum"])
    say = BashOperator.partial(task_id="say").expand(bash_command=["echo 1", "exit 99"])
    chain(shown, say)
    BashOperator.partial(task_id="env", bash_command='test "$A" -lt 3').expand(
        env=[{"A": "1"}, {"A": "2"}, {"A": "3"}]
    )


dynamic_etl()
