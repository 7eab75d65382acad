"""`mlflowkit connections …`: how outside systems are reached. Secrets are shown only if asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from mlflowkit.cli.secret_files import FORMAT, OUT, kind_of, the_vault, write_entries

if TYPE_CHECKING:
    from mlflowkit.core.connection import Connection

app = typer.Typer(
    help="How outside systems are reached: kept in the home, encrypted.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
CONN_ID = typer.Argument(..., metavar="CONN_ID", help="Its name.")
JSON = typer.Option(False, "--json", help="Print JSON.")
SHOW = typer.Option(False, "--show-secrets", help="Passwords and secret extras, too.")


@app.command()
def add(
    conn_id: str = CONN_ID,
    uri: str | None = typer.Option(
        None, "--conn-uri", help="type://login:password@host:port/schema?extra=…; - asks."
    ),
    text: str | None = typer.Option(None, "--conn-json", help="All as JSON; - asks."),
    conn_type: str | None = typer.Option(None, help="postgres, aws, http, …"),
    host: str | None = typer.Option(None, "--conn-host"),
    port: int | None = typer.Option(None, "--conn-port"),
    login: str | None = typer.Option(None, "--conn-login"),
    password: str | None = typer.Option(
        None, "--conn-password", help="- asks for it, or reads standard input."
    ),
    schema: str | None = typer.Option(None, "--conn-schema"),
    extra: str | None = typer.Option(None, "--conn-extra", help="A JSON object; - asks."),
    description: str | None = typer.Option(None, "--conn-description"),
    overwrite: bool = typer.Option(False, help="Replace the one of this name."),
) -> None:
    """Keep a connection. Give secrets as `-`: the list of processes shows what is typed here."""
    from dataclasses import replace

    from mlflowkit.cli.console import say
    from mlflowkit.cli.secret_input import given_or_asked

    parts = {
        "conn_type": conn_type,
        "host": host,
        "port": port,
        "login": login,
        "password": password,
        "schema": schema,
        "extra": extra,
    }
    given = [name for name, value in parts.items() if value is not None]
    ways = [uri is not None, text is not None, bool(given)]
    if sum(ways) != 1:
        hint = "--conn-uri, --conn-json or --conn-type with its parts"
        raise typer.BadParameter("give one of them", param_hint=hint)
    if given and conn_type is None:
        raise typer.BadParameter("is needed with the other parts", param_hint="--conn-type")
    if password == extra == "-":
        raise typer.BadParameter("ask for one of them only", param_hint="-")
    whole = given_or_asked(uri if uri is not None else text, f"Connection {conn_id}")
    parts["password"] = given_or_asked(password, "Password")
    parts["extra"] = given_or_asked(extra, "Extra (JSON)")
    made = _made(conn_id, whole, parts)
    if description is not None:
        made = replace(made, description=description)
    replaced = the_vault().put_connection(made, overwrite=overwrite)
    say(
        f"connection {conn_id} ({made.conn_type}) was {'replaced' if replaced else 'added'}"
    )


def _made(conn_id: str, whole: str | None, parts: dict[str, Any]) -> Connection:
    import json

    from mlflowkit.core.connection import Connection

    if not conn_id.strip() or len(conn_id) > 250:
        raise typer.BadParameter("needs 1 to 250 characters", param_hint="CONN_ID")
    if whole is not None:
        return Connection.from_text(conn_id, whole)
    return Connection.from_json(conn_id, json.dumps(parts))


@app.command()
def get(conn_id: str = CONN_ID, json: bool = JSON, show_secrets: bool = SHOW) -> None:
    """One connection, as a task would find it: environment, secrets back end, store."""
    from mlflowkit.cli.console import print_json, say
    from mlflowkit.errors import ConnectionMissing
    from mlflowkit.hooks.base import defined, env_variable, look_up

    found = look_up(conn_id)
    if found is None:
        raise ConnectionMissing(conn_id, env_variable(conn_id), defined())
    connection, place = found
    facts = {"conn_id": conn_id, "from": place, **_shown(connection, show_secrets)}
    if json:
        print_json(facts)
        return
    for name, value in facts.items():
        say(f"{name + ':':<13}{value}")


def _shown(connection: Connection, show_secrets: bool) -> dict[str, Any]:
    from mlflowkit.core.masking import masked_by_name

    facts = connection.facts()
    if show_secrets:
        return {**facts, "uri": connection.to_uri()}
    masked: dict[str, Any] = masked_by_name(facts)
    return masked


@app.command("list")
def list_(json: bool = JSON) -> None:
    """The connections of the store and of the environment. No secret is opened for it."""
    from mlflowkit.cli.console import print_json
    from mlflowkit.cli.lists import print_table

    entries = [
        {"conn_id": e.conn_id, "conn_type": e.conn_type, "from": "store", **_more(e)}
        for e in the_vault().list_connections()
    ]
    entries += _from_environment()
    if json:
        print_json(entries)
    else:
        print_table(entries, ("conn_id", "conn_type", "from", "description"))


def _more(entry: Any) -> dict[str, str]:
    return {"description": entry.description}


def _from_environment() -> list[dict[str, Any]]:
    import os

    from mlflowkit.core.connection import ENV_PREFIX, Connection
    from mlflowkit.errors import InvalidConnection

    found: list[dict[str, Any]] = []
    for name in sorted(name for name in os.environ if name.startswith(ENV_PREFIX)):
        conn_id = name.removeprefix(ENV_PREFIX).lower()
        try:
            kind = Connection.from_text(conn_id, os.environ[name]).conn_type
        except InvalidConnection:
            kind = "(cannot be read)"
        found.append(
            {
                "conn_id": conn_id,
                "conn_type": kind,
                "from": "environment",
                "description": "",
            }
        )
    return found


@app.command("test")
def try_(conn_id: str = CONN_ID, json: bool = JSON) -> None:
    """Try a connection: `select 1`, list buckets, the cluster's version, HTTP HEAD.

    Exit status: 0 it works, 1 it does not, 2 it cannot be tested.
    """
    from mlflowkit.cli.console import print_json, say
    from mlflowkit.hooks.trying import try_connection

    tried = try_connection(conn_id)
    words = {True: "works", False: "does not work", None: "not tested"}[tried.works]
    if json:
        print_json({"conn_id": conn_id, "works": tried.works, "message": tried.told})
    else:
        say(f"{conn_id}: {words}: {tried.told}")
    raise typer.Exit({True: 0, False: 1, None: 2}[tried.works])


@app.command()
def delete(conn_id: str = CONN_ID) -> None:
    """Take a connection out of the store."""
    from mlflowkit.cli.console import say
    from mlflowkit.errors import ConnectionMissing
    from mlflowkit.hooks.base import env_variable

    vault = the_vault()
    if not vault.delete_connection(conn_id):
        known = [entry.conn_id for entry in vault.list_connections()]
        raise ConnectionMissing(conn_id, env_variable(conn_id), known)
    say(f"connection {conn_id} was deleted")


@app.command("import")
def import_(
    file: str = typer.Argument(..., help="A .json, .yaml or .env file, as Airflow has it."),
    overwrite: bool = typer.Option(False, help="Replace those that are there."),
    file_format: str | None = FORMAT,
) -> None:
    """Keep the connections of a file. Those that are there already are left as they are."""
    from pathlib import Path

    from mlflowkit.cli.console import say
    from mlflowkit.errors import ConnectionExists
    from mlflowkit.hooks.secrets_files import read_connections

    found = read_connections(Path(file), file_format)
    vault = the_vault()
    for conn_id, connection in found.items():
        try:
            replaced = vault.put_connection(connection, overwrite=overwrite)
            done = "replaced" if replaced else "added"
        except ConnectionExists:
            done = "left as it was (--overwrite replaces it)"
        say(f"{conn_id}: {done}")


@app.command()
def export(
    file: str = OUT,
    file_format: str | None = FORMAT,
) -> None:
    """Write the store's connections, WITH their secrets, to a file that only you may read."""
    kind = kind_of(file, file_format)
    vault, entries = the_vault(), dict[str, Any]()
    for entry in vault.list_connections():
        connection = vault.connection(entry.conn_id)
        if connection is not None:
            entries[entry.conn_id] = (
                connection.to_uri() if kind == "env" else connection.facts()
            )
    write_entries(entries, "connections", file, kind, ", with their secrets")


@app.command()
def rotate() -> None:
    """Encrypt all connections and variables anew, with a new key.

    With MLFLOWKIT_FERNET_KEY=NEW,OLD: with NEW. Else a new key is made in the home.
    """
    import os

    from mlflowkit.cli.console import say
    from mlflowkit.store.fernet import VARIABLE

    connections, variables = the_vault().rotate()
    say(
        f"{connections} connections and {variables} variables were encrypted with the new key"
    )
    if os.environ.get(VARIABLE, "").strip():
        say(f"The other keys of {VARIABLE} are no longer needed.")
