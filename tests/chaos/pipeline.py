"""A DAG with a bit of everything. Each attempt leaves a line when it starts and when it ends."""

from __future__ import annotations

import os
import time

from mlflowkit import DAG, dag, get_current_context, task

WIDTH, MAPPED, CHAIN = 4, 12, 4


def mark(what: str) -> None:
    """`what attempt nanoseconds pid`, appended in one write."""
    context = get_current_context()
    ti = context["ti"]
    name = f"{ti.run_id}/{ti.task_id}/{ti.map_index}/{ti.attempt_number}"
    line = f"{what} {name} {time.time_ns()} {os.getpid()}\n"
    fd = os.open(os.environ["CHAOS_FILE"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(fd, line.encode())
    os.close(fd)


def work(seconds: float) -> None:
    mark("start")
    time.sleep(seconds * float(os.environ.get("CHAOS_PACE", "1")))
    print("some output", "x" * 200)
    mark("end")


@task(retries=8, retry_delay=0.02)
def first() -> int:
    work(0.05)
    return 1


@task(retries=8, retry_delay=0.02)
def link(before: int) -> int:
    work(0.05)
    return before + 1


@task(retries=8, retry_delay=0.02)
def branch(before: int, number: int) -> int:
    work(0.08)
    return before * 10 + number


@task(retries=8, retry_delay=0.02)
def fails_once(before: int) -> int:
    work(0.03)
    if get_current_context()["try_number"] == 1:
        raise RuntimeError("the first try fails")
    return before


@task(retries=8, retry_delay=0.02)
def numbers(before: int) -> list[int]:
    work(0.02)
    return list(range(before, before + MAPPED))


@task(retries=8, retry_delay=0.02)
def square(number: int) -> int:
    work(0.03)
    return number * number


@task(retries=8, retry_delay=0.02)
def total(squares: list[int], branches: list[int], again: int) -> int:
    work(0.02)
    return sum(squares) + sum(branches) + again


@dag
def chaos() -> None:
    value = first()
    for _ in range(CHAIN):
        value = link(value)
    branches = [branch(value, i) for i in range(WIDTH)]
    squares = square.expand(number=numbers(value))
    total(squares, branches, fails_once(value))


def make() -> DAG:
    return chaos()


def expected() -> int:
    at = 1 + CHAIN
    squares = sum(n * n for n in range(at, at + MAPPED))
    return squares + sum(at * 10 + i for i in range(WIDTH)) + at
