"""A notebook on a schedule: a scheduler runs it while no Jupyter is open."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path

from tests.cli.terminal import Terminal, wait_until
from tests.cli.test_scheduler import fine, runs, scheduler
from tests.nbrun.conftest import code, save


def test_a_scheduled_notebook_is_run_by_a_scheduler_and_its_outputs_are_listed_by_date(
    terminal: Terminal,
) -> None:
    save(
        terminal.folder / "daily report.ipynb",
        code("region: str = 'EU'\nn: int = 1", "parameters"),
        code("print(region, n + 1)"),
    )
    schedule = ("notebook", "schedule", "daily report.ipynb", "--cron", "* * * * * *")
    said = fine(terminal(*schedule, "-p", "region=US", "-p", "n=41")).out
    assert "no scheduler is alive" in said
    assert "executed notebooks: mlflowkit notebook outputs daily_report" in said

    def ended() -> list[str]:
        found = runs(terminal, "daily_report")
        return [run.run_id for run in found if str(run.state) == "success"]

    began = datetime.now(UTC).replace(microsecond=0)
    with scheduler(terminal) as one:
        wait_until(lambda: len(ended()) >= 2, "two runs")
        assert one.interrupt() == 0
    listed = fine(terminal("notebook", "outputs", "daily report.ipynb", "--json")).json()
    done = [each for each in listed if each["run_id"] in ended()]
    assert len(done) >= 2
    for each in done:
        assert (each["state"], each["run_type"]) == ("success", "scheduled")
        assert each["task_id"] == "daily_report"
        executed = json.loads(Path(each["path"]).read_text())
        printed = [out["text"] for cell in executed["cells"] for out in cell["outputs"]]
        assert printed == [["US 42\n"]]
    dates = [datetime.fromisoformat(each["date"]) for each in done]
    assert dates == sorted(dates, reverse=True) and min(dates) >= began  # the newest first
    shown = fine(terminal("notebook", "outputs", "daily_report", "-n", "1")).out
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d +\w+ +daily_report/\d+ +\S.*\n", shown)
