"""What the pages say is what the code is."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

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
def test_commands_in_a_page_can_be_typed(page: Path) -> None:
    """Each `$ mlflowkit word …` of a console block is a command with such options."""
    lines = re.findall(r"^\$ mlflowkit (.+)$", page.read_text(), flags=re.MULTILINE)
    assert [wrong for line in lines if (wrong := wrong_use(line))] == []


def wrong_use(line: str) -> str:
    """What is wrong with a command, but for files that are not there; empty if nothing."""
    import typer.main

    from mlflowkit.cli.commands import app

    command: Any = typer.main.get_command(app)
    words = shlex.split(line, comments=True)
    while words and words[0] in getattr(command, "commands", {}):
        command = command.commands[words.pop(0)]
    if hasattr(command, "commands") and words and not words[0].startswith("-"):
        return f"{line}: there is no command {words[0]!r}"
    try:
        command.make_context("mlflowkit", words)
    except Exception as exc:
        kinds = {kind.__name__ for kind in type(exc).__mro__}
        if "UsageError" in kinds and "does not exist" not in str(exc):
            return f"{line}: {exc!r}"
    return ""


@pytest.mark.parametrize(
    "line", ["run x.py --frob", "frobnicate", "runs show", "runs list --limit x"]
)
def test_a_command_that_cannot_be_typed_is_found(line: str) -> None:
    assert wrong_use(line).startswith(f"{line}: ")


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
