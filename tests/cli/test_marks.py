"""`mlflowkit runs mark`."""

from __future__ import annotations

from tests.cli.terminal import Terminal


def test_what_waits_for_a_task_that_is_marked_goes_on_without_its_value(
    train: Terminal,
) -> None:
    file = train.folder / "p.py"
    file.write_text(file.read_text().replace("total: int", "total: int | None"))
    assert train("run", "p.py", "-p", "n=4").status == 1
    assert train("runs", "mark", "train/1", "fit", "skipped").status == 2
    unknown = train("runs", "mark", "train/1", "fitt", "success")
    assert (unknown.status, "fitt" in unknown.err) == (2, True)
    marked = train("runs", "mark", "train/1", "fit", "success", "--json")
    assert (marked.status, set(marked.json()["tasks"].values())) == (0, {"success"})
    assert train("runs", "logs", "train/1", "tell").out == "the sum is None\n"
    again = train("runs", "mark", "train/1", "fit", "success")
    assert again.status == 2
    assert "was not marked success: it is success already" in again.err
    assert train("runs", "mark", "train/1", "tell", "failed").status == 1
