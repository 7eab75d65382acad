"""What a kernel shows, as notebooks hold it: every output that leaves here is a valid one.

Kernels send what code of a person made (`_repr_mimebundle_`, `_render_traceback_`), which
may be anything: an odd part is turned into text or left out, and never stops a notebook.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from nbformat import NotebookNode

_DISPLAYS: Final = frozenset({"display_data", "execute_result"})


def output_of(message: Mapping[str, Any]) -> NotebookNode | None:
    """The output that a message tells of; None if it tells of none that notebooks hold.

    Valid by how it is made: nothing is validated.
    """
    from nbformat import NotebookNode

    kind, content = message["msg_type"], message["content"]
    shown: dict[str, Any]
    if kind in _DISPLAYS:
        shown = {
            "data": data_of(content.get("data")),
            "metadata": metadata_of(content.get("metadata")),
        }
        if kind == "execute_result":
            count = content.get("execution_count")
            shown["execution_count"] = count if isinstance(count, int) else None
    elif kind == "error":
        shown = error_of(content)
    elif kind == "stream":
        name = "stderr" if content.get("name") == "stderr" else "stdout"
        shown = {"name": name, "text": str(content.get("text", ""))}
    else:
        return None
    output: NotebookNode = NotebookNode(output_type=kind)  # type: ignore[no-untyped-call]  # untyped
    output.update(shown)  # type: ignore[no-untyped-call]  # untyped
    return output


def data_of(data: object) -> dict[str, Any]:
    """A MIME bundle: texts, and anything under a JSON type. What is None is no form at all."""
    if not isinstance(data, dict):
        return {}
    return {
        str(mime): value if _may_be(str(mime), value) else str(value)
        for mime, value in data.items()
        if value is not None
    }


def metadata_of(metadata: object) -> dict[str, Any]:
    return metadata if isinstance(metadata, dict) else {}


def error_of(content: Mapping[str, Any]) -> dict[str, Any]:
    """An error's class, text and traceback."""
    lines = content.get("traceback")
    if not isinstance(lines, list):
        lines = [lines] if lines else []
    return {
        "ename": str(content.get("ename", "")),
        "evalue": str(content.get("evalue", "")),
        "traceback": [str(line) for line in lines],
    }


def _may_be(mime: str, value: object) -> bool:
    if isinstance(value, str) or mime == "application/json":
        return True
    if mime.startswith("application/") and mime.endswith("+json"):
        return True
    return isinstance(value, list) and all(isinstance(line, str) for line in value)
