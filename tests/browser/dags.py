"""DAGs that the browser's stories run."""

from __future__ import annotations

import time
from pathlib import Path

import nbformat

from mlflowkit import DAG, dag, notebook, task, task_group

#: Runs wherever it is taken for code: the page then has a `broken` that is not undefined.
PAYLOAD = "<img src=x onerror=\"window.broken='%s'\"><script>window.broken='%s'</script>"


def payload(where: str) -> str:
    return PAYLOAD % (where, where)


def write_notebook(path: Path, gate: Path) -> None:
    """Fails in its last cell until `gate` is there."""
    made = nbformat.v4.new_notebook()
    made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    head = nbformat.v4.new_code_cell("rate = 0.1", metadata={"tags": ["parameters"]})
    cells = [
        nbformat.v4.new_markdown_cell(f"# Fit\n{payload('markdown')}"),
        head,
        nbformat.v4.new_code_cell(
            "from IPython.display import HTML, SVG, display\n"
            f"display(HTML({'<b id=rich>rich</b>' + payload('html')!r}))\n"
            'display(SVG(\'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9" '
            'onload="window.top.broken=1"><rect width="9" height="9"/></svg>\'))'
        ),
        nbformat.v4.new_code_cell(
            "import time\nprint('\\x1b[31mred\\x1b[0m line')\ntime.sleep(0.6)"
        ),
        nbformat.v4.new_code_cell(
            f"from pathlib import Path\nif not Path({str(gate)!r}).exists():\n"
            f"    raise ValueError({'no gate ' + payload('error')!r})\nscore = rate * 9",
            metadata={"tags": ["outputs"]},
        ),
    ]
    made.cells.extend(cells)
    nbformat.write(made, path)


@task
def load(n: int) -> list[int]:
    print("\x1b[32mloading\x1b[0m", payload("log"))
    return list(range(n))


@task
def square(x: int) -> int:
    return x * x


@task
def total(xs: list[int]) -> dict[str, object]:
    return {"sum": sum(xs), payload("key"): payload("xcom")}


@task
def table(at: object) -> object:
    import pandas as pd

    return pd.DataFrame({"a": [1, 2], payload("column"): ["x", payload("cell")]})


def pipeline(path: Path) -> DAG:
    """Groups, a mapped task, a notebook, a table."""

    @dag(dag_id="pipeline", description=payload("description"))
    def made(n: int = 6, note: str = payload("param")) -> None:
        @task_group(tooltip=payload("tooltip"))
        def shape(rows: list[int]) -> object:
            return total(square.expand(x=rows))

        found = shape(load(n))
        fitted = notebook(str(path), task_id="fit", rate=0.1)
        found >> fitted  # type: ignore[operator]
        fitted >> table(found)

    return made()


@task
def sleeps() -> None:
    print("asleep", flush=True)
    time.sleep(120)


@task
def fails_once(path: str) -> str:
    if not Path(path).exists():
        Path(path).touch()
        raise RuntimeError("not yet")
    return "well"


@task
def fails() -> None:
    raise RuntimeError("never")


def waiting(path: Path) -> DAG:
    """One task sleeps, two wait an hour for their next try."""

    @dag(dag_id="waiting")
    def made() -> None:
        sleeps()
        again = {"retries": 1, "retry_delay": 3600.0}
        fails_once.override(**again)(str(path))
        fails.override(**again)()

    return made()


def mapped(n: int) -> DAG:
    """As many instances as asked for."""

    @dag(dag_id="many")
    def made() -> None:
        square.expand(x=list(range(n)))

    return made()
