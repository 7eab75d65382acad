from datetime import datetime

from airflow import DAG, Dataset
from airflow.operators.bash import BashOperator

raw = Dataset("file:///data/raw.csv")

with DAG(
    "raw_producer", schedule="@daily", start_date=datetime(2023, 1, 1), catchup=False
):
    BashOperator(task_id="make", bash_command="echo raw", outlets=[raw])

with DAG("raw_consumer", schedule=[raw], start_date=datetime(2023, 1, 1)):
    BashOperator(task_id="use", bash_command="echo used")
