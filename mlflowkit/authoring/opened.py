"""Which DAG is being written now, and whether code is only being loaded: state alone."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflowkit.authoring.dag import DAG

_open: ContextVar[tuple[DAG, ...]] = ContextVar("mlflowkit_open_dags", default=())
_collecting: ContextVar[list[DAG] | None] = ContextVar("mlflowkit_collecting", default=None)
_loading: ContextVar[str] = ContextVar("mlflowkit_loading", default="")
#: This process opened a bundle: it is a worker, and starts no runs.
_workers: list[str] = []


def current_dag() -> DAG | None:
    """The innermost DAG that is open, or None."""
    dags = _open.get()
    return dags[-1] if dags else None


def is_open(dag: DAG) -> bool:
    return any(one is dag for one in _open.get())


def enter(dag: DAG) -> None:
    _open.set((*_open.get(), dag))


def leave(dag: DAG) -> None:
    """Close the innermost opening of `dag`."""
    dags = _open.get()
    last = max((i for i, one in enumerate(dags) if one is dag), default=-1)
    _open.set(tuple(one for i, one in enumerate(dags) if i != last))


@contextmanager
def nothing() -> Generator[None, None, None]:
    """What is made inside belongs to no DAG."""
    token = _open.set(())
    try:
        yield
    finally:
        _open.reset(token)


def made(dag: DAG) -> None:
    """A DAG was made: remember it, if a file is being loaded."""
    found = _collecting.get()
    if found is not None:
        found.append(dag)


@contextmanager
def loading(what: str) -> Generator[list[DAG], None, None]:
    """Code is being loaded, not run; gives the list of DAGs that it makes."""
    found: list[DAG] = []
    tokens = _loading.set(what), _collecting.set(found), _open.set(())
    try:
        yield found
    finally:
        _loading.reset(tokens[0])
        _collecting.reset(tokens[1])
        _open.reset(tokens[2])


def mark_worker(what: str) -> None:
    """This process runs tasks from now on, and starts no DAG runs."""
    _workers[:] = [what]


def why_not_run() -> str:
    """Why no run may be started here: a phrase for people, or an empty text."""
    if _loading.get():
        return f"while {_loading.get()} was being loaded"
    return f"inside {_workers[0]}" if _workers else ""
