"""Notebook files as they are on disk: read, checked, upgraded. Never written to.

Whatever is wrong with a file is said here, with the line, before a kernel is started.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlflowkit.core.notebook_text import SAVE_AGAIN, decoded, parsed
from mlflowkit.errors import NoKernel, NotebookInvalid, NotebookMissing
from mlflowkit.late_imports import while_importing

if TYPE_CHECKING:
    from jupyter_client.kernelspec import KernelSpec
    from nbformat import NotebookNode

#: The kernel name that means "the Python that runs this".
NATIVE_KERNEL = "python3"


def make_ready() -> None:
    """What reading any notebook needs once in a process: nbformat's compiled schema, and
    which kernel provisioners are installed. A worker does it before it is forked."""
    with while_importing():
        import nbformat
    from jupyter_client.provisioning.factory import KernelProvisionerFactory
    from nbformat.v4 import new_notebook

    nbformat.validate(new_notebook())  # type: ignore[no-untyped-call]  # untyped
    KernelProvisionerFactory.instance()


def load(path: Path) -> NotebookNode:
    """The notebook in `path`, in the newest format, with ids and tags on every cell.

    Raises:
        NotebookMissing: there is no such file.
        NotebookInvalid: it is not a notebook; the message names the line or cell.
    """
    with while_importing():
        import nbformat

    raw = parsed(read_text(path), path)
    try:
        _name_cells(raw)
        text = json.dumps(raw)
        notebook = nbformat.reads(text, as_version=4)  # type: ignore[no-untyped-call]  # untyped
        nbformat.validate(notebook)
        notebook = nbformat.v4.upgrade(notebook)  # type: ignore[no-untyped-call]  # untyped
    except nbformat.ValidationError as exc:
        raise NotebookInvalid(path, _validation(exc), SAVE_AGAIN) from exc
    except (
        nbformat.reader.NotJSONError,
        AttributeError,
        KeyError,
        TypeError,
        ValueError,
    ) as exc:
        raise NotebookInvalid(path, f"its format is damaged ({exc!r})", SAVE_AGAIN) from exc
    return _with_papermill_fields(notebook)


def read_text(path: Path) -> str:
    """The text of a file; see `load`."""
    if path.is_dir():
        raise NotebookInvalid(path, "it is a folder", "Name the .ipynb file in it.")
    try:
        data = path.read_bytes()
    except FileNotFoundError as exc:
        near = [found.name for found in path.parent.glob("*.ipynb")]
        raise NotebookMissing(path.name, [path.absolute()], near) from exc
    except OSError as exc:
        unreadable = f"it cannot be read ({exc.strerror})"
        raise NotebookInvalid(path, unreadable, "Mend its permissions.") from exc
    return decoded(data, path)


def _name_cells(raw: dict[str, Any]) -> None:
    """Give cells without an id of their own ids that are the same every time."""
    if raw.get("nbformat") != 4 or not isinstance(raw["cells"], list):
        return
    cells = [cell for cell in raw["cells"] if isinstance(cell, dict)]
    taken = {str(cell.get("id")) for cell in cells}
    met: set[str] = set()
    for position, cell in enumerate(cells):
        if "id" not in cell or str(cell["id"]) in met:  # copied by hand, or by a merge
            name = f"cell-{position}"
            cell["id"] = name if name not in taken else f"{name}-of-{len(cells)}"
        met.add(str(cell["id"]))
    raw["nbformat_minor"] = max(5, int(raw.get("nbformat_minor", 0)))


def _validation(exc: Exception) -> str:
    path = list(getattr(exc, "relative_path", ()))
    message = str(getattr(exc, "message", exc)).splitlines()[0][:200]
    cell = path[1] if len(path) > 1 and path[0] == "cells" else None
    return f"cell {cell + 1}: {message}" if isinstance(cell, int) else message


def _with_papermill_fields(notebook: NotebookNode) -> NotebookNode:
    """What papermill's functions expect to find on every notebook and cell."""
    from nbformat import from_dict

    notebook.metadata.setdefault("papermill", from_dict({}))  # type: ignore[no-untyped-call]
    for name in ("default_parameters", "parameters", "environment_variables"):
        notebook.metadata.papermill.setdefault(name, from_dict({}))  # type: ignore[no-untyped-call]
    for cell in notebook.cells:
        cell.metadata.setdefault("tags", [])
    return notebook


def tagged(notebook: NotebookNode, tag: str) -> list[int]:
    """Positions of the cells with this tag."""
    return [
        at for at, cell in enumerate(notebook.cells) if tag in cell.metadata.get("tags", [])
    ]


def kernel_name(notebook: NotebookNode, given: str | None = None) -> str | None:
    """The kernel that is meant: `given`, else what the notebook says."""
    name = given or notebook.metadata.get("kernelspec", {}).get("name")
    return str(name) if name else None


def kernel_spec(path: Path, notebook: NotebookNode, given: str | None = None) -> KernelSpec:
    """The kernel to start. `python3` always is the interpreter that runs this code.

    Raises:
        NoKernel: none is named, or it is not installed; the message lists those that are.
    """
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

    specs = KernelSpecManager()
    name = kernel_name(notebook, given)
    if name is None:
        raise NoKernel(path, None, specs.find_kernel_specs())
    try:
        spec: KernelSpec = specs.get_kernel_spec(name)
    except (NoSuchKernel, json.JSONDecodeError, OSError) as exc:
        raise NoKernel(path, name, specs.find_kernel_specs()) from exc
    if name == NATIVE_KERNEL:
        from ipykernel.kernelspec import make_ipkernel_cmd

        spec.argv = make_ipkernel_cmd()
    return spec


def language(notebook: NotebookNode, spec: KernelSpec) -> str:
    """The programming language, in lower case: the kernel's word counts."""
    said = spec.language or notebook.metadata.get("language_info", {}).get("name", "")
    return str(said).lower()
