from datetime import datetime, timedelta
import os

from airflow import DAG
from airflow.models.param import Param
from airflow.operators.python import PythonOperator
from airflow.sensors.base import BaseSensorOperator, PokeReturnValue
from airflow.sensors.external_task import ExternalTaskSensor
from airflow.sensors.filesystem import FileSensor
from airflow.sensors.python import PythonSensor
from airflow.decorators import task

FOLDER = os.environ["SENSOR_FOLDER"]


class CountingSensor(BaseSensorOperator):
    template_fields = ("wanted",)

    def __init__(self, wanted, **kwargs):
        super().__init__(**kwargs)
        self.wanted = wanted
        self.seen = 0

    def poke(self, context):
        self.seen += 1
        self.log.info("look %s", self.seen)
        return self.seen >= int(self.wanted)


with DAG(
    "sensors", start_date=datetime(2022, 1, 1), schedule=None, catchup=False
) as dag:
    there = FileSensor(
        task_id="there", filepath=FOLDER + "/there.txt", poke_interval=0.1, timeout=90
    )
    absent = FileSensor(
        task_id="absent",
        filepath=FOLDER + "/absent.txt",
        poke_interval=0.1,
        timeout=0.3,
        soft_fail=True,
    )
    late = FileSensor(
        task_id="late", filepath=FOLDER + "/late.txt", poke_interval=0.1, timeout=0.3
    )
    other = ExternalTaskSensor(
        task_id="other",
        external_dag_id="nobody",
        external_task_id="nothing",
        execution_delta=timedelta(hours=1),
        poke_interval=0.1,
        timeout=0.3,
        mode="reschedule",
        soft_fail=True,
    )
    asked = PythonSensor(task_id="asked", python_callable=lambda: True)
    counting = CountingSensor(task_id="counting", wanted="2", poke_interval=0.05)

    @task.sensor(poke_interval=0.05, timeout=90, mode="poke")
    def found() -> PokeReturnValue:
        return PokeReturnValue(is_done=True, xcom_value="here")

    done = PythonOperator(
        task_id="done",
        python_callable=lambda where: where,
        op_args=["{{ ti.xcom_pull(task_ids='found') }}"],
    )
    there >> done
    found() >> done
    absent >> PythonOperator(task_id="after_absent", python_callable=print)
    late >> PythonOperator(task_id="after_late", python_callable=print)
