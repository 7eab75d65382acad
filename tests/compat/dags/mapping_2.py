from datetime import datetime

from airflow import DAG
from airflow.decorators import task
from airflow.operators.bash import BashOperator
from airflow.operators.python import PythonOperator

with DAG(dag_id="mapping", start_date=datetime(2022, 3, 4), schedule=None):

    @task
    def numbers():
        return [1, 2, 3]

    @task
    def nothing():
        return []

    @task
    def add(x: int, y: int = 0):
        return x + y

    @task
    def total(values):
        assert len(values) == 3
        return sum(values)

    @task
    def pick(ti=None):
        picked = ti.xcom_pull(task_ids="add", map_indexes=[0, 2])
        assert list(picked) == [11, 13], list(picked)
        assert ti.xcom_pull(task_ids="add", map_indexes=1) == 12
        return picked

    summed = add.partial(y=10).expand(x=numbers())
    total(summed) >> pick()
    add.override(task_id="cross").expand(x=[1, 2], y=[10, 20])
    add.override(task_id="pairs").expand_kwargs([{"x": 1, "y": 2}, {"x": 3}])
    add.override(task_id="none_at_all").expand(x=nothing())
    zipped = numbers.override(task_id="more")().zip(
        numbers.override(task_id="others")()
    )

    @task(map_index_template="{{ task.op_kwargs['pair'] }}")
    def of_pair(pair):
        return pair[0] * pair[1]

    of_pair.expand(pair=zipped)
    BashOperator.partial(task_id="shout", do_xcom_push=False).expand(
        bash_command=["echo 1", "exit 99", "echo 3"]
    )
    PythonOperator.partial(task_id="classic", python_callable=lambda a: a).expand(
        op_args=[[1], [2]]
    )
