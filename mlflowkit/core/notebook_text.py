"""The text of a notebook file, before anybody asks what its cells mean.

Whatever is wrong with it is said here, with the line. Opens no file: bytes come in, JSON goes out.
"""

from __future__ import annotations

import json
from typing import Any, Final, cast

from mlflowkit.errors import NotebookInvalid

SAVE_AGAIN: Final = (
    "Open it in Jupyter and save it again, or take the file from your version control."
)
_NAME_ONE: Final = "Give the path of an .ipynb file."


def decoded(data: bytes, name: object) -> str:
    """The text in the bytes of a notebook file.

    Args:
        name: What to call the file in an error, its path for example.

    Raises:
        NotebookInvalid: they are not UTF-8; the message names the line.
    """
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = data.count(b"\n", 0, exc.start) + 1
        byte = f"byte 0x{data[exc.start]:02x} is not UTF-8"
        todo = f"It may be Latin-1: `iconv -f latin1 -t utf-8 {_short(name)}` converts it."
        raise NotebookInvalid(name, byte, todo, line) from exc


def parsed(text: str, name: object) -> dict[str, Any]:
    """What the text of a notebook says; of an old format, its cells lie in `worksheets`.

    Raises:
        NotebookInvalid: it is empty, no JSON (the message names the line), or has no cells.
    """
    if not text.strip():
        raise NotebookInvalid(name, "the file is empty", SAVE_AGAIN)
    try:
        raw: Any = json.loads(text)
    except json.JSONDecodeError as exc:
        if "." in (short := _short(name)) and not short.endswith(".ipynb"):
            raise NotebookInvalid(name, "it is not JSON", _NAME_ONE, exc.lineno) from exc
        problem = f"it is not JSON ({exc.msg}, column {exc.colno})"
        raise NotebookInvalid(name, problem, SAVE_AGAIN, exc.lineno) from exc
    except RecursionError as exc:
        raise NotebookInvalid(name, "its JSON is nested too deeply", SAVE_AGAIN) from exc
    if not isinstance(raw, dict) or not ("cells" in raw or "worksheets" in raw):
        raise NotebookInvalid(name, "it has no cells", _NAME_ONE)
    return cast("dict[str, Any]", raw)


def _short(name: object) -> str:
    return str(name).rpartition("/")[2]
