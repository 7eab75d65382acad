"""Nothing is stale: what a run does is the code and the surroundings that you see now."""

from __future__ import annotations

import re
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.real_kernel import CellRaised
from tests.stale.conftest import Notebook


def test_running_only_the_cell_of_a_task_again_changes_the_next_run(
    notebook: Notebook,
) -> None:
    notebook.cell(
        """
        @task
        def look():
            return "old"
        """
    )
    notebook.cell(
        """
        @dag(dag_id="cells")
        def make():
            look()
        d = make()
        """
    )
    assert notebook.result() == "old"
    notebook.cell('@task\ndef look():\n    return "new"')
    said = notebook.cell("r = d.run(wait=True); print(r['look'].result())")
    assert said.splitlines()[-1] == "new"
    assert "task 'look': runs the newer definition of look()" in said


def test_a_helper_in_a_cell_that_is_run_again_counts(notebook: Notebook) -> None:
    notebook.cell("def helper():\n    return 1\nFACTOR = 10")
    notebook.cell(
        """
        @task
        def look():
            return helper() * FACTOR

        @dag(dag_id="helpers")
        def make():
            look()
        d = make()
        """
    )
    assert notebook.result() == "10"
    notebook.cell("def helper():\n    return 2")
    assert notebook.result() == "20"
    notebook.cell("FACTOR = 100")
    assert notebook.result() == "200"


def test_an_edit_of_a_local_module_counts_in_the_next_run(notebook: Notebook) -> None:
    notebook.write("local_words.py", 'WORD = "old"\ndef word():\n    return WORD\n')
    notebook.cell(
        """
        import local_words

        @task
        def look():
            return local_words.word()

        @task
        def look_inside():
            from local_words import word
            return word()

        @dag(dag_id="modules")
        def make():
            look()
            look_inside()
        d = make()
        """
    )
    assert (notebook.result(), notebook.result(task="look_inside")) == ("old", "old")
    notebook.write("local_words.py", 'WORD = "edited"\ndef word():\n    return WORD\n')
    assert notebook.result() == "edited"
    assert notebook.result(task="look_inside") == "edited"


def test_a_module_below_a_local_module_counts_too(notebook: Notebook) -> None:
    notebook.write("pack/__init__.py", "from pack.deep import value\n")
    notebook.write("pack/deep.py", "def value():\n    return 1\n")
    notebook.cell(
        """
        from pack import value

        @task
        def look():
            return value()

        @dag(dag_id="packages")
        def make():
            look()
        d = make()
        """
    )
    assert notebook.result() == "1"
    notebook.write("pack/deep.py", "def value():\n    return 2\n")
    assert notebook.result() == "2"


def test_an_installed_distribution_counts_at_once(notebook: Notebook) -> None:
    """What `%pip install` does: files of a distribution appear in a folder of `sys.path`."""
    notebook.cell(
        """
        import pathlib
        def install(version):
            site = pathlib.Path(os.environ["SITE"])
            for old in site.glob("tiny_dist-*.dist-info"):
                (old / "METADATA").unlink(); old.rmdir()
            info = site / f"tiny_dist-{version}.dist-info"
            info.mkdir()
            (info / "METADATA").write_text(f"Name: tiny-dist\\nVersion: {version}\\n")
            (site / "tiny_dist.py").write_text(f"VERSION = {version!r}\\n")

        @task
        def look():
            try:
                import tiny_dist
            except ImportError:
                return "none"
            return tiny_dist.VERSION

        @dag(dag_id="installs")
        def make():
            look()
        d = make()
        """
    )
    assert notebook.result() == "none"
    notebook.cell("install('1.0')")
    assert notebook.result() == "1.0"
    notebook.cell("install('2.0.0')")
    assert notebook.result() == "2.0.0"


def test_pip_install_in_a_cell_counts_at_once(notebook: Notebook) -> None:
    wheel = _wheel(notebook.folder)
    notebook.cell(
        """
        @task
        def look():
            from importlib.metadata import version
            try:
                return version("tiny-wheel")
            except ImportError:
                return "none"

        @dag(dag_id="pips")
        def make():
            look()
        d = make()
        """
    )
    assert notebook.result() == "none"
    said = notebook.cell(
        f"%pip install --no-index --no-deps --target {{os.environ['SITE']}} {wheel}"
    )
    assert notebook.result() == "1.0", said


def _wheel(folder: Path) -> str:
    """A distribution of one module, packed by hand: nothing is needed to build it."""
    name = "tiny_wheel-1.0-py3-none-any.whl"
    info = "tiny_wheel-1.0.dist-info"
    files = {
        "tiny_wheel.py": "WORD = 'installed'\n",
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: tiny-wheel\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    with ZipFile(folder / name, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return name


def test_the_environment_counts_in_the_next_run(notebook: Notebook) -> None:
    notebook.cell(
        """
        @task
        def look():
            import os
            return os.environ.get("MOOD")

        @dag(dag_id="environments")
        def make():
            look()
        d = make()
        """
    )
    assert notebook.result() == "None"
    notebook.cell("os.environ['MOOD'] = 'good'")
    assert notebook.result() == "good"
    notebook.cell("del os.environ['MOOD']")
    assert notebook.result() == "None"


def test_the_working_folder_counts_in_the_next_run(notebook: Notebook) -> None:
    notebook.cell(
        """
        @task
        def look():
            import os
            return os.path.basename(os.getcwd())

        @dag(dag_id="folders")
        def make():
            look()
        d = make()
        os.makedirs("below", exist_ok=True)
        """
    )
    assert notebook.result() == "project"
    notebook.cell("os.chdir('below')")
    try:
        assert notebook.result() == "below"
    finally:
        notebook.cell("os.chdir('..')")
    assert notebook.result() == "project"


def test_sys_path_counts_in_the_next_run(notebook: Notebook) -> None:
    notebook.write("elsewhere/from_elsewhere.py", "WORD = 'found'\n")
    notebook.cell(
        """
        @task
        def look():
            try:
                import from_elsewhere
            except ImportError:
                return "none"
            return from_elsewhere.WORD

        @dag(dag_id="paths")
        def make():
            look()
        d = make()
        """
    )
    assert notebook.result() == "none"
    notebook.cell("sys.path.insert(0, os.path.abspath('elsewhere'))")
    try:
        assert notebook.result() == "found"
    finally:
        notebook.cell("del sys.path[0]")


def test_functions_and_classes_of_cells_work_in_workers(notebook: Notebook) -> None:
    notebook.cell(
        """
        from dataclasses import dataclass
        from enum import Enum

        class Colour(Enum):
            RED = 1

        @dataclass
        class Point:
            x: int
            colour: Colour = Colour.RED
            def moved(self):
                return Point(self.x + 1, self.colour)

        @task
        def first():
            return Point(1)

        @task
        def look(point):
            assert isinstance(point, Point)
            return point.moved()

        @dag(dag_id="classes")
        def make():
            look(first())
        d = make()
        """
    )
    said = notebook.cell(
        """
        got = d.run(wait=True)["look"].result()
        print(type(got) is Point, got == Point(2), got.colour is Colour.RED)
        """
    )
    assert said.splitlines()[-1] == "True True True"


def test_a_name_that_cannot_travel_is_an_error_before_the_run(notebook: Notebook) -> None:
    notebook.cell(
        """
        import threading
        LOCK = threading.Lock()

        @task
        def look():
            with LOCK:
                return 1

        @dag(dag_id="locks")
        def make():
            look()
        d = make()
        """
    )
    with pytest.raises(CellRaised) as refused:
        notebook.cell("d.run()")
    said = _plain(str(refused.value))
    assert said.startswith("CannotTravel")
    assert "LOCK" in said
    assert "'look'" in said
    assert notebook.cell("print(len(d.runs()))") == "0"


def test_a_captured_global_over_ten_megabytes_is_an_error_that_says_what_to_do(
    notebook: Notebook,
) -> None:
    notebook.cell(
        """
        BIG = bytes(range(256)) * (11 * 4096)

        @task
        def look():
            return len(BIG)

        @dag(dag_id="large")
        def make():
            look()
        d = make()
        """
    )
    with pytest.raises(CellRaised) as refused:
        notebook.cell("d.run()")
    said = _plain(str(refused.value))
    assert said.startswith("CapturedTooLarge")
    assert "BIG" in said
    assert "argument" in said
    notebook.cell("BIG = b'small'")
    assert notebook.result() == "5"


def test_the_engine_and_its_workers_stay_warm_between_runs(notebook: Notebook) -> None:
    """The same code twice is one template: the second run starts no interpreter."""
    notebook.cell(
        """
        @task
        def look():
            import os
            with open(f"/proc/{os.getppid()}/stat") as stat:
                return stat.read().rpartition(")")[2].split()[1]

        @dag(dag_id="warm")
        def make():
            look()
        d = make()
        """
    )
    assert notebook.result() == notebook.result()


def _plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def test_what_a_local_module_reads_at_its_import_counts_in_the_next_run(
    notebook: Notebook,
) -> None:
    notebook.write("cfg.json", '{"rate": 1}')
    notebook.write(
        "local_config.py",
        "import json, pathlib\n"
        "CFG = json.loads((pathlib.Path(__file__).parent / 'cfg.json').read_text())\n",
    )
    notebook.cell(
        """
        import local_config

        @task
        def look():
            return local_config.CFG["rate"]

        @dag(dag_id="configs")
        def make():
            look()
        d = make()
        """
    )
    assert notebook.result() == "1"
    notebook.write("cfg.json", '{"rate": 2}')
    assert notebook.result() == "2"


def test_tasks_made_in_a_loop_run_the_function_that_each_was_given(
    notebook: Notebook,
) -> None:
    notebook.cell(
        """
        from mlflowkit import PythonOperator
        with DAG("loops") as d:
            for i in range(3):
                def f(i=i):
                    return i
                PythonOperator(task_id=f"t{i}", python_callable=f)
        """
    )
    said = notebook.cell(
        "_r = d.run().wait(120)\nprint([_r[f't{i}'].result() for i in range(3)])"
    )
    assert said.splitlines()[-1] == "[0, 1, 2]"
