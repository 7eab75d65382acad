import pendulum
from airflow import DAG
from airflow.operators.python import PythonOperator, get_current_context

local = pendulum.timezone("Europe/Amsterdam")


def days(**kwargs):
    context = get_current_context()
    day = kwargs["execution_date"]
    assert day.add(days=1).to_date_string() == context["tomorrow_ds"]
    assert day.subtract(days=1).format("YYYY-MM-DD") == kwargs["yesterday_ds"]
    assert day.in_timezone("Europe/Amsterdam").timezone_name == "Europe/Amsterdam"
    assert (
        kwargs["data_interval_end"].diff(kwargs["data_interval_start"]).in_days() == 1
    )
    return day.start_of("month").isoformat()


with DAG(
    "pendulum_dates",
    schedule_interval="30 2 * * *",
    start_date=pendulum.datetime(2023, 1, 1, tz="Europe/Amsterdam"),
    end_date=pendulum.datetime(2033, 1, 1, tz=local),
    default_args={"retry_delay": pendulum.duration(seconds=1)},
    catchup=False,
) as dag:
    PythonOperator(task_id="days", python_callable=days)
