"""`mlflowkit variables …`: texts by name, kept encrypted. Secret ones are shown only if asked for."""

from __future__ import annotations

from typing import Any

import typer

from mlflowkit.cli.secret_files import FORMAT, OUT, kind_of, the_vault, write_entries

app = typer.Typer(
    help="Texts by name, which tasks read with Variable.get: kept in the home, encrypted.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
KEY = typer.Argument(..., metavar="KEY", help="Its name.")
JSON = typer.Option(False, "--json", help="Print JSON.")
SHOW = typer.Option(False, "--show-secrets", help="Also if its name looks secret.")


@app.command("set")
def set_(
    key: str = KEY,
    value: str = typer.Argument(..., help="Its text; - asks, or reads standard input."),
    description: str | None = typer.Option(None, help="What it is for."),
    is_json: bool = typer.Option(False, "--is-json", help="Refuse it if it is no JSON."),
) -> None:
    """Keep a variable, in the place of an earlier value."""
    import json

    from mlflowkit.cli.console import say
    from mlflowkit.cli.secret_input import given_or_asked
    from mlflowkit.errors import InvalidVariable
    from mlflowkit.hooks.variable import Variable

    text = given_or_asked(value, f"Variable {key}") or ""
    if is_json:
        try:
            json.loads(text)
        except ValueError:
            raise InvalidVariable(key, "was given a value that is no JSON.") from None
    the_vault()
    Variable.set(key, text, description)
    say(f"variable {key} was set")


@app.command()
def get(
    key: str = KEY,
    default: str | None = typer.Option(None, help="Printed where there is none."),
    json: bool = JSON,
    show_secrets: bool = SHOW,
) -> None:
    """The text of a variable, as a task would find it: environment, secrets back end, store."""
    from mlflowkit.cli.console import print_json, say
    from mlflowkit.core.masking import MASK, looks_secret
    from mlflowkit.errors import VariableMissing
    from mlflowkit.hooks.variable import env_variable, look_up

    vault = the_vault()
    found = look_up(key) or ((default, "default") if default is not None else None)
    if found is None:
        known = [entry.key for entry in vault.list_variables()]
        raise VariableMissing(key, env_variable(key), known)
    value, place = found
    if looks_secret(key) and not show_secrets and place != "default":
        value = MASK
    if json:
        print_json({"key": key, "value": value, "from": place})
    else:
        say(value)


@app.command("list")
def list_(
    json: bool = JSON,
    show_values: bool = typer.Option(False, help="Their values, too; secret ones hidden."),
    show_secrets: bool = typer.Option(False, "--show-secrets", help="All of the values."),
) -> None:
    """The variables of the store and of the environment."""
    import os

    from mlflowkit.cli.console import print_json
    from mlflowkit.cli.lists import print_table
    from mlflowkit.core.masking import MASK, looks_secret
    from mlflowkit.worker.masking import VARIABLE_PREFIX

    vault = the_vault()
    entries: list[dict[str, Any]] = [
        {"key": e.key, "from": "store", "description": e.description}
        for e in vault.list_variables()
    ]
    for name in sorted(n for n in os.environ if n.startswith(VARIABLE_PREFIX)):
        key = name.removeprefix(VARIABLE_PREFIX).lower()
        entries.append({"key": key, "from": "environment", "description": ""})
    columns = ["key", "from", "description"]
    if show_values or show_secrets:
        columns.insert(1, "value")
        for entry in entries:
            hidden = looks_secret(entry["key"]) and not show_secrets
            variable = VARIABLE_PREFIX + entry["key"].upper()
            stored = entry["from"] == "store"
            value = vault.variable(entry["key"]) if stored else os.environ[variable]
            entry["value"] = MASK if hidden else value
    if json:
        print_json(entries)
    else:
        print_table(entries, columns)


@app.command()
def delete(key: str = KEY) -> None:
    """Take a variable out of the store."""
    from mlflowkit.cli.console import say
    from mlflowkit.errors import VariableMissing
    from mlflowkit.hooks.variable import env_variable

    vault = the_vault()
    if not vault.delete_variable(key):
        known = [entry.key for entry in vault.list_variables()]
        raise VariableMissing(key, env_variable(key), known)
    say(f"variable {key} was deleted")


@app.command("import")
def import_(
    file: str = typer.Argument(..., help="A .json, .yaml or .env file, as Airflow has it."),
    existing: str = typer.Option(
        "overwrite",
        "--action-on-existing-key",
        help="overwrite, skip or fail, where there is one already.",
    ),
    file_format: str | None = FORMAT,
) -> None:
    """Keep the variables of a file. With `fail`, nothing is kept if one is there already."""
    from pathlib import Path

    from mlflowkit.cli.console import say
    from mlflowkit.errors import InvalidVariable
    from mlflowkit.hooks.secrets_files import read_variables

    if existing not in ("overwrite", "skip", "fail"):
        hint = "--action-on-existing-key"
        raise typer.BadParameter("is overwrite, skip or fail", param_hint=hint)
    found = read_variables(Path(file), file_format)
    vault = the_vault()
    there = {entry.key for entry in vault.list_variables()} & found.keys()
    if there and existing == "fail":
        raise InvalidVariable(min(there), "is there already; nothing was imported.")
    for key, (value, description) in found.items():
        if key in there and existing == "skip":
            say(f"{key}: left as it was")
            continue
        vault.put_variable(key, value, description)
        say(f"{key}: {'replaced' if key in there else 'added'}")


@app.command()
def export(
    file: str = OUT,
    file_format: str | None = FORMAT,
) -> None:
    """Write the store's variables, secret ones too, to a file that only you may read."""
    kind = kind_of(file, file_format)
    vault, entries = the_vault(), dict[str, Any]()
    for entry in vault.list_variables():
        value = vault.variable(entry.key)
        with_words = entry.description and kind != "env"
        entries[entry.key] = (
            {"value": value, "description": entry.description} if with_words else value
        )
    write_entries(entries, "variables", file, kind)
