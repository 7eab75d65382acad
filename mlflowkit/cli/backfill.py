"""`mlflowkit backfill`: the runs of a span of time, made where they are missing."""

from __future__ import annotations

import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from mlflowkit.cli.params import PARAM, texts_of
from mlflowkit.cli.stopping import SIGNALLED, Stop, stoppable

if TYPE_CHECKING:
    from mlflowkit.engine.process import EngineProcess
    from mlflowkit.handles.backfill import Backfill, PlannedRun
    from mlflowkit.store.backfills import Order, RunProgress


def backfill(
    dag: str = typer.Argument(
        ..., metavar="DAG|FILE[:DAG]", help="Published, or in a file."
    ),
    start: str = typer.Option(..., "-s", "--start", help="As 2026-03-01, or with a time."),
    end: str = typer.Option(
        ..., "-e", "--end", help="Included; a date means the whole day."
    ),
    dry_run: bool = typer.Option(False, "--dry-run", help="Only say what it would run."),
    reverse: bool = typer.Option(False, "--reverse", help="The latest first."),
    rerun: str = typer.Option("", help="Runs that are there: failed or all run again."),
    max_active: int = typer.Option(10, min=1, help="Runs under way at once."),
    param: list[str] | None = PARAM,
    json: bool = typer.Option(False, "--json", help="Print one JSON object at the end."),
) -> None:
    """Run the intervals of a span that have no run yet, and show how they end.

    What is there is left as it is. The same command again goes on with what is missing.
    Ctrl-C takes back what has not begun, and waits for what has; once more leaves at once.
    Exit status: 0 all of the span succeeded, 1 some failed, 2 wrong use, 130 stopped.
    """
    from mlflowkit.cli.places import the_home

    home = the_home()
    options = {"reverse": reverse, "rerun": rerun, "max_active": max_active}
    order = _order(dag, start, end, texts_of(param), home, options)
    if dry_run:
        _say_plan(order, home, json)
        return
    raise typer.Exit(_carry_out(order, home, json))


def _order(
    where: str,
    start: str,
    end: str,
    texts: dict[str, str],
    home: Path,
    options: dict[str, Any],
) -> Order:
    from dataclasses import replace

    from mlflowkit.authoring.loader import split_name
    from mlflowkit.authoring.params import params_from_text
    from mlflowkit.cli.run import load
    from mlflowkit.engine.requests import request_of, with_params
    from mlflowkit.handles.backfill import make_order
    from mlflowkit.handles.request import make_request
    from mlflowkit.handles.schedule import Schedule

    path = Path(split_name(where)[0])
    if path.suffix in (".py", ".ipynb") or path.exists():
        dag, params = load(where, [f"{name}={text}" for name, text in texts.items()])
        dag.check(params)
        request = replace(make_request(dag, params, {}, home), companions=())
        spec, own = dag.spec(), dag.own_timetable
    else:
        one, own = Schedule(where, home).known(), None
        spec = one.spec
        given = params_from_text(spec, texts)
        request = with_params(request_of(one, "backfill"), given)
    return make_order(request, spec, start, end, own_timetable=own, **options)


def _say_plan(order: Order, home: Path, json: bool) -> None:
    from mlflowkit.cli.console import print_json, say
    from mlflowkit.handles.backfill import planned_runs

    found = planned_runs(order, home)
    rows = [_plan_row(one, order.rerun) for one in found]
    if json:
        print_json({"dag_id": order.request.dag_id, "runs": rows})
        return
    for row in rows:
        said = f"{row['run_id']} is there: {row['state']}, " if row["run_id"] else ""
        say(f"{_date(row['logical_date'])}  {said}{row['would']}")
    counts = Counter(row["would"] for row in rows)
    say(", ".join(f"{n} {what}" for what, n in counts.items()), stderr=True)


def _plan_row(one: PlannedRun, rerun: str) -> dict[str, Any]:
    would = "run"
    if one.state in ("queued", "running"):
        would = "go on"
    elif one.state is not None:
        again = rerun == "all" or (rerun == "failed" and one.state == "failed")
        would = "run again" if again else "be left as it is"
    return {
        "logical_date": one.logical_date,
        "interval": [one.start, one.end],
        "run_id": one.run_id,
        "state": one.state,
        "would": would,
    }


def _carry_out(order: Order, home: Path, json: bool) -> int:
    """Have it done by the engine that is alive, or by this process. Gives the exit status."""
    from mlflowkit.app import foreground_engine
    from mlflowkit.engine.client import EngineClient
    from mlflowkit.errors import HomeBusy
    from mlflowkit.handles.backfill import Backfill, start_backfill

    while True:
        client = EngineClient(home)
        there = client.connect()
        client.close()
        if there:
            return _there(start_backfill(order, home), json)
        try:
            with foreground_engine(home) as engine:
                started = Backfill(home, order, engine.backfills.start(order))
                withdraw = partial(_withdraw, engine, started)
                watch = _Progress(started, json)
                with stoppable(watch.stop):
                    engine.serve(partial(watch.over, withdraw))
                return watch.summary()
        except HomeBusy:
            time.sleep(0.1)


def _withdraw(engine: EngineProcess, started: Backfill) -> list[str]:
    gone = engine.backfills.withdraw(started.outcome.backfill_id)
    started.withdrawn(gone)
    return [str(run_id) for run_id in gone]


def _there(backfill: Backfill, json: bool) -> int:
    from mlflowkit.engine.locks import engine_alive
    from mlflowkit.errors import RunInterrupted

    watch = _Progress(backfill, json)
    with stoppable(watch.stop):
        while True:
            alive = engine_alive(backfill.home)
            if watch.over(backfill.cancel):
                return watch.summary()
            if not alive:
                raise RunInterrupted(watch.open_runs()[0])
            time.sleep(0.1)


class _Progress:
    """A line for each run as it ends, and the sum at the end."""

    def __init__(self, backfill: Backfill, json: bool) -> None:
        self.backfill, self._json = backfill, json
        self._told: set[str] = set()
        self._looked = 0.0
        self.stop, self._stopped = Stop(), False

    def over(self, withdraw: Any) -> bool:
        """Whether all its runs have ended. Asked often, it looks seldom."""
        if self.stop.asked and not self._stopped:
            self._stopped = True
            gone = withdraw()
            self._say(
                f"taken back: {len(gone)} runs that had not "
                "begun; waiting for the others (once more leaves at once)"
            )
        now = time.monotonic()
        if now - self._looked < 0.2:
            return False
        self._looked = now
        progress = self.backfill.progress()
        for one in progress:
            if one.state in ("success", "failed") and one.run_id not in self._told:
                self._told.add(one.run_id)
                self._say(_line(one))
        return len(self._told) >= len(progress)

    def open_runs(self) -> list[str]:
        """Its runs that have not ended."""
        return [r for r in self.backfill.run_ids if r not in self._told]

    def _say(self, line: str) -> None:
        from mlflowkit.cli.console import say

        say(line, stderr=self._json)

    def summary(self) -> int:
        """Say how it went. Gives the exit status."""
        from mlflowkit.cli.console import print_json
        from mlflowkit.handles.backfill import counts_text

        progress, left = self.backfill.progress(), self.backfill.left
        counts = Counter(str(one.state) for one in progress)
        failed = [one for one in progress if one.state == "failed"]
        bad = [
            *(str(o.run_id) for o in failed),
            *(r for r, s in left.items() if s != "success"),
        ]
        status = SIGNALLED + self.stop.asked if self.stop.asked else 1 if bad else 0
        if self._json:
            rows = [one._asdict() for one in progress]
            found = {"dag_id": self.backfill.dag_id, "runs": rows, "left": left}
            print_json({**found, "counts": counts, "failed": bad})
            return status
        self._say(f"{self.backfill.dag_id}: {counts_text(counts)}")
        if left:
            states = counts_text(Counter(left.values()))
            self._say(f"left as they were: {len(left)} ({states})")
        for one in failed:
            self._say(
                f"  failed: {one.run_id} ({_date(one.logical_date)}) {one.reason}".rstrip()
            )
        if bad and not self.stop.asked:
            self._say("`--rerun failed` tries them again")
        return status


def _line(one: RunProgress) -> str:
    from mlflowkit.cli.words import took

    spent = took(one.started_at, one.ended_at)
    return f"{_date(one.logical_date)}  {one.run_id}  {one.state}  {spent}"


def _date(when: Any) -> str:
    return f"{when:%Y-%m-%d %H:%M}Z"
