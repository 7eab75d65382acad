"""The import hook: answers `airflow` and everything below it, from the tables in `names`.

Modules are made when they are imported and names when they are asked for, so that a file
loads only what it uses. While nobody answers, `sys.modules` is as it was before.
"""

from __future__ import annotations

import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of
from types import FrameType, ModuleType
from typing import Any

from mlflowkit.compat.airflow import names, switches
from mlflowkit.compat.airflow.missing import NameMissing, missing, persons_place
from mlflowkit.errors import AirflowFeatureMissing

NAME = "airflow"


def installed_version() -> str:
    """The version of the Airflow that is installed here; empty if there is none."""
    try:
        return version_of("apache-airflow")
    except PackageNotFoundError:
        return "(of an unknown version)" if PathFinder.find_spec(NAME) else ""


class AirflowFinder(MetaPathFinder):
    """Finds the modules that stand for Airflow's.

    Args:
        version: Whose meaning they have: 2 or 3. None: each module that of its own time.
    """

    def __init__(self, version: int | None) -> None:
        self.version = version

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] != NAME:
            return None
        if fullname not in names.MODULES or self._too_new(fullname):
            raise missing(fullname, self._todo(fullname))
        spec = ModuleSpec(fullname, AirflowLoader(self.version), is_package=True)
        spec.submodule_search_locations = []
        return spec

    def _too_new(self, fullname: str) -> bool:
        return self.version == 2 and f"{fullname}.".startswith("airflow.sdk.")

    def _todo(self, fullname: str) -> str:
        if self._too_new(fullname):
            return "it is of Airflow 3, and this file is run as Airflow 2 would"
        return names.todo_for(fullname)


class AirflowLoader(Loader):
    """Makes such a module."""

    def __init__(self, version: int | None) -> None:
        self._version = version

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return AirflowModule(spec.name, self._version)

    def exec_module(self, module: ModuleType) -> None:
        """There is nothing to execute: its names are found when they are asked for."""


class AirflowModule(ModuleType):
    """A module of Airflow's, with our names in it."""

    def __init__(self, name: str, version: int | None) -> None:
        super().__init__(name, f"Stands for Airflow's {name}.")
        self.__dict__["_version"] = version
        self.__dict__["__all__"] = sorted(names.MODULES[name])

    def __getattr__(self, name: str) -> Any:
        known = names.MODULES[self.__name__]
        if name in known:
            value = names.resolve(known[name], self.__dict__["_version"])
        elif f"{self.__name__}.{name}" in names.MODULES:
            value = import_module(f"{self.__name__}.{name}")
        else:
            return self._unknown(name)
        self.__dict__[name] = value
        return value

    def _unknown(self, name: str) -> Any:
        """An error for the person who wrote the name; a short one for those that only look."""
        full = f"{self.__name__}.{name}"
        if name.startswith("_") or not asked_by_a_person(sys._getframe(2)):  # pyright: ignore[reportPrivateUsage]
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        raise NameMissing(missing(full, names.todo_for(full)))

    def __reduce__(self) -> tuple[Any, ...]:
        return import_module, (self.__name__,)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *names.MODULES[self.__name__]]


def asked_by_a_person(frame: FrameType | None) -> bool:
    """Whether a file or a cell of a person has this frame, and no library."""
    name = frame.f_code.co_filename if frame is not None else "<frozen "
    return persons_place(frame)[0] == name and not any(
        part in name
        for part in ("site-packages", "dist-packages", f"{sys.base_prefix}/lib/")
    )


# ── on and off ──

_stood_aside: dict[str, ModuleType] = {}


def answering_now() -> AirflowFinder | None:
    """The hook that is in place, if there is one."""
    found = (one for one in sys.meta_path if isinstance(one, AirflowFinder))
    return next(found, None)


def answer(version: int | None) -> None:
    """Answer `airflow…` from now on, in this process."""
    now = answering_now()
    if now is not None and now.version == version:
        return
    stop_answering()
    _stood_aside.update(_take_out())
    sys.meta_path.insert(0, AirflowFinder(version))
    switches.turn_on(version)


def stop_answering() -> None:
    """Answer no more; an Airflow that is installed is found again."""
    now = answering_now()
    if now is None:
        return
    sys.meta_path.remove(now)
    _take_out()
    sys.modules.update(_stood_aside)
    _stood_aside.clear()
    switches.turn_off()


def _take_out() -> dict[str, ModuleType]:
    found = [n for n in sys.modules if n == NAME or n.startswith(f"{NAME}.")]
    return {name: sys.modules.pop(name) for name in found}


@contextmanager
def answering(version: int | None) -> Generator[None, None, None]:
    """Answer `airflow…` inside; afterwards it is as it was before."""
    before = answering_now()
    answer(version)
    try:
        yield
    finally:
        if before is None:
            stop_answering()
        else:
            answer(before.version)


__all__ = [
    "AirflowFeatureMissing",
    "AirflowFinder",
    "answer",
    "answering",
    "stop_answering",
]
