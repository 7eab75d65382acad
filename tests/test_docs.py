"""What the pages say is what the code is."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from docs.generate import PAGES, stale

ROOT = Path(__file__).parent.parent
WRITTEN = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]


def test_the_generated_pages_are_up_to_date() -> None:
    """If not: `make docs`."""
    assert set(PAGES) == {"settings.md", "states.md", "errors.md", "commands.md", "lint.md"}
    assert stale() == []


@pytest.mark.parametrize("page", WRITTEN, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_in_a_page_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)|(?:src|href)=\"([^\"#]+)\"", text)
    local = [a or b for a, b in targets if not (a or b).startswith(("http:", "https:"))]
    assert [t for t in local if not (page.parent / t).exists()] == []


@pytest.mark.parametrize("page", WRITTEN, ids=lambda p: str(p.relative_to(ROOT)))
def test_commands_in_a_page_exist(page: Path) -> None:
    """Each `$ mlflowkit word …` of a console block is a command that there is."""
    import typer.main

    from mlflowkit.cli.commands import app

    known = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for line in re.findall(r"^\$ mlflowkit (.+)$", page.read_text(), flags=re.MULTILINE):
        words = [w for w in line.split() if not w.startswith("-")]
        if not words:
            continue
        assert words[0] in known, line
        below = getattr(known[words[0]], "commands", None)
        assert below is None or words[1] in below, line


def test_the_pipeline_of_the_first_run_page_works(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "tutorial" / "first-run.md").read_text()
    code = re.search(r"```python\n(.*?)```", text, flags=re.DOTALL)
    assert code is not None
    (tmp_path / "train.py").write_text(code[1])
    done = subprocess.run(
        [sys.executable, "-m", "mlflowkit", "test", "train.py", "-p", "n=4"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "the mean is 1.5" in done.stdout


def test_the_tutorial_pipeline_is_five_tasks_daily_with_one_retry() -> None:
    from datetime import timedelta

    from mlflowkit.authoring.loader import load_dag

    spec = load_dag(str(ROOT / "pipelines" / "train_and_deploy.py")).spec()
    assert [task.task_id for task in spec.in_order()] == [
        "read_images",
        "preprocess",
        "fine_tune",
        "upload_model",
        "deploy_model",
    ]
    assert (spec.schedule, spec.catchup) == ("@daily", False)
    for task in spec.tasks.values():
        assert (task.retry.retries, task.retry.retry_delay) == (1, timedelta(hours=1))
