"""The code in the how-to pages about tests and simulations, as it stands there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

PAGES = Path(__file__).parent.parent / "docs" / "how-to"


def blocks(page: str) -> list[str]:
    text = (PAGES / page).read_text()
    return re.findall(r"^```python\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)


def test_the_tests_of_the_page_about_testing_pass(tmp_path: Path) -> None:
    """Each block is the file that its first line names."""
    for block in blocks("testing.md"):
        path = tmp_path / block.splitlines()[0].removeprefix("# ")
        path.parent.mkdir(exist_ok=True)
        path.write_text(block)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-p", "mlflowkit.testing_plugin", "-q"),
            *("-p", "no:cacheprovider", "-p", "no:kmock", "-o", "pythonpath=."),
            *("--rootdir=.", "--mlflowkit-dags=pipelines", "--mlflowkit-lint", "tests"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "12 passed" in done.stdout


def test_the_page_about_simulations_says_what_happens() -> None:
    code = "\n".join(blocks("simulate.md"))
    page: dict[str, object] = {"__name__": "page"}
    exec(compile(code, "simulate.md", "exec"), page)
    train, test = page["train"], page["test_slow_runs_overlap_and_none_is_left_out"]
    assert callable(train)
    assert callable(test)
    test(lambda dag, start, end, **options: dag.simulate(start, end, **options))
