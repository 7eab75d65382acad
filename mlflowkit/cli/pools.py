"""`mlflowkit pools …`: how many tasks of a kind run at once."""

from __future__ import annotations

from typing import Any

import typer

app = typer.Typer(
    help="How many task instances of a kind run at once; a task names its pool.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
NAME = typer.Argument(..., metavar="NAME", help="Its name.")
JSON = typer.Option(False, "--json", help="Print JSON.")
FORMAT = typer.Option(None, "--file-format", help="json or yaml; else by the name.")
COLUMNS = ("name", "slots", "description")


@app.command("set", context_settings={"ignore_unknown_options": True})  # -1 is a number
def set_(
    name: str = NAME,
    slots: int = typer.Argument(..., help="Its slots; -1: no limit."),
    description: str = typer.Argument("", help="What it is for."),
) -> None:
    """Make a pool, or change one."""
    from mlflowkit.cli.console import say
    from mlflowkit.store.pools import put_pool

    with _database().writing() as tx:
        put_pool(tx, name, slots, description)
    many = "unlimited slots" if slots < 0 else f"{slots} slot{'' if slots == 1 else 's'}"
    say(f"pool {name} has {many}")


@app.command()
def get(name: str = NAME, json: bool = JSON) -> None:
    """One pool."""
    from mlflowkit.cli.console import print_json
    from mlflowkit.cli.lists import print_table
    from mlflowkit.errors import PoolMissing

    pools = {pool["name"]: pool for pool in _pools()}
    if name not in pools:
        raise PoolMissing(name, pools)
    if json:
        print_json(pools[name])
    else:
        print_table([pools[name]], COLUMNS)


@app.command("list")
def list_(json: bool = JSON) -> None:
    """All pools; default_pool is always there."""
    from mlflowkit.cli.console import print_json
    from mlflowkit.cli.lists import print_table

    if json:
        print_json(_pools())
    else:
        print_table(_pools(), COLUMNS)


@app.command()
def delete(name: str = NAME) -> None:
    """Remove a pool. Tasks that name it wait until there is one again."""
    from mlflowkit.cli.console import say
    from mlflowkit.errors import PoolMissing
    from mlflowkit.store.pools import delete_pool

    with _database().writing() as tx:
        gone = delete_pool(tx, name)
    if not gone:
        raise PoolMissing(name, [pool["name"] for pool in _pools()])
    say(f"pool {name} was deleted")


@app.command("import")
def import_(
    file: str = typer.Argument(..., help="A .json or .yaml file, as Airflow has it."),
    file_format: str | None = FORMAT,
) -> None:
    """Make or change the pools of a file: all of them or none."""
    from pathlib import Path

    from mlflowkit.cli.console import say
    from mlflowkit.hooks.secrets_files import read_pools
    from mlflowkit.store.pools import put_pool

    found = read_pools(Path(file), file_format)
    with _database().writing() as tx:
        for name, (slots, description) in found.items():
            put_pool(tx, name, slots, description)
    say(f"{len(found)} pools were set")


@app.command()
def export(
    file: str = typer.Argument(..., help="A .json or .yaml file; - is standard output."),
    file_format: str | None = FORMAT,
) -> None:
    """Write all pools to a file."""
    from pathlib import Path

    from mlflowkit.cli.console import say
    from mlflowkit.cli.secret_input import ASKED, write_private
    from mlflowkit.hooks.secrets_files import format_of, written

    kind = format_of(Path(file), file_format or ("json" if file == ASKED else None))
    if kind == "env":
        raise typer.BadParameter("is json or yaml for pools", param_hint="--file-format")
    facts = {
        pool["name"]: {
            "slots": pool["slots"],
            "description": pool["description"],
            "include_deferred": False,
        }
        for pool in _pools()
    }
    write_private(written(facts, kind), file)
    say(f"{len(facts)} pools were written to {file}", stderr=True)


def _pools() -> list[dict[str, Any]]:
    from mlflowkit.store.pools import list_pools

    with _database().reading() as tx:
        return [pool._asdict() for pool in list_pools(tx)]


def _database() -> Any:
    from mlflowkit.cli.places import the_home
    from mlflowkit.home_store import database

    return database(the_home())
