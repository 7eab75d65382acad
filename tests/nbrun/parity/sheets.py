# mypy: allow-untyped-calls
"""Notebooks as texts: `sheets/NAME.cells`, with `# %%` above each cell."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

if TYPE_CHECKING:
    from nbformat import NotebookNode

FOLDER: Final = Path(__file__).parent / "sheets"
NAMES: Final = tuple(sorted(path.stem for path in FOLDER.glob("*.cells")))
_MARK: Final = "# %%"
_SPEC: Final = {"name": "python3", "display_name": "Python 3", "language": "python"}


def read(name: str) -> NotebookNode:
    """The notebook of a sheet: a cell for each mark, `# %% [markdown]` or `# %% tags: a b`."""
    cells = []
    for part in ("\n" + (FOLDER / f"{name}.cells").read_text()).split(f"\n{_MARK}")[1:]:
        head, _, source = part.partition("\n")
        source, head = source.strip("\n"), head.strip()
        if head == "[markdown]":
            text = "\n".join(line.removeprefix("# ") for line in source.splitlines())
            cells.append(new_markdown_cell(text))
        else:
            tags = head.removeprefix("tags:").split()
            cells.append(new_code_cell(source, metadata={"tags": tags} if tags else {}))
    for at, cell in enumerate(cells):
        cell["id"] = f"{name}-{at}"
    made: NotebookNode = new_notebook(cells=cells, metadata={"kernelspec": dict(_SPEC)})
    return made
