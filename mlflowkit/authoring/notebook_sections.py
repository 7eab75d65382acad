"""A notebook cut into sections at its headings, and the code of each. Only reads; runs nothing."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from keyword import iskeyword
from pathlib import Path
from typing import Any, Final, cast

from mlflowkit.authoring.cell_source import lines_of, tree_of, without_magics
from mlflowkit.authoring.cells import SKIP_TAG
from mlflowkit.core.notebook_text import SAVE_AGAIN, decoded, parsed
from mlflowkit.errors import NoSections, NotebookInvalid, NotInPython

_HEADING: Final = re.compile(r"^ {0,3}(#{1,6})[ \t]+(.+?)\s*#*\s*$")
#: A line of text, with a line of `=` or `-` below it.
_UNDERLINE: Final = re.compile(r"^ {0,3}(=+|-{2,})\s*$")
_PARAGRAPH: Final = re.compile(r"^ {0,3}(?![#>|+*=-])\S")
_HTML: Final = re.compile(r"^\s*<h([1-6])\b[^>]*>(.+?)</h\1>\s*$", re.IGNORECASE)
#: Links and pictures, tags, signs for emphasis.
_MARKS: Final = re.compile(
    r"!\[[^\]]*\]\([^)]*\)|(?<=\])\([^)]*\)|</?\w[^>]*>|[*`\[\]]|(?<!\w)_+|_+(?!\w)"
)
_FENCE: Final = re.compile(r"^\s*(```|~~~)")
#: The section of what stands before the first heading.
FIRST: Final = "start"


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """A statement of a cell, with the comments above it."""

    node: ast.stmt
    text: str
    #: The cell it is in, counted from 1 among all cells.
    cell: int
    #: It is the last line of its cell: a notebook shows its value.
    last: bool = False


@dataclass(slots=True, kw_only=True)
class Section:
    """What stands below a heading."""

    title: str
    #: What its task is called.
    name: str
    statements: list[Statement] = field(default_factory=list[Statement])


@dataclass(frozen=True, slots=True, kw_only=True)
class Sections:
    """A notebook in sections."""

    path: Path
    #: The statements of the cell that is tagged `parameters`.
    parameters: tuple[Statement, ...]
    #: What stands before the first heading is the first; it may be empty.
    sections: tuple[Section, ...]


def read_sections(path: Path) -> Sections:
    """Cut a notebook at its headings: those of the highest level that there are several of.

    Raises:
        NotebookInvalid: it cannot be read.
        NotInPython: its cells are in another language.
        NoSections: it has fewer than two headings with code below them.
        CellError: a cell has something that a task cannot have.
    """
    content = parsed(decoded(path.read_bytes(), path), path)
    _refuse_other_languages(path, content.get("metadata"))
    found: object = content.get("cells")
    if not isinstance(found, list):
        raise NotebookInvalid(path, "it has no list of cells", SAVE_AGAIN)
    cells: list[Any] = [*cast("list[object]", found)]
    if not all(_is_cell(cell) for cell in cells):
        raise NotebookInvalid(path, "one of its cells has no source", SAVE_AGAIN)
    level = _level(cells)
    sections = [Section(title="", name=FIRST)]
    parameters: list[Statement] = []
    for number, cell in enumerate(cells, start=1):
        text = _text(cell)
        if cell.get("cell_type") == "markdown":
            for found, title in _headings(text):
                if found == level:
                    sections.append(Section(title=title, name=_name(title, sections)))
        elif cell.get("cell_type") == "code":
            tags = cell.get("metadata", {}).get("tags", ())
            if SKIP_TAG in tags or "skip-run" in tags:
                continue
            where = f"{sections[-1].name} (cell {number})"
            found_here = list(_statements(where, text, number))
            target = parameters if "parameters" in tags else sections[-1].statements
            target += found_here
    if sum(bool(s.statements) for s in sections) < 2:
        raise NoSections(path, sum(len(list(_headings(_text(c)))) for c in cells))
    return Sections(path=path, parameters=tuple(parameters), sections=tuple(sections))


def _refuse_other_languages(path: Path, metadata: object) -> None:
    known = cast("dict[str, Any]", metadata if isinstance(metadata, dict) else {})
    for part, key in (("language_info", "name"), ("kernelspec", "language")):
        found = known.get(part)
        language = cast("dict[str, Any]", found if isinstance(found, dict) else {}).get(key)
        if isinstance(language, str) and language and language.lower() != "python":
            raise NotInPython(path, language)


def _is_cell(cell: object) -> bool:
    if not isinstance(cell, dict):
        return False
    known = cast("dict[str, Any]", cell)
    source, metadata = known.get("source", ""), known.get("metadata", {})
    lines = cast("list[object]", source if isinstance(source, list) else [source])
    return all(isinstance(line, str) for line in lines) and isinstance(metadata, dict)


def _text(cell: Any) -> str:
    source = cell.get("source", "")
    return source if isinstance(source, str) else "".join(source)


def _headings(text: str) -> Iterator[tuple[int, str]]:
    fence, before = "", ""
    for line in text.splitlines():
        mark = _FENCE.match(line)
        if mark and mark[1] == (fence or mark[1]):
            fence = "" if fence else mark[1]
        found = _heading(line, before) if not fence and not mark else None
        if found:
            yield found[0], _MARKS.sub("", found[1]).strip()
        before = "" if fence or found else line


def _heading(line: str, before: str) -> tuple[int, str] | None:
    """Its level and its text."""
    if found := _HEADING.match(line):
        return len(found[1]), found[2]
    if found := _HTML.match(line):
        return int(found[1]), found[2]
    if (found := _UNDERLINE.match(line)) and _PARAGRAPH.match(before):
        return 1 if found[1].startswith("=") else 2, before.strip()
    return None


def _level(cells: Sequence[Any]) -> int:
    """The highest level that several headings have; a title alone is none."""
    counts: dict[int, int] = {}
    for cell in cells:
        if cell.get("cell_type") == "markdown":
            for level, _ in _headings(_text(cell)):
                counts[level] = counts.get(level, 0) + 1
    several = [level for level, many in counts.items() if many > 1]
    return min(several, default=min(counts, default=1))


def _name(title: str, before: Sequence[Section]) -> str:
    """`2. Load the data!` as `load_the_data`."""
    plain = re.sub(r"^[\d.\s)]+", "", title)
    name = re.sub(r"\W+", "_", plain.lower()).strip("_") or "section"
    name = name if name.isidentifier() else f"section_{name}"
    name = f"{name}_section" if iskeyword(name) else name
    name = name[:60]
    taken = {s.name for s in before}
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name}_{number}"
    return free


def _statements(where: str, source: str, cell: int) -> Iterator[Statement]:
    made = tree_of(where, source)  # refuses what a task cannot have
    text = without_magics(source)
    try:
        tree = ast.parse(text)
    except SyntaxError:  # what was left out was all of a block
        text = ast.unparse(made)
        tree = ast.parse(text)
    lines = lines_of(text)
    done = 0
    for number, node in enumerate(tree.body):
        first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", ()))])
        end = node.end_lineno or first
        if first <= done:  # two statements on a line
            shown = ast.unparse(node)
        else:
            same = any(other.lineno <= end for other in tree.body[number + 1 :])
            above = _comments(lines, done, first)
            body = [ast.unparse(node)] if same else lines[first - 1 : end]
            shown = "\n".join([*above, *body])
        done = max(done, end)
        last = number == len(tree.body) - 1 and not text.rstrip().endswith(";")
        yield Statement(node=node, text=shown.rstrip().rstrip(";"), cell=cell, last=last)


def _comments(lines: Sequence[str], done: int, first: int) -> list[str]:
    """The comments between two statements."""
    between = lines[done : first - 1]
    while between and not between[0].strip():
        between = between[1:]
    return [line for line in between if line.strip()]
