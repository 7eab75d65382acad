"""What a pipeline file was made of when it was loaded: files whose change makes it stale.

Looks at modules that are loaded and at files; loads nothing.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from mlflowkit.authoring.cells import code_cells
from mlflowkit.authoring.modules import imports_in, is_local_file
from mlflowkit.errors import NotebookInvalid

if TYPE_CHECKING:
    from mlflowkit.authoring.dag import DAG

#: Clocks of files are coarser than the clock of the process.
_CLOCK_STEP_SECONDS: Final = 0.05


def local_modules(known: frozenset[str]) -> Iterator[tuple[str, str]]:
    """A person's own modules that were imported since, with their files."""
    for name, module in list(sys.modules.items()):
        if name in known or name.partition(".")[0] in ("mlflowkit", "__main__"):
            continue
        file = getattr(module, "__file__", None)
        if is_local_file(file):
            yield name, os.path.realpath(str(file))
        elif file is None and is_local_file(_inside(module)):
            yield name, ""


def _inside(module: object) -> str | None:
    """A file that would be inside of a folder that was imported as a package."""
    places = list(getattr(module, "__path__", ()))
    return f"{places[0]}/module.py" if places else None


def files_of(dag: DAG, bundle: Path) -> set[str]:
    """What its tasks use: local modules, also those that are not loaded yet, notebooks, and
    template files with the places where they were looked for first."""
    facts: dict[str, Any] = msgspec.json.decode((bundle / "bundle.json").read_bytes())
    modules = {str(one["path"]) for one in facts["modules"].values()}
    found = {path for path in modules | set(facts["notebooks"]) if os.path.isfile(path)}
    templates: dict[str, str] = facts.get("templates") or {}
    for name in templates:
        found |= _places_of_template(dag, name)
    return found


def _places_of_template(dag: DAG, name: str) -> set[str]:
    from mlflowkit.authoring.template_env import folders
    from mlflowkit.authoring.template_options import templates_of

    places: set[str] = set()
    for folder in folders(templates_of(dag)):
        places.add(os.path.realpath(os.path.join(folder, name)))
        if os.path.isfile(os.path.join(folder, name)):
            break
    return places


def changed_since(path: str, moment: float) -> bool:
    try:
        return os.stat(path).st_mtime >= moment - _CLOCK_STEP_SECONDS
    except OSError:  # it is not there, and its coming is a change
        return False


def absent_places(paths: list[str], search: list[str]) -> tuple[str, ...]:
    """Places that are searched before the one where an import was found."""
    found: set[str] = set()
    for source in map(_source, paths):
        for name in imports_in(source, "", False):
            found |= _places_before(name.partition(".")[0], search)
    return tuple(sorted(found))


def _source(path: str) -> bytes:
    if not path.endswith((".py", ".ipynb")) or not os.path.isfile(path):
        return b""
    if path.endswith(".py"):
        return Path(path).read_bytes()
    try:
        return "\n".join(cell.source for cell in code_cells(Path(path))).encode()
    except NotebookInvalid:
        return b""


def _places_before(name: str, search: list[str]) -> set[str]:
    places: set[str] = set()
    if name in sys.builtin_module_names or name in ("mlflowkit", "__future__"):
        return places
    for folder in search:
        if os.path.exists(f"{folder}/{name}.py") or os.path.isdir(f"{folder}/{name}"):
            break
        places.add(f"{folder}/{name}")
    return places
