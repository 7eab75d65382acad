"""A notebook as it should stand in version control: without what its execution left.

Works on the file's own JSON, of any notebook format, and writes it the way Jupyter does, so
that stripping twice, or saving it in Jupyter and stripping again, gives the same bytes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from mlflowkit.core.notebook_text import SAVE_AGAIN, parsed
from mlflowkit.errors import NotebookInvalid
from mlflowkit.nbrun.source import read_text
from mlflowkit.nbrun.written import write_whole

#: Metadata of the notebook, and of a cell, that tell of an execution or of a screen.
VOLATILE: Final = frozenset(
    {"papermill", "mlflowkit", "widgets", "signature", "varInspector"}
)
VOLATILE_IN_CELL: Final = frozenset(
    {"papermill", "mlflowkit", "execution", "ExecuteTime", "collapsed", "scrolled"}
    | {"heading_collapsed", "hidden", "executionInfo", "outputId"}
)
#: Cells that an execution puts in.
_PUT_IN: Final = frozenset({"injected-parameters", "papermill-error-cell-tag"})


def stripped(text: str, name: str | Path, *, keep_outputs: bool = False) -> str:
    """The text of a notebook file without outputs, counts, times and other traces.

    Args:
        text: The file.
        name: What to call it in an error.
        keep_outputs: Leave the outputs, without their counts and times. The cell that an
            execution put in for its parameters stays, too.

    Raises:
        NotebookInvalid: it is no notebook; the message names the line.
    """
    raw = _parsed(text, Path(name))
    for sheet in raw.get("worksheets", [raw]):
        _strip_cells(sheet, keep_outputs)
    metadata = raw.get("metadata")
    _forget(metadata, VOLATILE - ({"widgets"} if keep_outputs else set()))
    if isinstance(metadata, dict):
        _forget(metadata.get("language_info"), {"version"})  # of who ran it last
    written = json.dumps(raw, ensure_ascii=False, indent=1, sort_keys=True) + "\n"
    # Half a character, which JSON may hold, is written as JSON has it.
    return written.encode(errors="backslashreplace").decode()


def strip_file(path: Path, *, keep_outputs: bool = False, check: bool = False) -> bool:
    """Strip a file in its place, whole or not at all. Returns whether it is another then.

    Args:
        check: Only say so; write nothing.

    Raises:
        NotebookMissing, NotebookInvalid: there is none, it is no notebook, or it is read-only.
    """
    before = read_text(path)
    after = stripped(before, path, keep_outputs=keep_outputs)
    if before == after or check:
        return before != after
    try:
        write_whole(path, after.encode())
    except OSError as exc:
        why = f"it cannot be written ({exc.strerror or exc})"
        raise NotebookInvalid(path, why, "Nothing was changed.") from exc
    return True


def _parsed(text: str, name: Path) -> dict[str, Any]:
    raw = parsed(text, name)
    sheets = raw.get("worksheets", [raw])
    if not isinstance(sheets, list) or not all(map(_has_cells, sheets)):
        raise NotebookInvalid(name, "it has no cells", SAVE_AGAIN)
    return raw


def _has_cells(sheet: Any) -> bool:
    cells = sheet.get("cells") if isinstance(sheet, dict) else None
    return isinstance(cells, list) and all(isinstance(cell, dict) for cell in cells)


def _strip_cells(sheet: dict[str, Any], keep_outputs: bool) -> None:
    if not keep_outputs:
        sheet["cells"] = [cell for cell in sheet["cells"] if not _PUT_IN & _tags(cell)]
    for cell in sheet["cells"]:
        if isinstance(source := cell.get("source"), str):
            cell["source"] = source.splitlines(keepends=True)  # as Jupyter saves it
        _forget(metadata := cell.get("metadata"), VOLATILE_IN_CELL)
        if isinstance(metadata, dict) and metadata.get("tags") == []:
            del metadata["tags"]  # papermill gives them to every cell
        if cell.get("cell_type") == "code":
            _strip_code(cell, keep_outputs)


def _tags(cell: dict[str, Any]) -> set[str]:
    metadata = cell.get("metadata")
    tags = metadata.get("tags") if isinstance(metadata, dict) else None
    return (
        {tag for tag in tags if isinstance(tag, str)} if isinstance(tags, list) else set()
    )


def _strip_code(cell: dict[str, Any], keep_outputs: bool) -> None:
    for count in ("execution_count", "prompt_number"):
        if count in cell:
            cell[count] = None
    if cell.get("prompt_number", 1) is None:  # format 3: the schema wants a number, or none
        del cell["prompt_number"]
    outputs = cell.get("outputs")
    if not keep_outputs:
        cell["outputs"] = []
    elif isinstance(outputs, list):
        for output in outputs:
            if isinstance(output, dict) and "execution_count" in output:
                output["execution_count"] = None


def _forget(metadata: Any, names: frozenset[str] | set[str]) -> None:
    if isinstance(metadata, dict):
        for name in names & metadata.keys():
            del metadata[name]
