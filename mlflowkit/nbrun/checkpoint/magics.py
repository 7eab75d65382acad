"""Magics of a cell: what it is as Python, and what its magics change. Pure; runs nothing."""

from __future__ import annotations

import ast
import re
from typing import Final

#: Cell magics that run their body as a cell would, and keep nothing.
_TRANSPARENT: Final = {"time", "timeit", "capture", "prun"}
#: Magics that touch neither variables nor settings.
_QUIET: Final = {
    *("bash", "sh", "html", "HTML", "javascript", "js", "latex", "markdown", "svg"),
    *("writefile", "file", "ls", "pwd", "who", "whos", "system", "sx", "pinfo", "time"),
    *("pinfo2", "history", "lsmagic", "magic", "psource", "pdoc", "timeit", "cat"),
}
#: `%time fit()` does what `fit()` does.
_TIMED: Final = re.compile(r"(?m)^([ \t]*)%time(?:it)?[ \t]+(?=[^\s-])")


def without_magics(source: str) -> tuple[str, list[str], bool]:
    """The cell as Python, the settings that its magics change, and whether it is sweeping."""
    head = source.lstrip()
    if head.startswith("%%"):
        first, _, body = head.partition("\n")
        name = first[2:].split(maxsplit=1)[0] if first[2:].strip() else ""
        if name in _TRANSPARENT:
            rest = first[2:].partition(" ")[2]
            return _line_magics(body if name != "capture" else f"{body}\n{_output(rest)}")
        if name in _QUIET:
            return "", [], False
        return "", [f"uses %%{name}"], True
    return _line_magics(source)


def _output(words: str) -> str:
    """The name that %%capture binds."""
    names = [word for word in words.split() if word.isidentifier()]
    return f"{names[0]} = None" if names else ""


def _line_magics(source: str) -> tuple[str, list[str], bool]:
    from IPython.core.inputtransformer2 import TransformerManager

    try:
        transformer = TransformerManager()  # type: ignore[no-untyped-call]  # untyped
        python: str = transformer.transform_cell(_TIMED.sub(r"\1", source))
    except SyntaxError:
        return source, [], True
    return python, [], False


def magic_effect(node: ast.Call) -> tuple[str, bool]:
    """What a transformed magic changes, and whether it may touch any name."""
    method = node.func.attr if isinstance(node.func, ast.Attribute) else ""
    words = [a.value for a in node.args if isinstance(a, ast.Constant)]
    said = [word for word in words if isinstance(word, str)]
    name = said[0] if said else ""
    if method in ("system", "getoutput"):
        pip = any(word in name for word in ("pip ", "conda ", "apt"))
        return ("installs something", False) if pip else ("", False)
    if method == "run_line_magic" and name in ("time", "timeit"):
        return "", True
    if name in _QUIET:
        return "", False
    return f"uses %{name or method}", name in ("run", "load", "store", "pylab", "reset")
