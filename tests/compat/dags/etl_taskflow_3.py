import pendulum

from airflow.sdk import dag, task


@dag(
    schedule=None,
    start_date=pendulum.datetime(2021, 1, 1, tz="UTC"),
    catchup=False,
    tags=["example"],
)
def etl_taskflow():
    """### TaskFlow"""

    @task()
    def extract():
        return {"1001": 301.27, "1002": 433.21, "1003": 502.22}

    @task(multiple_outputs=True)
    def transform(order_data_dict: dict):
        return {"total": sum(order_data_dict.values()), "count": len(order_data_dict)}

    @task()
    def load(total: float, count: int):
        print(f"Total is {total:.2f} of {count}")

    summary = transform(extract())
    load(summary["total"], summary["count"])


etl_taskflow()
