"""The language people write DAGs in: DAG, @task, operators, notebooks, parameters.

Everything here only describes. Running is asked of the `Runtime` port; the engine sees
a `DagSpec`, and workers open the bundle. Never imports the store, the engine or nbrun.
"""
