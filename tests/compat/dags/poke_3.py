import os

from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.sensors.filesystem import FileSensor
from airflow.providers.standard.sensors.python import PythonSensor
from airflow.sdk import DAG, PokeReturnValue, TriggerRule, task
from airflow.sdk.bases.sensor import BaseSensorOperator
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException
from pendulum import datetime


class EndsWith(BaseSensorOperator):
    template_fields = ("text",)
    ui_color = "#fff"

    def __init__(self, text, **kwargs):
        super().__init__(**kwargs)
        self.text = text
        self.asked = 0

    def poke(self, context):
        self.asked += 1
        self.log.info("look %d at %s", self.asked, self.text)
        return self.asked > 1 and self.text.endswith("2025")


with DAG(
    "poke",
    start_date=datetime(2025, 1, 1),
    schedule="@daily",
    default_args={"poke_interval": 0.05, "timeout": 30},
):

    @task.sensor(poke_interval=0.05, timeout=30, mode="reschedule")
    def wait() -> PokeReturnValue:
        return PokeReturnValue(is_done=True, xcom_value="found")

    @task
    def use(value):
        assert value == "found"

    mine = EndsWith(task_id="mine", text="x{{ 2024 + 1 }}")
    there = FileSensor(
        task_id="there",
        filepath=os.path.join(os.environ["SENSOR_FOLDER"], "the*.txt"),
        deferrable=True,
    )
    asked = PythonSensor(
        task_id="asked",
        python_callable=lambda n, ds: n == 3 and len(ds) == 10,
        op_kwargs={"n": 3},
    )
    late = PythonSensor(
        task_id="late",
        python_callable=lambda: False,
        timeout=0.2,
        poke_interval=0.05,
        soft_fail=True,
        retries=2,
    )

    @task(trigger_rule=TriggerRule.ALL_DONE)
    def after():
        raise AirflowSkipException("nothing to do")

    @task(retries=3)
    def never():
        raise AirflowFailException("no use")

    use(wait()) >> mine >> there >> asked >> late >> after()
    never() >> BashOperator(
        task_id="mend", bash_command="echo mended", trigger_rule=TriggerRule.ONE_FAILED
    )
