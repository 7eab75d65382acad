"""A task as a node of its DAG's graph: the DAG and group it is in, and what it waits for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, cast

from mlflowkit.authoring import opened
from mlflowkit.authoring.arrows import Arrows
from mlflowkit.authoring.refs import Ref, XComArg
from mlflowkit.authoring.scopes import Markable, note_task
from mlflowkit.errors import DifferentDags

if TYPE_CHECKING:
    from mlflowkit.authoring.dag import DAG
    from mlflowkit.authoring.group import TaskGroup
    from mlflowkit.authoring.operator import BaseOperator


class Node(Arrows, Markable):
    """What a task is in its DAG. Only while the DAG is written: workers have none."""

    task_id: str
    _dag: DAG | None
    _group: TaskGroup | None
    _upstream: dict[str, BaseOperator]
    _labels: dict[str, str]

    def refs(self) -> Iterator[Ref]:
        """The stand-ins that it holds."""
        raise NotImplementedError

    @property
    def dag(self) -> DAG | None:
        return self._dag

    @property
    def task_group(self) -> TaskGroup | None:
        return self._group

    @property
    def label(self) -> str:
        """Its id without the prefix of its group."""
        prefix = self._group.child_id("") if self._group else ""
        return self.task_id.removeprefix(prefix)

    @property
    def _me(self) -> BaseOperator:
        return cast("BaseOperator", self)

    def joined(self) -> list[BaseOperator]:
        return [self._me]

    def enter_dag(self, dag: DAG | None) -> None:
        """Become a task of `dag`, once."""
        if dag is not None and self._dag is None:
            dag.add(self._me)
            self._dag = dag
            if self._group is not None:
                self._group.take(self._me)
            note_task(self._me)

    def wait_for(self, others: Iterable[BaseOperator]) -> None:
        """Start only after all of `others`."""
        for other in others:
            self._same_dag(other)
            self._upstream[other.task_id] = other
        if self._dag is not None and not opened.is_open(self._dag):
            self._dag.check_graph()

    def _same_dag(self, other: BaseOperator) -> None:
        self.enter_dag(other.dag)
        other.enter_dag(self._dag)
        if self._dag is not other.dag:
            mine, theirs = (d.dag_id if d else "" for d in (self._dag, other.dag))
            raise DifferentDags(self.task_id, mine, other.task_id, theirs)

    def upstream(self) -> tuple[str, ...]:
        """Ids of all tasks it waits for: those joined by arrows, then those it takes from."""
        found = dict.fromkeys(self._upstream)
        for ref in self.refs():
            if isinstance(ref, XComArg):
                self._same_dag(ref.operator)
                found[ref.task_id] = None
        return tuple(found)

    @property
    def upstream_task_ids(self) -> set[str]:
        return set(self.upstream())

    @property
    def upstream_list(self) -> list[BaseOperator]:
        names = self.upstream()
        return [self._dag.get_task(name) for name in names] if self._dag else []

    @property
    def downstream_list(self) -> list[BaseOperator]:
        tasks: Sequence[BaseOperator] = self._dag.tasks if self._dag else ()
        return [t for t in tasks if self.task_id in t.upstream()]

    @property
    def downstream_task_ids(self) -> set[str]:
        return {task.task_id for task in self.downstream_list}

    def note_label(self, above: BaseOperator, text: str) -> None:
        """Write `text` at the arrow from `above`."""
        self._labels[above.task_id] = text

    @property
    def edge_labels(self) -> Mapping[str, str]:
        """What is written at the arrows from the tasks it waits for, by their id."""
        return self._labels
