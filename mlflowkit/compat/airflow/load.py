"""Loading one DAG file for Airflow: looks at its text, then runs it with the hook in place."""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from mlflowkit.authoring import loader
from mlflowkit.authoring.dag import DAG
from mlflowkit.compat.airflow import switches
from mlflowkit.compat.airflow.finder import answering
from mlflowkit.compat.airflow.missing import NameMissing, place_in
from mlflowkit.compat.airflow.scan import Scanned, scan
from mlflowkit.errors import (
    AirflowFeatureMissing,
    MissingExtra,
    OptionNotHere,
    PipelineBroken,
    UnknownOption,
    UserError,
)

_NOTES = "_compat_notes"


def load_dags(
    path: str | Path, dag_id: str | None = None, *, version: int | None = None
) -> list[DAG]:
    """See `mlflowkit.compat.airflow.load_dags`."""
    file = Path(path).resolve()
    is_text = file.is_file() and file.suffix == ".py"
    found = scan(file, version) if is_text else Scanned(version or 3)
    find_modules_of(file)
    switches.take_notes()
    with answering(found.version), _told_with_lines(file):
        dags = loader.load_dags(path, dag_id)
    notes = (*found.notes, *switches.take_notes())
    for dag in dags:
        setattr(dag, _NOTES, notes)
    return dags


def notes_of(dag: DAG) -> tuple[str, ...]:
    """What a person should know of the file that a DAG was loaded from."""
    found: tuple[str, ...] = getattr(dag, _NOTES, ())
    return found


def find_modules_of(file: Path) -> None:
    """Put the folders on the path that Airflow has there: that of DAGs, and plugins beside it."""
    for folder in file.parents:
        if folder.name == "dags":
            for place in (folder, folder.parent / "plugins"):
                if place.is_dir() and str(place) not in sys.path:
                    sys.path.append(str(place))
            return


@contextmanager
def _told_with_lines(file: Path) -> Generator[None, None, None]:
    """Errors that come up while a file is loaded name the line."""
    try:
        yield
    except AirflowFeatureMissing:
        raise
    except (UnknownOption, OptionNotHere) as exc:
        raise _missing_option(exc, file) from exc
    except PipelineBroken as exc:
        cause = exc.__cause__
        if isinstance(cause, NameMissing):
            raise cause.error from exc
        if isinstance(cause, ModuleNotFoundError) and cause.name == "pendulum":
            raise MissingExtra("pendulum", "airflow", f"{file.name}") from exc
        raise
    except UserError as exc:
        line = place_in(exc.__traceback__, file)
        if line:
            exc.add_note(f"It is in {file}, line {line}.")
        raise


def _missing_option(
    exc: UnknownOption | OptionNotHere, file: Path
) -> AirflowFeatureMissing:
    line = place_in(exc.__traceback__, file)
    if isinstance(exc, OptionNotHere):
        why = str(exc.why).partition(": ")[2] or str(exc.why)
    else:
        why = f"take it out, if the task can do without: {exc}".rstrip(".")
    return AirflowFeatureMissing(f"{exc.name}= of {exc.where}", str(file), line, why)
