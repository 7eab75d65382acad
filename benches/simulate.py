"""A month of an hourly DAG on the virtual clock: about a second for ten tasks."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from mlflowkit import DAG, EmptyOperator, chain_linear
from mlflowkit.core.stubs import Outcome

TASKS = 10
OPTIONS = {"retries": 1, "retry_delay": timedelta(minutes=1)}


def run() -> dict[str, object]:
    """Seconds (budget: about 1), and what one attempt costs."""
    plain = _seconds({})
    tried_again = _seconds({"t3": ["failed", "success"]})
    wide = _seconds({}, chain=False)
    slow = _seconds({"t0": Outcome(seconds=5400)})
    return {
        f"a month of an hourly chain of {TASKS}, s": plain[0],
        "attempts": plain[1],
        "one attempt, ms": 1000 * plain[0] / plain[1],
        "with a retry in each run, s": tried_again[0],
        f"{TASKS} tasks beside one another, s": wide[0],
        "runs that overlap, s": slow[0],
    }


def _seconds(outcomes: dict[str, object], chain: bool = True) -> tuple[float, int]:
    first = datetime(2026, 3, 1, tzinfo=UTC)
    with DAG(
        "hourly",
        schedule="@hourly",
        timezone="UTC",
        start_date=first,
        catchup=True,
        default_args=OPTIONS,
    ) as dag:
        tasks = [EmptyOperator(task_id=f"t{i}") for i in range(TASKS)]
        if chain:
            chain_linear(*tasks)
    started = time.perf_counter()
    found = dag.simulate(first, "2026-04-01", outcomes=outcomes)
    seconds = time.perf_counter() - started
    assert len(found) == 31 * 24 - 1
    return seconds, len(found.attempts)
