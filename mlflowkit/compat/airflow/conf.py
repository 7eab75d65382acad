"""`airflow.configuration.conf`: from `AIRFLOW__SECTION__KEY` in the environment, or a fallback."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

from mlflowkit.errors import NoAirflowConf
from mlflowkit.settings import root

AIRFLOW_HOME: Final = os.environ.get("AIRFLOW_HOME") or str(root())
DAGS_FOLDER: Final = str(Path(AIRFLOW_HOME, "dags"))
#: What files ask for, and what there is to say.
_USUAL: Final = {
    ("core", "dags_folder"): DAGS_FOLDER,
    ("core", "default_timezone"): "utc",
    ("core", "parallelism"): "32",
    ("core", "load_examples"): "False",
    ("webserver", "base_url"): "http://localhost:8080",
    ("api", "base_url"): "http://localhost:8080",
    ("email", "email_backend"): "airflow.utils.email.send_email_smtp",
    ("logging", "base_log_folder"): str(Path(AIRFLOW_HOME, "logs")),
}
_UNSET: Final = object()


class Conf:
    """Airflow's configuration, as far as a file may ask for it."""

    def get(self, section: str, key: str, fallback: Any = _UNSET, **_more: Any) -> Any:
        """A text.

        Raises:
            NoAirflowConf: nothing is known, and there is no fallback.
        """
        name = f"AIRFLOW__{section}__{key}".upper().replace(".", "_")
        if name in os.environ:
            return os.environ[name]
        if fallback is not _UNSET:
            return fallback
        if (section, key) not in _USUAL:
            raise NoAirflowConf(section, key)
        return _USUAL[section, key]

    def getboolean(self, section: str, key: str, **more: Any) -> bool:
        """Whether it says yes."""
        found = str(self.get(section, key, **more)).strip().lower()
        return found in ("true", "t", "yes", "1", "on")

    def getint(self, section: str, key: str, **more: Any) -> int:
        """As a whole number."""
        return int(self.get(section, key, **more))

    def getfloat(self, section: str, key: str, **more: Any) -> float:
        """As a number."""
        return float(self.get(section, key, **more))

    def has_option(self, section: str, key: str) -> bool:
        """Whether anything is known."""
        return self.get(section, key, fallback=None) is not None


conf: Final = Conf()
get, getboolean, getint, getfloat = conf.get, conf.getboolean, conf.getint, conf.getfloat
