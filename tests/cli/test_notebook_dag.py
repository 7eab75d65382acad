"""`mlflowkit notebook to-dag|schedule|outputs`: in a terminal, with a real home."""

from __future__ import annotations

import json
from pathlib import Path

from tests.authoring.test_notebook_dag import write
from tests.cli.terminal import Terminal

PARTS: list[str | tuple[str, str]] = [
    ("n = 4", "parameters"),
    "## Load",
    "rows = list(range(n))",
    "## Sum",
    "open('sum', 'w').write(str(sum(rows)))",
]


def test_a_notebook_becomes_a_dag_file_that_runs(terminal: Terminal) -> None:
    write(terminal.folder, PARTS)
    said = terminal("notebook", "to-dag", "report.ipynb", "--json")
    assert said.status == 0, said.err
    file = terminal.folder / "pipelines" / "report.py"
    assert said.json()["file"] == str(file)
    assert said.json()["crossings"] == [
        {
            "name": "rows",
            "made_in": "load",
            "used_in": "sum_section",
            "problem": None,
            "where": None,
        }
    ] or [c["name"] for c in said.json()["crossings"]] == ["rows"]
    again = terminal("notebook", "to-dag", "report.ipynb")
    assert (again.status, "is there already" in again.err) == (2, True)
    ran = terminal("run", str(file), "-p", "n=5", "--json")
    assert ran.status == 0, ran.err
    assert (terminal.folder / "sum").read_text() == "10"


def test_a_notebook_is_scheduled_and_its_outputs_are_listed_by_date(
    terminal: Terminal,
) -> None:
    write(terminal.folder, PARTS)
    bad = terminal(
        "notebook", "schedule", "report.ipynb", "--cron", "0 6 * * *", "-p", "m=1"
    )
    assert (bad.status, "no parameter 'm'" in bad.err) == (2, True)
    made = terminal(
        *("notebook", "schedule", "report.ipynb", "--cron", "0 6 * * *"),
        *("--tz", "Europe/Athens", "-p", "n=7", "--name", "nightly", "--json"),
    )
    assert made.status == 0, made.err
    found = made.json()
    assert (
        found["dag_id"],
        found["paused"],
        found["scheduler_alive"],
        len(found["next"]),
    ) == (
        "nightly",
        False,
        False,
        3,
    )
    assert terminal("notebook", "outputs", "report.ipynb").out.strip() == "no runs yet"
    run = terminal("dags", "trigger", "nightly", "--json").json()["run_id"]
    watched = terminal("runs", "watch", run)
    assert watched.status == 0, watched.err
    (one,) = terminal("notebook", "outputs", "report.ipynb", "--json").json()
    assert (one["run_id"], one["state"], one["run_type"]) == (run, "success", "manual")
    assert Path(one["path"]).is_file()
    assert (terminal.folder / "sum").read_text() == "21"
    failing = [("n = 4", "parameters"), "1 / 0", "n"]
    write(terminal.folder, failing, "failing")
    assert terminal("notebook", "schedule", "failing.ipynb", "--cron", "@daily").status == 0
    (terminal.folder / "failing.ipynb").unlink()  # what was scheduled is what runs
    run = terminal("dags", "trigger", "failing", "--json").json()["run_id"]
    assert terminal("runs", "watch", run).status == 1
    (one,) = terminal("notebook", "outputs", "failing.ipynb", "--json").json()
    assert (one["run_id"], one["state"]) == (run, "failed")
    cells = json.loads(Path(one["path"]).read_text())["cells"]
    statuses = [
        c["metadata"]["mlflowkit"]["status"] for c in cells if c["cell_type"] == "code"
    ]
    assert statuses == ["completed", "failed", "not run"]
    assert terminal("dags", "pause", "nightly").status == 0
    assert terminal("dags", "delete", "nightly").status == 0
    assert terminal("notebook", "outputs", "nobody").status == 2
