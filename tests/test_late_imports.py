"""What is loaded late is loaded whole, answers alike, and is not loaded before it is called."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

pytest.importorskip("rfc3987_syntax")

CHECK = """
import jsonschema
schema = {"format": "iri"}
checker = jsonschema.FormatChecker()
def fits(text):
    return jsonschema.Draft202012Validator(schema, format_checker=checker).is_valid(text)
"""


def said(code: str, path: Path | None = None) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", dedent(code)],
        env={**os.environ, "PYTHONPATH": str(path or "")},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_the_grammar_is_worked_out_by_the_first_check_that_needs_it() -> None:
    code = (
        "import sys; from mlflowkit.late_imports import put_off; put_off(); put_off()\n"
        + CHECK
        + "print('lark' in sys.modules, fits('http://a/ä'),"
        + " 'lark' in sys.modules, fits('no iri'))"
    )
    assert said(code) == ["False", "True", "True", "False"]


def test_without_it_the_same_is_answered_and_the_grammar_is_there_at_once() -> None:
    code = f"import sys\n{CHECK}\nprint('lark' in sys.modules, fits('http://a/ä'), fits('no iri'))"
    assert said(code) == ["True", "True", "False"]


def test_whoever_asks_for_more_gets_the_module_itself() -> None:
    code = """
        import sys
        from mlflowkit.late_imports import while_importing
        with while_importing():
            assert type(sys.meta_path[0]).__module__ == "mlflowkit.late_imports"
            import jsonschema
        assert not [f for f in sys.meta_path if "late_imports" in type(f).__module__]
        import rfc3987_syntax
        early = jsonschema._format._rfc3987_is_valid_syntax
        assert "lark" not in sys.modules
        from rfc3987_syntax import *
        from rfc3987_syntax import parse
        from rfc3987_syntax.utils import load_grammar
        assert parse is rfc3987_syntax.parse is rfc3987_syntax.syntax_helpers.parse
        assert type(rfc3987_syntax) is type(sys)
        assert type(rfc3987_syntax.__spec__.loader).__name__ == "SourceFileLoader"
        assert rfc3987_syntax.__file__.endswith("__init__.py")
        print(early("iri", "http://a"), is_valid_syntax("iri", "no iri"))
    """
    assert said(code) == ["True", "False"]


def test_where_it_is_not_installed_nothing_pretends_that_it_is(tmp_path: Path) -> None:
    code = """
        import sys
        from mlflowkit.late_imports import put_off
        put_off()
        sys.path[:] = [p for p in sys.path if "site-packages" not in p]
        try:
            import rfc3987_syntax
        except ModuleNotFoundError as exc:
            print(exc.name)
    """
    here = Path(__file__).parents[1]
    assert said(code, here) == ["rfc3987_syntax"]


def test_one_that_cannot_be_loaded_says_so_when_it_is_called(tmp_path: Path) -> None:
    (tmp_path / "rfc3987_syntax.py").write_text("import nothing_of_that_name")
    code = """
        from mlflowkit.late_imports import put_off
        put_off()
        from rfc3987_syntax import is_valid_syntax
        try:
            is_valid_syntax("iri", "a")
        except ModuleNotFoundError as exc:
            print(exc.name)
    """
    assert said(code, tmp_path) == ["nothing_of_that_name"]
