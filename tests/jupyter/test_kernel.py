"""Task cells in a real kernel: runs in workers, pictures with states, publishing, the preflight."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.real_kernel import CellRaised, Kernel


def test_task_cells_run_in_other_processes_with_typed_values(kernel: Kernel) -> None:
    kernel.cell(
        "import os\nfrom datetime import date\nBASE = 10\ndef up(x):\n    return x + BASE"
    )
    kernel.cell("%dag study -p n=2")
    kernel.cell(
        "%%task load\nrows = tuple(up(i) for i in range(n))\nday = date(2026, 3, 1)"
    )
    kernel.cell(
        "%%task fit --returns total,pid\ntotal = sum(rows)\npid = os.getpid()\ntotal"
    )
    kernel.cell("%%task tell --returns said\nsaid = f'{day:%d.%m.} {total}'")
    kernel.cell("d = %dag")
    kernel.cell("r = d.run(n=3).wait(120)")
    assert kernel.cell("print(r['load'].result('rows'), r['load'].result()['day'])") == (
        "(10, 11, 12) 2026-03-01"
    )
    assert kernel.cell(
        "print(r['tell'].result('said'), r['fit'].result('pid') != os.getpid())"
    ) == ("01.03. 33 True")
    assert kernel.cell("print(r.log('fit'))") == "33"


def test_a_cell_that_is_edited_runs_as_it_is_now(kernel: Kernel) -> None:
    kernel.cell("%%task fit --returns total\ntotal = -sum(rows)")
    kernel.cell("%%task tell --returns said\nsaid = total")
    assert kernel.cell("print(d.run(n=1).wait(120)['tell'].result('said'))") == "-10"


def test_what_cells_share_they_share_in_the_next_task_too(kernel: Kernel) -> None:
    """An optimizer that is handed on with its model moves that model, and no copy of it."""
    kernel.cell(
        """
        class Net:
            def __init__(self):
                self.weights = [0.0]
        class Adam:
            def __init__(self, net):
                self.weights = net.weights
            def step(self):
                self.weights[0] += 1.0
        """
    )
    kernel.cell("%dag training")
    kernel.cell("%%task make\nnet = Net()\nadam = Adam(net)\nnets = [net]")
    kernel.cell(
        "%%task learn --returns score,same\n"
        "for _ in range(3): adam.step()\nscore = net.weights[0]\nsame = nets[0] is net"
    )
    kernel.cell("t = %dag")
    done = "t.run().wait(120)['learn'].result()"
    assert kernel.cell(f"print({done})") == "{'score': 3.0, 'same': True}"
    kernel.cell("%dag study -p n=2")


def test_the_last_line_d_is_the_picture_with_the_states_of_the_last_run(
    kernel: Kernel,
) -> None:
    (shown,) = kernel.ask("d").shown
    assert set(shown) == {"text/plain", "text/html", "image/svg+xml"}
    lines = shown["text/plain"].splitlines()
    assert lines[0].startswith("DAG study: 3 tasks; run study/")
    assert lines[1:] == [
        "  load  [success]",
        "  load >> fit  [success]",
        "  load, fit >> tell  [success]"
        if "load, fit" in lines[3]
        else "  fit >> tell  [success]",
    ]
    assert 'src="data:image/svg+xml;base64,' in shown["text/html"]
    assert "<script" not in shown["text/html"]


def test_a_front_end_without_widgets_gets_a_hint_and_the_picture(kernel: Kernel) -> None:
    live, still = kernel.ask("r = d.run(n=1)\nr.wait(120);").shown
    assert "application/vnd.jupyter.widget-view+json" in live
    assert live["text/plain"] == (
        "The live view needs a front end with ipywidgets; the picture below stays."
    )
    assert set(still) == {"text/html", "text/plain"}
    assert still["text/plain"].startswith("run study/")
    assert "<table" in still["text/html"]
    form, table = kernel.ask("d.form()").shown
    assert "application/vnd.jupyter.widget-view+json" in form
    assert table["text/plain"].splitlines() == ["Run study", "  n = 2"]


def test_a_terminal_gets_text(kernel: Kernel) -> None:
    code = "import mlflowkit\nmlflowkit.runs('study')[0]"
    home = kernel.cell("import os; print(os.environ['MLFLOWKIT_HOME'])")
    told = subprocess.run(
        [sys.executable, "-m", "IPython", "--no-banner", "--colors=nocolor", "-c", code],
        env={**os.environ, "MLFLOWKIT_HOME": home, "NO_COLOR": "1"},
        cwd=kernel.folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    told_lines = told.stdout.strip().splitlines()
    assert [line for line in told_lines if line.startswith("run study/")] != []
    assert "  load: success" in told_lines
    assert "<" not in told.stdout


def test_a_mistake_is_shown_as_its_sentence(kernel: Kernel) -> None:
    with pytest.raises(CellRaised) as caught:
        kernel.cell("%dag drop nobody")
    assert caught.value.shown == [
        "UnknownTaskCell: DAG 'study' has no task cell 'nobody' (it has: load, fit, tell)."
        if "load, fit" in str(caught.value)
        else "UnknownTaskCell: DAG 'study' has no task cell 'nobody' (it has: fit, load, tell)."
    ]


def test_publishing_from_a_notebook_hands_the_cells_to_the_scheduler(
    kernel: Kernel,
) -> None:
    kernel.cell("%dag study -p n=2 --schedule '0 6 * * *' --tz Europe/Athens")
    kernel.cell("s = d.publish()")
    said = kernel.cell("print(s)").splitlines()
    assert said[0] == "Schedule of DAG study: 0 6 * * * (Europe/Athens)"
    assert said[-1] == "  no scheduler is alive: `mlflowkit scheduler` starts one"
    trigger = "from mlflowkit.cli.published import trigger\nimport mlflowkit"
    kernel.cell(trigger)
    kernel.cell(
        "from mlflowkit.engine.client import ensure_engine as _e\nfrom mlflowkit.settings import home"
    )
    run = kernel.cell("print(_e(home()).call('trigger', dag_id='study')['run_id'])")
    assert (
        kernel.cell(f"print(mlflowkit.run({run!r}).wait(120)['tell'].result('said'))")
        == "-21"
    )
    kernel.cell("s.delete()")


def test_code_that_does_not_load_elsewhere_is_refused_before_the_run(
    kernel: Kernel,
) -> None:
    tools = kernel.folder / "tools_of_test.py"
    tools.write_text("def scale(x):\n    return 2 * x\n")
    kernel.cell("%dag other\nfrom tools_of_test import scale")
    kernel.cell("from mlflowkit import dag, task")
    kernel.cell(
        "@task\ndef work(): return scale(2)\n@dag\ndef plain(): work()\nq = plain()"
    )
    kernel.cell("q.check()")
    tools.write_text("def scale_2(x):\n    return 2 * x\n")
    before = kernel.cell("print(len(q.runs()))")
    for call in ("q.check()", "q.run()"):
        with pytest.raises(CellRaised) as caught:
            kernel.cell(call)
        assert "CodeDoesNotLoad: the code of task 'work' does not load" in str(caught.value)
        assert "module 'tools_of_test' no longer has 'scale'" in str(caught.value)
    assert kernel.cell("print(len(q.runs()))") == before
    kernel.cell("def scale(x): return 3 * x")
    assert kernel.cell("print(q.run().wait(120)['work'].result())") == "6"


def test_a_missing_name_is_told_with_the_cell_that_would_define_it(kernel: Kernel) -> None:
    import nbformat
    from nbformat import v4

    make: dict[str, object] = {
        "cells": [v4.new_code_cell("x = 1"), v4.new_code_cell("def later(): return 1")]
    }  # type: ignore[no-untyped-call]
    nbformat.write(v4.new_notebook(**make), kernel.folder / "study.ipynb")  # type: ignore[no-untyped-call]
    kernel.cell(
        "@task\ndef needs(): return later()\n@dag\ndef lacking(): needs()\nm = lacking()"
    )
    with pytest.raises(CellRaised) as caught:
        kernel.cell("m.check()")
    assert "Code cell 2 of study.ipynb (`def later(): return 1`) would define it" in str(
        caught.value
    )
    # The person's own line and the sentence, none of ours.
    assert caught.value.shown == ["line 1: m.check()", str(caught.value)]


def test_what_a_task_pushed_before_it_ended_is_what_it_was_then(kernel: Kernel) -> None:
    kernel.cell(
        """
        class Counter:
            n = 0
            marks = None
        @task(multiple_outputs=True)
        def count(ti=None):
            one, two = Counter(), Counter()
            one.marks = two.marks = []
            ti.xcom_push("early", one)
            one.n = 5
            one.marks.append("x")
            return {"one": one, "two": two}
        @task
        def look(one, two, early):
            return one.n, one.marks is two.marks, early.n, early.marks
        @dag
        def counting():
            made = count()
            look(made["one"], made["two"], made["early"])
        """
    )
    assert kernel.cell("print(counting().run().wait(120)['look'].result())") == (
        "(5, True, 0, [])"
    )
