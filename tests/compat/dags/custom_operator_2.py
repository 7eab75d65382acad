from datetime import datetime

from airflow import DAG
from airflow.exceptions import AirflowSkipException, AirflowException
from airflow.hooks.base import BaseHook
from airflow.models.baseoperator import BaseOperator, chain
from airflow.utils.decorators import apply_defaults


class WeatherHook(BaseHook):
    def __init__(self, conn_id="weather"):
        super().__init__()
        self.conn_id = conn_id

    def get_conn(self):
        return self.get_connection(self.conn_id)

    def temperature(self, city):
        self.log.info("asking %s", self.get_conn().host)
        return {"Oslo": -3, "Rome": 17}.get(city)


class TemperatureOperator(BaseOperator):
    template_fields = ("city",)
    template_ext = (".city",)
    ui_color = "#aabbcc"

    @apply_defaults
    def __init__(self, city, lowest=0, *args, **kwargs):
        super(TemperatureOperator, self).__init__(*args, **kwargs)
        self.city = city
        self.lowest = lowest

    def execute(self, context):
        degrees = WeatherHook().temperature(self.city)
        self.log.info("%s has %s", self.city, degrees)
        if degrees is None:
            raise AirflowException(f"no such city: {self.city}")
        if degrees < self.lowest:
            raise AirflowSkipException("too cold")
        return degrees


with DAG(
    "custom_operator",
    start_date=datetime(2023, 1, 1),
    schedule=None,
    default_args={"lowest": -10},
    params={"north": "Oslo"},
) as dag:
    warm = TemperatureOperator(task_id="warm", city="Rome")
    cold = TemperatureOperator(task_id="cold", city="{{ params.north }}")
    too_cold = TemperatureOperator(task_id="too_cold", city="Oslo", lowest=0)
    nowhere = TemperatureOperator(
        task_id="nowhere", city="Atlantis", trigger_rule="all_done"
    )
    chain(warm, cold, too_cold, nowhere)
