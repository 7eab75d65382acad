from datetime import datetime
import os

from airflow import DAG
from airflow.providers.papermill.operators.papermill import PapermillOperator

with DAG(
    "papermill", start_date=datetime(2023, 1, 1), schedule="@daily", catchup=False
) as dag:
    PapermillOperator(
        task_id="run_notebook",
        input_nb=os.path.join(os.path.dirname(__file__), "sum.ipynb"),
        output_nb=os.environ["OUT_FOLDER"] + "/out-{{ ds_nodash }}.ipynb",
        parameters={"n": 4, "day": "{{ ds }}"},
    )
