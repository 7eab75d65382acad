"""The DAGs of the benches. A file of their own: workers import what their tasks' file imports."""

from __future__ import annotations

from mlflowkit import dag, task

CHAIN = 40


@task
def noop(x: int = 0) -> int:
    return x + 1


@task
def numbers(n: int) -> list[int]:
    return list(range(n))


@task
def one(x: int) -> int:
    return x


@task
def count(xs: list[int]) -> int:
    return len(xs)


@dag(dag_id="bench_chain")
def chain_dag() -> None:
    value = noop()
    for _ in range(CHAIN - 1):
        value = noop(value)


@dag(dag_id="bench_fan")
def fan_dag(n: int = 100) -> None:
    count(one.expand(x=numbers(n)))
