"""Hooks that only DAG files for Airflow ask for."""

from __future__ import annotations

from typing import Any

from mlflowkit.hooks.base import BaseHook


class FSHook(BaseHook):
    """Says at which folder a connection starts."""

    def __init__(self, fs_conn_id: str = "fs_default", **_options: Any) -> None:
        super().__init__()
        self.fs_conn_id = fs_conn_id

    def get_path(self) -> str:
        """The folder.

        Raises:
            ConnectionMissing: there is no such connection.
        """
        return str(self.get_connection(self.fs_conn_id).extra_dejson.get("path", ""))
