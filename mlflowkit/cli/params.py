"""`-p name=value`, as typed in a terminal."""

from __future__ import annotations

import typer

PARAM = typer.Option(
    None,
    "-p",
    "--param",
    metavar="NAME=VALUE",
    help="A parameter of the DAG; JSON where its type asks for it.",
)


def texts_of(given: list[str] | None) -> dict[str, str]:
    """`["n=20"]` as `{"n": "20"}`."""
    found: dict[str, str] = {}
    for text in given or ():
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise typer.BadParameter(f"{text!r} is not NAME=VALUE", param_hint="-p")
        if name.strip() in found:
            raise typer.BadParameter(f"{name.strip()!r} is given twice", param_hint="-p")
        found[name.strip()] = value
    return found
