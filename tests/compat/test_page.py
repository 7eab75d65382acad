"""What docs/how-to/from-airflow.md says is so."""

from __future__ import annotations

import re
from pathlib import Path

from mlflowkit.compat.airflow import load_dag
from mlflowkit.compat.airflow.names import MODULES
from tests.compat.running import outcome

PAGE = Path(__file__).parent.parent.parent / "docs" / "how-to" / "from-airflow.md"


def test_the_file_of_the_page_runs(tmp_path: Path) -> None:
    code = re.search(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    assert code is not None
    (tmp_path / "report.py").write_text(code[1])
    states = {"rows": "success", "say": "success"}
    assert outcome(load_dag(str(tmp_path / "report.py")), tmp_path) == ("success", states)


def test_every_module_of_the_table_is_answered() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| `airflow")]
    named = [m for row in rows for m in re.findall(r"`(airflow[\w.]*)`", row)]
    assert len(named) > 50
    assert [m for m in named if m not in MODULES] == []
