"""The secrets of the home's store, for a person's own process: a notebook, the command line,
`dag.test()`. A worker never comes here: it asks its engine.

Looking makes nothing: where there is no store yet, nothing is found in it.
"""

from __future__ import annotations

import os
from pathlib import Path

from mlflowkit.hooks import stand_ins
from mlflowkit.settings import home, home_path
from mlflowkit.store.database import Database, open_database
from mlflowkit.store.vault import ANSWERS, Vault

#: By process and by the file itself: a home may be deleted, and another one made there.
_databases: dict[tuple[int, int, int], Database] = {}


def vault() -> Vault:
    """The secrets of the home, which is made if need be."""
    folder = home()
    return Vault(database(folder), folder)


def database(folder: Path) -> Database:
    """The store of a home, opened once in this process and brought up to date."""
    path = folder / "store.db"
    if not path.exists():
        open_database(folder).close()
    found = path.stat()
    key = (os.getpid(), found.st_dev, found.st_ino)
    if key not in _databases:
        _databases[key] = open_database(folder)
    return _databases[key]


def existing_vault() -> Vault | None:
    """The same, unless there is no store yet."""
    folder: Path = home_path()
    return vault() if (folder / "store.db").exists() else None


def answer(what: str, **arguments: str | None) -> str | None:
    """What an engine answers its tasks, here for this process: a text, or None.

    Raises:
        KeyError: it is no question about connections or variables.
    """
    stands_in, text = stand_ins.answer(what, arguments)
    if stands_in:
        return text
    opened = vault() if what.endswith("_set") else existing_vault()
    return ANSWERS[what](opened, **arguments) if opened is not None else None
