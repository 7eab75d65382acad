from datetime import datetime

from airflow.sdk import DAG, Param, get_current_context, task

with DAG(
    "native_types",
    schedule=None,
    start_date=datetime(2025, 1, 1),
    render_template_as_native_obj=True,
    params={
        "sizes": Param([1, 2, 3], type="array"),
        "n": Param(5, type="integer", minimum=1),
    },
) as dag:

    @task
    def add(sizes, n):
        assert isinstance(n, int), type(n)
        return sum(sizes) + n

    @task(retries=0)
    def show(total):
        assert total == 11
        assert get_current_context()["params"]["n"] == 5

    show(add("{{ params.sizes }}", "{{ params.n }}"))
