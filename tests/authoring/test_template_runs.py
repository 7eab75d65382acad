"""Templates in real runs: macros, files and settings travel with the DAG's code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

from tests.authoring.conftest import Project
from tests.authoring.test_cells import bundles
from tests.homes import fresh_home

PIPELINE = """
    import json, os
    from mlflowkit import DAG, BaseOperator, BashOperator, task

    def double(x):
        return 2 * x

    class Sql(BaseOperator):
        template_fields = ("sql", "options")
        template_ext = (".sql",)

        def __init__(self, task_id, *, sql, options=None, **more):
            super().__init__(task_id, **more)
            self.sql, self.options = sql, options

        def execute(self, context):
            return [self.sql, self.options, context["params"]["n"]]

    @task
    def evil():
        return ["{{ boom }}"]

    @task
    def take(x, day, run_id=""):
        return [x, day, run_id]

    with DAG(
        "tpl",
        params={"n": 3},
        template_searchpath="sql",
        user_defined_macros={"double": double, "pid": os.getpid},
        user_defined_filters={"loud": lambda text: str(text).upper()},
        render_template_as_native_obj=True,
    ) as d:
        Sql("q", sql="q.sql", options={"a": ["{{ 'x' | loud }}", "{{ [double(2)] }}"]})
        Sql("own", sql="{{ params.n }}", params={"n": 30})
        out = evil()
        take.partial(day="{{ ds_nodash ~ '!' }}").expand(x=out)
        Sql.partial("many", options="{{ ti.map_index }}").expand(sql=out)
        BashOperator(task_id="sh", bash_command="run.sh")
        Sql("where", sql="{{ pid() }}")

    if __name__ == "__main__":
        from datetime import datetime, UTC
        run = d.run(wait=True, logical_date=datetime(2018, 1, 1, tzinfo=UTC))
        print(json.dumps([os.getpid(), {t: run[t].result() for t in d.task_ids}]))
"""


def test_a_real_run_renders_what_the_dag_says_in_its_workers(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("")
    (tmp_path / "sql").mkdir()
    (tmp_path / "sql" / "q.sql").write_text(
        "{% from 'names.sql' import table %}select {{ double(params.n) }} from {{ table }}"
    )
    (tmp_path / "sql" / "names.sql").write_text("{% set table = 'rows' %}")
    (tmp_path / "run.sh").write_text("echo {{ ds }}\n")
    (tmp_path / "p.py").write_text(dedent(PIPELINE))
    with fresh_home(tmp_path) as home:
        done = subprocess.run(
            [sys.executable, "p.py"],
            cwd=tmp_path,
            env={**os.environ, "MLFLOWKIT_HOME": str(home)},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    pid, got = json.loads(done.stdout.splitlines()[-1])
    assert got.pop("where")[0] != pid
    assert got == {
        "q": ["select 6 from rows", {"a": ["X", [4]]}, 3],
        "own": [30, None, 30],
        "evil": ["{{ boom }}"],
        "take": [["{{ boom }}", "20180101!", "tpl/1"]],
        "many": [["{{ boom }}", 0, 3]],
        "sh": "2018-01-01",
    }


IMPORT = "from mlflowkit import DAG, BashOperator"
MACRO = "def double(x):\n    return x * 2\n"
DAG_CELL = """
with DAG("d", user_defined_macros={"double": double}) as d:
    BashOperator(task_id="t", bash_command="echo {{ double(4) }}")
    BashOperator(task_id="plain", bash_command="echo no")
"""
RENDER = """
import sys
from mlflowkit.authoring.open_bundle import open_bundle
from mlflowkit.authoring.template import Templates
bundle = open_bundle(sys.argv[1])
print(Templates("t", bundle.templates, {}).field("x", "{{ double(4) }}"))
"""


def test_a_macro_of_a_cell_that_was_run_again_is_the_new_one(project: Project) -> None:
    newer = MACRO.replace("x * 2", "x * 100")
    found = bundles(
        project, IMPORT, MACRO, DAG_CELL, "BUNDLE", newer, "BUNDLE", MACRO, "BUNDLE"
    )
    folders = [str(project.home / "bundles" / bundle) for bundle, _ in found]
    said = [project.python("-c", RENDER, folder).stdout.strip() for folder in folders]
    assert said == ["8", "400", "8"]
    note = "templates: run the newer definition of double()"
    assert [notes for _, notes in found] == [[], [note], []]
    assert found[0][0] == found[2][0]
