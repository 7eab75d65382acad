from datetime import datetime

from airflow.sdk import dag, setup, task, teardown


@dag(schedule=None, start_date=datetime(2025, 3, 1))
def setup_teardown():
    @setup
    def make_cluster():
        return "cluster-1"

    @task
    def work(cluster):
        raise RuntimeError("work failed")

    @task
    def later():
        return 1

    @teardown
    def drop_cluster(cluster):
        return f"dropped {cluster}"

    cluster = make_cluster()
    gone = drop_cluster(cluster)
    work(cluster) >> later() >> gone


setup_teardown()
