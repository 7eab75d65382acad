"""Writes docs/reference from the code: settings, states, errors, commands, lint rules.

`make docs`, or `python -m docs.generate`; `--check` only says which pages are out of date.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from mlflowkit import errors
from mlflowkit._settings_model import Settings
from mlflowkit.authoring.lint_rules import rules_page
from mlflowkit.core import diagram

REFERENCE: Final = Path(__file__).parent / "reference"
_NOTE: Final = "<!-- Written by docs/generate.py; run `make docs` after a change. -->\n\n"


def settings_page() -> str:
    """Each setting with its variable, default and meaning."""
    rows = [
        f"| `{name}` | `MLFLOWKIT_{name.upper()}` | {_default(name)} | {field.description} |"
        for name, field in Settings.model_fields.items()
    ]
    return "\n".join(
        [
            "# Settings",
            "",
            "From the environment, else from `[tool.mlflowkit]` in `pyproject.toml`. They are read",
            "anew by each command. Durations are ISO 8601 (`PT5S`) or `HH:MM:SS`. `MLFLOWKIT_HOME`",
            "says where the home is; it is `.mlflowkit` in the project's folder otherwise.",
            "",
            "| Key | Variable | Default | Meaning |",
            "|---|---|---|---|",
            *rows,
            "",
        ]
    )


def _default(name: str) -> str:
    if name == "parallelism":
        return "number of cores"
    value = Settings.model_fields[name].default
    if isinstance(value, timedelta):
        return f"`{value}`"
    return f"`{value}`" if value != "" else "(empty)"


def errors_page() -> str:
    """The tree of errors, each with its code and what it means."""
    lines = [
        "# Errors",
        "",
        "Every error that is raised on purpose. `code` is stable; the sentence may change.",
        "A `UserError` is printed without a traceback and never retried.",
        "",
    ]
    lines += _branch(errors.MlflowkitError, 0)
    return "\n".join([*lines, ""])


def _branch(kind: type[errors.MlflowkitError], depth: int) -> Iterator[str]:
    first = (kind.__doc__ or "").strip().splitlines()[0]
    yield f"{'  ' * depth}- **{kind.__name__}** `{kind.code}`: {first}"
    for below in sorted(kind.__subclasses__(), key=lambda k: k.__name__):
        if below.__module__.startswith(errors.__name__):
            yield from _branch(below, depth + 1)


def commands_page() -> str:
    """The help of each command."""
    import typer.main

    from mlflowkit.cli.commands import app

    lines = [
        "# Commands",
        "",
        "Exit status: 0 fine, 1 the run failed, 2 wrong use or bad input, 130 stopped by Ctrl-C.",
        "",
    ]
    for name, command in _commands("mlflowkit", typer.main.get_command(app)):
        context = command.make_context(name, [], resilient_parsing=True, terminal_width=88)
        lines += [
            f"## {name}",
            "",
            "```text",
            command.get_help(context).rstrip(),
            "```",
            "",
        ]
    return "\n".join(lines)


def _commands(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    yield name, command
    for word, below in getattr(command, "commands", {}).items():
        yield from _commands(f"{name} {word}", below)


PAGES: Final[Mapping[str, Callable[[], str]]] = {
    "settings.md": settings_page,
    "states.md": diagram.states_page,
    "errors.md": errors_page,
    "commands.md": commands_page,
    "lint.md": rules_page,
}


def page(name: str) -> str:
    """A page as it should be now."""
    if PAGES[name] is diagram.states_page:  # says by itself where it comes from
        return diagram.states_page()
    lines = [line.rstrip() for line in PAGES[name]().splitlines()]
    return _NOTE + "\n".join(lines).rstrip() + "\n"


def stale() -> list[str]:
    """The pages that are not as they should be."""
    found: list[str] = []
    for name in PAGES:
        path = REFERENCE / name
        if not path.exists() or path.read_text() != page(name):
            found.append(name)
    return found


def main() -> int:
    """Write what is out of date, or only name it."""
    names = stale()
    if "--check" in sys.argv[1:]:
        print("\n".join(f"out of date: docs/reference/{name}" for name in names))
        return 1 if names else 0
    REFERENCE.mkdir(exist_ok=True)
    for name in names:
        (REFERENCE / name).write_text(page(name))
        print(f"wrote docs/reference/{name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
