"""Which modules a notebook imports and a template may import ahead of it.

Reads code, never runs it. Only installed distributions count, in the order of the cells,
and nothing after a statement that could change what an import does: one that sets the
environment, a back end, the search path or a number of threads, a local module, a magic.
"""

from __future__ import annotations

import ast
import site
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

#: Changed by a statement, each may change what a later import does.
_STATE: Final = frozenset(
    {"os.environ", "sys.path", "sys.modules", "sys.meta_path", "sys.path_hooks"}
)
#: Calls after which nothing is imported ahead.
_BARRIERS: Final = frozenset(
    {"putenv", "unsetenv", "chdir", "use", "switch_backend", "load_dotenv", "exec", "eval"}
    | {"__import__", "import_module", "reload", "run_path", "run_module", "addsitedir"}
    | {"run_line_magic", "run_cell_magic", "system", "get_ipython", "load_backend"}
    | {"set_num_threads", "set_num_interop_threads", "threadpool_limits", "set_backend"}
)
#: Line magics that change nothing for an import.
_HARMLESS: Final = frozenset({"time", "timeit", "who", "whos", "autoreload", "load_ext"})
_HARMLESS_EXTENSIONS: Final = frozenset({"autoreload", "mlflowkit"})


def wanted(cells: Iterable[str], cwd: Path) -> tuple[str, ...]:
    """Modules that a notebook imports and that may be imported ahead of it.

    Args:
        cells: The sources of its code cells that will run, in order.
        cwd: Where it runs: what lies there is imported before what is installed.
    """
    found: dict[str, None] = {}
    for source in cells:
        code, whole = _plain_python(source)
        try:
            statements = ast.parse(code).body
        except (SyntaxError, ValueError):
            break
        for statement in _flat(statements):
            names = _imports(statement)
            if names is None or not all(_may_come_first(name, cwd) for name in names):
                return tuple(found)
            found.update(dict.fromkeys(n for n in names if not _is_standard(n)))
        if not whole:
            break
    return tuple(found)


def _plain_python(source: str) -> tuple[str, bool]:
    """The lines up to the first magic that matters. Returns also whether that is all."""
    lines: list[str] = []
    for line in source.splitlines():
        bare = line.strip()
        if bare.startswith("%%"):
            name = bare[2:].split(" ")[0]
            if name not in ("time", "capture"):
                return "\n".join(lines), False
        elif bare.startswith("%") and _is_harmless(bare):
            lines.append(line[: len(line) - len(line.lstrip())] + "pass")
        elif bare.startswith(("%", "!", "?")):
            return "\n".join(lines), False
        else:
            lines.append(line)
    return "\n".join(lines), True


def _is_harmless(magic: str) -> bool:
    name, _, rest = magic[1:].partition(" ")
    if name == "load_ext":
        return rest.strip() in _HARMLESS_EXTENSIONS
    return name in _HARMLESS and "import" not in rest


def _flat(statements: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements that are surely reached, in order; `try` and `with` are opened."""
    for statement in statements:
        if isinstance(statement, ast.Try | ast.With):
            if isinstance(statement, ast.With):
                yield from (ast.Expr(item.context_expr) for item in statement.items)
            yield from _flat(statement.body)
        else:
            yield statement


def _imports(statement: ast.stmt) -> list[str] | None:
    """What a statement imports; None where nothing after it may be imported ahead."""
    if isinstance(statement, ast.Import):
        return [alias.name for alias in statement.names]
    if isinstance(statement, ast.ImportFrom):
        if statement.level or statement.module is None:
            return None
        return [statement.module]
    return None if any(_changes_imports(node) for node in ast.walk(statement)) else []


def _changes_imports(node: ast.AST) -> bool:
    if isinstance(node, ast.Attribute) and ast.unparse(node) in _STATE:
        return True
    if isinstance(node, ast.Name) and node.id in ("environ", "putenv"):
        return True
    if isinstance(node, ast.Call):
        called = node.func
        name = called.attr if isinstance(called, ast.Attribute) else ""
        name = called.id if isinstance(called, ast.Name) else name
        return name in _BARRIERS
    return False


def _is_standard(name: str) -> bool:
    return name.partition(".")[0] in sys.stdlib_module_names


def _may_come_first(name: str, cwd: Path) -> bool:
    """Whether it is the standard library's or installed, and nothing local hides it."""
    top = name.partition(".")[0]
    if _is_in(cwd, top):
        return False
    return top in sys.stdlib_module_names or any(_is_in(f, top) for f in installed_in())


def _is_in(folder: Path, top: str) -> bool:
    if (folder / f"{top}.py").exists() or (folder / top / "__init__.py").exists():
        return True
    return folder.is_dir() and any(folder.glob(f"{top}*.so"))


def installed_in() -> list[Path]:
    """Folders that distributions are installed in."""
    folders = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    return [Path(f) for f in dict.fromkeys([*folders, *_user_site()])]


def _user_site() -> list[str]:
    return [site.getusersitepackages()] if site.ENABLE_USER_SITE else []
