"""The module of the run viewer: its types hold, and it stays small and alone."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

import mlflowkit.jupyter
from mlflowkit.view import MODULE, module_text, style_text
from tests.services import missing

MOST_BYTES = 60_000
OPTIONS = ["--checkJs", "--allowJs", "--noEmit", "--strict", "--target", "es2022"]
LIBRARIES = ["--lib", "es2022,dom,dom.iterable", "--module", "esnext"]


def compiler() -> list[str]:
    """TypeScript's compiler: `tsc`, or what npx has or fetches."""
    if found := shutil.which("tsc"):
        return [found]
    if found := shutil.which("npx"):
        return [found, "--yes", "--package", "typescript@5", "tsc"]
    missing("tsc (TypeScript)")
    raise AssertionError


@pytest.mark.slow
def test_its_types_hold(tmp_path: Path) -> None:
    written = [MODULE, *sorted(Path(mlflowkit.jupyter.__file__).parent.glob("*.js"))]
    assert [one.name for one in written] == ["run_view.js", "widget.js", "widget_loader.js"]
    copies = [shutil.copy(one, tmp_path) for one in written]
    command = [*compiler(), *OPTIONS, *LIBRARIES, "--moduleDetection", "force", *copies]
    found = subprocess.run(
        command, capture_output=True, text=True, timeout=180, cwd=tmp_path, check=False
    )
    assert (found.returncode, found.stdout) == (0, "")


def test_it_is_small_and_needs_nothing_from_elsewhere() -> None:
    text = module_text()
    assert len(text.encode()) <= MOST_BYTES
    assert len(style_text().encode()) <= 20_000
    assert re.findall(r"\bimport\b", text) == []
    assert re.findall(r"https?://[^\"]*", text) == ["http://www.w3.org/2000/svg"]
    assert "@import" not in style_text()
    assert "url(" not in style_text()


def test_it_never_makes_html_of_a_text() -> None:
    banned = (
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|createContextualFragment"
    )
    assert re.findall(rf"{banned}|\beval\(|new Function", module_text()) == []
    assert module_text().count("srcdoc") == 1, "HTML goes into a frame, in one place"


def test_what_is_sent_says_the_same_as_what_is_written() -> None:
    node = shutil.which("node")
    if node is None:
        missing("node")
    checked = subprocess.run(
        [str(node), "--input-type=module", "--check", "-"],
        input=module_text(),
        text=True,
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert (checked.returncode, checked.stderr) == (0, "")
    words = re.compile(r"[A-Za-z_$][\w$]*")
    written = re.sub(r"/\*\*.*?\*/|^\s*//[^\n]*", "", MODULE.read_text(), flags=re.S | re.M)
    assert words.findall(module_text()) == words.findall(written)
    assert texts_of(module_text()) == texts_of(written)


def texts_of(source: str) -> list[str]:
    """What stands in quotes, of templates what stands between their values."""
    found, depth, at = list[str](), list[int](), 0
    while at < len(source):
        quote = source[at]
        if depth and quote in "{}":
            depth[-1] += 1 if quote == "{" else -1
        if quote not in '"`' and not (depth and depth[-1] == 0):
            at += 1
            continue
        if depth and depth[-1] == 0:  # a value of a template is over: its text goes on
            depth.pop()
            quote = "`"
        pattern = r"(?:[^`\\$]|\\.|\$(?!\{))*" if quote == "`" else r'(?:[^"\\]|\\.)*'
        text = re.compile(pattern).match(source, at + 1)
        assert text is not None
        found.append(text[0])
        at = text.end()
        if source[at : at + 2] == "${":
            depth.append(1)
            at += 1
        at += 1
    return found
