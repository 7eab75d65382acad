"""DAG runs: a chain of 40 no-op tasks, and 1 → N → 1, in two worker processes at a time.

Warm: the second run in a live engine. The clock runs from the run's creation to its
committed final state, with logs and XComs on. Dask's LocalCluster with two processes,
which keeps no state on disk, does the same graphs in the same run, interleaved.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from benches.dags import CHAIN, chain_dag, fan_dag

SIZES = (100, 1_000, 10_000)
ROUNDS = 5


def run() -> dict[str, object]:
    """Seconds (median of the rounds), and the ratio to Dask's."""
    with engine_home() as home:
        return _measure(home)


@contextmanager
def engine_home() -> Iterator[Path]:
    """A home of its own, for an engine with two worker processes that is stopped at the end."""
    os.environ["MLFLOWKIT_PARALLELISM"] = "2"
    with tempfile.TemporaryDirectory() as home:
        os.environ["MLFLOWKIT_HOME"] = home
        from mlflowkit.engine.client import EngineClient

        try:
            yield Path(home)
        finally:
            client = EngineClient(Path(home))
            if client.connect():
                client.call("stop")
            _wait_until_gone(Path(home))
            del os.environ["MLFLOWKIT_HOME"], os.environ["MLFLOWKIT_PARALLELISM"]


def _measure(home: Path) -> dict[str, object]:
    from distributed import Client, LocalCluster

    chain, fan = chain_dag(), fan_dag()
    run_seconds(chain)  # starts the engine and the template
    found: dict[str, object] = {}
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        Client(cluster) as client,
    ):
        _dask_chain(client)
        pairs = [
            (run_seconds(chain), _timed(lambda: _dask_chain(client))) for _ in range(ROUNDS)
        ]
        found["chain of 40, s"] = median([ours for ours, _ in pairs])
        found["chain of 40, Dask, s"] = median([theirs for _, theirs in pairs])
        found["chain of 40, Dask's time / ours"] = median([t / o for o, t in pairs])
        _dask_fan(client, 100)
        found["1 → 1,000 → 1, Dask, s"] = _timed(lambda: _dask_fan(client, 1_000))
    found |= _fans(fan, home)
    return found


def _fans(fan: Any, home: Path) -> dict[str, object]:
    found: dict[str, object] = {}
    per_task: dict[int, float] = {}
    engine = engine_process(home)
    run_seconds(fan, n=100)
    before = engine.memory_full_info().pss
    for size in SIZES:
        rounds = ROUNDS if size < SIZES[-1] else 2
        seconds = median([run_seconds(fan, n=size) for _ in range(rounds)])
        per_task[size] = seconds / size
        found[f"1 → {size:,} → 1, s"] = seconds
    largest, smallest = SIZES[-1], SIZES[0]
    found["cost per task, N = 10,000 / N = 100"] = per_task[largest] / per_task[smallest]
    found["engine memory, MiB, before"] = before / 2**20
    found["engine memory, MiB, after"] = engine.memory_full_info().pss / 2**20
    return found


def run_seconds(dag: Any, **params: int) -> float:
    """From the run's creation to its committed end, as the store has them."""
    view = dag.run(params, wait=True).view()
    return (view.ended_at - view.created_at).total_seconds()


def _dask_chain(client: Any) -> None:
    value = client.submit(lambda: 0, pure=False)
    for _ in range(CHAIN - 1):
        value = client.submit(lambda x: x + 1, value, pure=False)
    value.result()


def _dask_fan(client: Any, n: int) -> None:
    values = client.map(lambda x: x, list(range(n)), pure=False)
    client.submit(len, values, pure=False).result()


def _timed(call: Callable[[], None]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def median(values: list[float]) -> float:
    return statistics.median(values)


def engine_process(home: Path) -> psutil.Process:
    return psutil.Process(int((home / "engine.lock").read_text()))


def _wait_until_gone(home: Path) -> None:
    from mlflowkit.engine.locks import engine_alive

    deadline = time.monotonic() + 20
    while engine_alive(home) and time.monotonic() < deadline:
        time.sleep(0.05)
