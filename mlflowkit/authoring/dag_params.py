"""`dag.params`: the parameters of a DAG, as stand-ins for a run's values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from mlflowkit.authoring.refs import ParamRef
from mlflowkit.core.spec import ParamSpec
from mlflowkit.errors import UnknownParameter


class DagParams(Mapping[str, ParamRef]):
    """The parameters of a DAG, as stand-ins for their values."""

    def __init__(self, dag_id: str, known: Mapping[str, ParamSpec]) -> None:
        self._dag_id, self._known = dag_id, known

    def __getitem__(self, name: str) -> ParamRef:
        if name not in self._known:
            raise UnknownParameter(f"DAG {self._dag_id!r}", name, self._known)
        return ParamRef(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)

    def __contains__(self, name: object) -> bool:
        return name in self._known
