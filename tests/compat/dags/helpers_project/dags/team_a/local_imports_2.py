from datetime import datetime

from airflow.decorators import dag, task
from helpers.cleaning import clean


@dag(schedule_interval="@weekly", start_date=datetime(2022, 1, 1), catchup=False)
def local_imports():
    @task
    def cleaned(rows):
        from airflow.utils import timezone

        assert timezone.utcnow().tzinfo is not None
        return clean(rows)

    cleaned([1, 0, 2, 3])
    cleaned.override(task_id="empty")([])


local_imports()
