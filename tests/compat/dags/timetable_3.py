from datetime import timedelta

import pendulum
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG
from airflow.timetables.base import DagRunInfo, DataInterval, TimeRestriction, Timetable

UTC = pendulum.timezone("UTC")


class AfterWorkdayTimetable(Timetable):
    def infer_manual_data_interval(self, run_after):
        start = run_after.replace(hour=0, minute=0, second=0, microsecond=0)
        return DataInterval(start=start - timedelta(days=1), end=start)

    def next_dagrun_info(self, *, last_automated_data_interval, restriction):
        if last_automated_data_interval is not None:
            start = last_automated_data_interval.end
        elif restriction.earliest is None:
            return None
        else:
            start = restriction.earliest
        while start.weekday() >= 5:
            start = start + timedelta(days=1)
        return DagRunInfo.interval(start=start, end=start + timedelta(days=1))


def length(data_interval_start, data_interval_end):
    assert data_interval_end - data_interval_start == timedelta(days=1)


with DAG(
    dag_id="timetable",
    start_date=pendulum.datetime(2025, 3, 1, tz=UTC),
    schedule=AfterWorkdayTimetable(),
    tags=["example", "timetable"],
):
    EmptyOperator(task_id="run_this") >> PythonOperator(
        task_id="length", python_callable=length
    )
