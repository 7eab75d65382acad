from datetime import datetime

from airflow.sdk import DAG, Asset, task

orders = Asset("s3://shop/orders.csv")
customers = Asset(name="customers", uri="s3://shop/customers.csv")

with DAG("producer", start_date=datetime(2025, 1, 1), schedule="@hourly"):

    @task(outlets=[orders, customers])
    def write(*, outlet_events):
        outlet_events[orders].extra = {"rows": 3}

    write()

with DAG("consumer", start_date=datetime(2025, 1, 1), schedule=(orders & customers)):

    @task(inlets=[orders])
    def read():
        return "read"

    read()

with DAG("either", schedule=[orders]):

    @task
    def react():
        return "seen"

    react()
