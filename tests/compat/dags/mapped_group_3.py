from datetime import datetime

from airflow.sdk import dag, task, task_group


@dag(schedule=None, start_date=datetime(2025, 1, 1))
def mapped_group():
    @task
    def files():
        return ["a.csv", "b.csv", "broken.csv"]

    @task_group
    def per_file(name):
        @task
        def read(name):
            if name.startswith("broken"):
                raise ValueError(name)
            return len(name)

        @task
        def store(size):
            return size * 10

        return store(read(name))

    @task(trigger_rule="all_done")
    def total(sizes):
        return sum(one for one in sizes if one)

    total(per_file.expand(name=files()))


mapped_group()
