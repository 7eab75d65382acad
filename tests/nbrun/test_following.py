"""A running notebook is followed by its journal: the same as it is, at the cost of what is new."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nbformat
import pytest

from mlflowkit.nbrun.following import Following
from mlflowkit.nbrun.journal import JournaledRecord, journal_path
from mlflowkit.view.notebooks import Shown

AT = datetime(2026, 1, 1, tzinfo=UTC)


def _record(output: Path, cells: int = 3, **more: Any) -> JournaledRecord:
    made = nbformat.v4.new_notebook()  # type: ignore[no-untyped-call]
    code = nbformat.v4.new_code_cell  # type: ignore[attr-defined]
    made.cells = [code(f"cell {i}") for i in range(cells)]
    return JournaledRecord(made, output, 1_000_000, **more)


def _text(data: str) -> dict[str, Any]:
    plain = {"text/plain": data}
    return {"output_type": "display_data", "data": plain, "metadata": {}}


def test_each_look_gives_the_notebook_as_it_is_and_reads_each_byte_once(
    tmp_path: Path,
) -> None:
    output = tmp_path / "fit.ipynb"
    record, follows = _record(output), Following(journal_path(output))
    shown = Shown(output)
    seen: dict[int, dict[str, Any]] = {}
    cursor = ""

    def looked() -> set[int] | None:
        nonlocal cursor
        record.flush()
        changed = follows.look()
        record.outputs.settle()
        assert follows.notebook == record.notebook
        assert follows.read == journal_path(output).stat().st_size
        answer = shown.changed(cursor, running=True)
        cursor = answer["cursor"]
        assert (answer["live"], answer["status"]) == (True, "running")
        seen.update({cell["index"]: cell for cell in answer["cells"]})
        fresh = Shown(output).changed("", running=True)["cells"]
        assert fresh == [seen[i] for i in sorted(seen)]
        return changed

    assert follows.look() == set(), "there is not even a first line"
    record.begin(AT)
    assert looked() is None
    assert looked() == set()
    record.cell_started(0, AT)
    record.stream(0, "stdout", "epoch 1")
    assert looked() == {0}
    record.stream(0, "stdout", "\repoch 2\n")
    record.output(0, _text("<b>one</b>"), "bar")
    assert looked() == {0}
    record.cell_ended(0, "completed", AT, 1.5, 1)
    record.cell_started(1, AT)
    record.output(1, _text("again"), "bar")
    assert looked() == {0, 1}
    record.update("bar", {"text/plain": "two"}, {})
    assert looked() == {0, 1}, "what is drawn again stands in both"
    record.clear(1, wait=True)
    record.stream(1, "stderr", "x")
    assert looked() == {1}
    assert [cell["status"] for cell in seen.values()] == ["completed", "running", "not run"]
    assert [o["text"] for o in seen[0]["outputs"]] == ["epoch 2\n", "two"]
    before = follows.read
    assert looked() == set()
    assert follows.read == before


def test_a_journal_that_is_begun_anew_is_read_anew(tmp_path: Path) -> None:
    output = tmp_path / "fit.ipynb"
    record = _record(output, compact_bytes=2000)
    follows = Following(journal_path(output))
    record.begin(AT)
    record.cell_started(0, AT)
    assert follows.look() is None
    told = list[set[int] | None]()
    for i in range(60):
        record.clear(0, wait=False)
        record.output(0, _text(f"{i}" * 40), None)
        record.flush()
        told.append(follows.look())
        assert follows.notebook == record.notebook
    assert None in told, "it was never begun anew"
    assert told[-1] == {0}


def test_what_was_cut_off_in_the_middle_of_a_line_comes_with_the_next_look(
    tmp_path: Path,
) -> None:
    output = tmp_path / "fit.ipynb"
    record = _record(output)
    record.begin(AT)
    record.cell_started(2, AT)
    record.close()
    journal = journal_path(output)
    whole = journal.read_bytes()
    follows = Following(journal)
    journal.write_bytes(whole[:-10])
    assert follows.look() is None
    assert follows.notebook is not None
    status = [cell.metadata["mlflowkit"]["status"] for cell in follows.notebook.cells]
    assert status == ["not run"] * 3
    with journal.open("ab") as file:
        file.write(whole[-10:])
    assert follows.look() == {2}
    journal.unlink()
    with pytest.raises(FileNotFoundError):
        follows.look()
    there = Shown(output).changed("", running=True)
    assert (there["there"], there["problem"]) == (False, "not executed yet")
    output.write_text(json.dumps({"cells": [], "metadata": {}}))
    assert Shown(output).changed("", running=True)["there"]
