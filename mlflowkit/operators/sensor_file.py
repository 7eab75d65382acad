"""FileSensor: waits for files."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from glob import iglob
from typing import Any, ClassVar, Final

from mlflowkit.authoring.sensor import BaseSensorOperator
from mlflowkit.errors import InvalidConnection
from mlflowkit.hooks.base import find_connection, get_connection

#: Airflow's: it starts at the root folder, unless somebody defines it otherwise.
DEFAULT_CONNECTION: Final = "fs_default"


class FileSensor(BaseSensorOperator):
    """Waits for a file, or for a folder that has a file in it at any depth.

    Args:
        filepath: A path or a glob pattern (templated). Relative ones start at the
            connection's folder; without a connection, at the task's working folder.
        fs_conn_id: A connection whose extra has `path`, the folder to start at;
            "fs_default" is the root folder where nobody has defined it.
        recursive: `**` in the pattern stands for any folders.

    Raises:
        ConnectionMissing, InvalidConnection: `fs_conn_id` names none, or one without `path`.
    """

    template_fields: ClassVar[Sequence[str]] = ("filepath",)

    def __init__(
        self,
        task_id: str,
        *,
        filepath: str | os.PathLike[str],
        fs_conn_id: str | None = None,
        recursive: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(task_id, **options)
        self.filepath = (
            os.fspath(filepath) if isinstance(filepath, os.PathLike) else filepath
        )
        self.fs_conn_id = fs_conn_id
        self.recursive = recursive

    def poke(self, context: Mapping[str, Any]) -> bool:
        pattern = os.path.join(self._base(), os.fspath(self.filepath))
        for path in iglob(pattern, recursive=self.recursive):
            if os.path.isfile(path) or _has_files(path):
                self.log.info("found %s", path)
                return True
        return False

    def _base(self) -> str:
        if self.fs_conn_id is None:
            return ""
        if (
            self.fs_conn_id == DEFAULT_CONNECTION
            and find_connection(DEFAULT_CONNECTION) is None
        ):
            return os.sep
        path = get_connection(self.fs_conn_id).extra.get("path")
        if not isinstance(path, str) or not path:
            why = "a connection of files needs its folder as `path` in its extra."
            raise InvalidConnection(f"connection {self.fs_conn_id!r}", why)
        return path


def _has_files(folder: str) -> bool:
    return any(files for _, _, files in os.walk(folder))
