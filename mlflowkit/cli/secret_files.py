"""What `connections` and `variables` share: the store's vault, and files of its entries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from mlflowkit.store.vault import Vault

FORMAT = typer.Option(None, "--file-format", help="json, yaml or env; else by the name.")
OUT = typer.Argument(..., help="A .json, .yaml or .env file; - is standard output.")


def the_vault() -> Vault:
    """The vault of this home, which is made if need be."""
    from mlflowkit.cli.places import the_home
    from mlflowkit.home_store import vault

    the_home()
    return vault()


def kind_of(file: str, file_format: str | None) -> str:
    """The format of a file to be written: as it was said, else as its name ends; standard
    output is JSON.

    Raises:
        BadSecretsFile: the name says nothing.
    """
    from pathlib import Path

    from mlflowkit.cli.secret_input import ASKED
    from mlflowkit.hooks.secrets_files import format_of

    return format_of(Path(file), file_format or ("json" if file == ASKED else None))


def write_entries(
    entries: Mapping[str, object], what: str, file: str, kind: str, how: str = ""
) -> None:
    """Write connections or variables (`what`) to a private file, and say how many, and how."""
    from mlflowkit.cli.console import say
    from mlflowkit.cli.secret_input import write_private
    from mlflowkit.hooks.secrets_files import written

    write_private(written(entries, kind), file)
    say(f"{len(entries)} {what} were written to {file}{how}", stderr=True)
