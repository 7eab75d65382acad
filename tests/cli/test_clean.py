"""`mlflowkit clean`, in real processes; what it removes, `tests/test_cleaning.py` says."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from tests.cli.terminal import Terminal


def test_clean_says_what_it_would_remove_then_removes_it_and_the_run_says_so(
    train: Terminal,
) -> None:
    (train.folder / "flag").touch()
    for _ in range(2):
        assert train("run", "p.py").status == 0
    with closing(sqlite3.connect(train.home / "store.db", timeout=120)) as db:
        db.execute(
            "UPDATE runs SET ended_at = '2020-01-01 00:00:00.000000' WHERE number = 1"
        )
        db.commit()
    planned = train("clean", "--older-than", "30d", "--dry-run")
    assert planned.out.splitlines()[0] == "  train/1"
    assert planned.out.splitlines()[1].startswith("would remove ")
    done = train("clean", "--older-than", "30d", "--json").json()
    assert (done["runs"], done["dry_run"]) == (["train/1"], False)
    again = train("clean", "--older-than", "30d")
    assert again.out == (
        "removed 0 files and the values of 0 runs, and 0 artifacts: 0.0 MB\n"
    )
    refused = train("runs", "retry", "train/1")
    assert refused.status == 2
    assert "it cannot be tried again: the logs, notebooks and values" in refused.err
    wrong = train("clean", "--older-than", "soon")
    assert wrong.status == 2 and "older_than" in wrong.err
    assert train("clean").status == 2
