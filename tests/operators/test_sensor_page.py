"""What the page about sensors shows can be written, and its first DAG runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "sensors.md"


def test_the_examples_of_the_page_are_dags(tmp_path: Path) -> None:
    found: dict[str, Any] = {"__name__": "page"}
    for code in re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL):
        exec(compile(code, "page", "exec"), found)
    assert sorted(t.task_id for t in found["daily"].tasks) == sorted(
        ["file", "images", "rows", "an_hour_later", "at_six", "other"]
    )
    assert [t.task_id for t in found["parent"].tasks] == ["child"]
    (tmp_path / "a.csv").touch()
    run = found["d"].test(folder=str(tmp_path))
    assert run.states() == {"new_file": "success", "count": "success"}
    assert run.result("count") == 1
