"""Task groups: tasks that belong together, under one prefix and one pair of arrows.

A mapped group is one whose tasks are all mapped over the same items: instance i of each
belongs to item i.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any

from mlflowkit.authoring import open_groups, opened
from mlflowkit.authoring.arrows import Arrows
from mlflowkit.authoring.defaults import checked_defaults, default_args_of
from mlflowkit.authoring.group_ends import leaves_of, roots_of
from mlflowkit.authoring.ids import checked_id
from mlflowkit.authoring.refs import XComArg, refs_in
from mlflowkit.core.spec import GroupSpec, TaskId
from mlflowkit.core.trigger_rule import TriggerRule
from mlflowkit.errors import BadOption, DuplicateGroupId, NoDagOpen, NoSuchMember

if TYPE_CHECKING:
    from mlflowkit.authoring.dag import DAG
    from mlflowkit.authoring.operator import BaseOperator


class TaskGroup(Arrows):
    """Tasks that belong together: `with TaskGroup("load") as load:`, then `start >> load`.

    Args:
        group_id: What its tasks are called by, before a dot.
        prefix_group_id: Whether the ids of what is inside begin with `group_id`.
        parent_group: The group around it; the open one if None.
        default_args: Options of its tasks; they win over the DAG's.
        tooltip: For people, beside the docstring of a function under `@task_group`.
        add_suffix_on_collision: `load__1` if `load` is taken, instead of an error.
        ui_color: Taken for Airflow's sake, as is ui_fgcolor.

    Raises:
        NoDagOpen: no DAG is being written.
        DuplicateGroupId: a task or a group has this id.
    """

    def __init__(
        self,
        group_id: str,
        prefix_group_id: bool = True,
        parent_group: TaskGroup | None = None,
        dag: DAG | None = None,
        default_args: Mapping[str, Any] | None = None,
        tooltip: str = "",
        *,
        add_suffix_on_collision: bool = False,
        group_display_name: str = "",
        ui_color: str = "",
        ui_fgcolor: str = "",
    ) -> None:
        around = parent_group.dag if parent_group else dag or opened.current_dag()
        if around is None:
            raise NoDagOpen(f"task group {group_id!r}", "")
        self.dag: DAG = around
        self.parent_group = parent_group or open_groups.current_group(around)
        self.prefix_group_id = prefix_group_id
        self.own_id = checked_id("task group", "group_id", group_id)
        if add_suffix_on_collision:
            self.own_id = around.free_task_id(self.own_id, self.parent_group)
        parent = self.parent_group
        self.group_id = parent.child_id(self.own_id) if parent else self.own_id
        self.label = group_display_name or self.own_id
        self.tooltip = tooltip
        inherited = default_args_of(around, parent)
        own = checked_defaults(f"task group {self.group_id!r}", default_args or {})
        self.default_args: dict[str, Any] = {**inherited, **own}
        #: Its tasks and groups, by id, in the order they were written.
        self.children: dict[str, BaseOperator | TaskGroup] = {}
        self._before: list[BaseOperator] = []
        around.add_group(self)
        if parent is not None:
            parent.children[self.group_id] = self

    # ── writing it ──

    def __enter__(self) -> TaskGroup:
        open_groups.enter(self)
        if not opened.is_open(self.dag):
            opened.enter(self.dag)
            self._opened_dag = True
        return self

    _opened_dag = False

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        open_groups.leave(self)
        if self._opened_dag:
            self._opened_dag = False
            opened.leave(self.dag)

    def take(self, task: BaseOperator) -> None:
        """A task was made inside."""
        self.children[task.task_id] = task

    def child_id(self, label: str) -> str:
        """The id of a task or group inside, from the one it was given."""
        if self.prefix_group_id:
            return f"{self.group_id}.{label}"
        return label

    def mapped_over(self) -> Mapping[str, object]:
        """What its tasks are mapped over: its own arguments, or those of a group around it."""
        return self.parent_group.mapped_over() if self.parent_group else {}

    @property
    def mapped_id(self) -> str:
        """The id of the mapped group that it is or stands in; empty if there is none."""
        return self.parent_group.mapped_id if self.parent_group else ""

    # ── reading it ──

    def __iter__(self) -> Iterator[BaseOperator]:
        """All its tasks, those in groups inside it, too."""
        for child in self.children.values():
            if isinstance(child, TaskGroup):
                yield from child
            else:
                yield child

    def __getitem__(self, label: str) -> BaseOperator | TaskGroup:
        """What has this id inside it, without its prefix. Raises NoSuchMember."""
        found = self.children.get(self.child_id(label))
        if found is None:
            raise NoSuchMember(self.group_id, label, self.children)
        return found

    def joined(self) -> list[BaseOperator]:
        return list(self)

    def firsts(self) -> list[BaseOperator]:
        return roots_of(list(self))

    def lasts(self) -> list[BaseOperator]:
        tasks = list(self)
        return leaves_of(tasks) if tasks else self._before

    def came_after(self, tasks: list[BaseOperator]) -> None:
        """An empty group hands on what it waits for to what is after it."""
        self._before += tasks

    @property
    def roots(self) -> list[BaseOperator]:
        """The tasks that wait for none of the others."""
        return self.firsts()

    @property
    def leaves(self) -> list[BaseOperator]:
        """The tasks that none of the others waits for, teardowns left out."""
        return self.lasts()

    def spec(self) -> GroupSpec:
        """The group as plain data."""
        tasks = [c for c in self.children.values() if not isinstance(c, TaskGroup)]
        return GroupSpec(
            group_id=self.group_id,
            parent=self.parent_group.group_id if self.parent_group else "",
            label=self.label,
            tooltip=self.tooltip,
            mapped=isinstance(self, MappedTaskGroup),
            tasks=tuple(TaskId(task.task_id) for task in tasks),
        )

    def __repr__(self) -> str:
        return f"<TaskGroup {self.group_id}>"


class MappedTaskGroup(TaskGroup):
    """A group whose tasks run once for each item: made by `.expand()` of a `@task_group`."""

    def __init__(
        self, group_id: str, *, axes: Mapping[str, object], **options: Any
    ) -> None:
        super().__init__(group_id, **options)
        self.axes = dict(axes)

    def mapped_over(self) -> Mapping[str, object]:
        return self.axes

    @property
    def mapped_id(self) -> str:
        return self.group_id

    def take(self, task: BaseOperator) -> None:
        super().take(task)
        refuse_always(task)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Its first tasks wait for the tasks that give its items."""
        if kind is None:
            self.set_upstream([r for r in refs_in(self.axes) if isinstance(r, XComArg)])
        super().__exit__(kind, error, trace)


def refuse_always(task: BaseOperator) -> None:
    """Raises BadOption for a task that would not wait for the items it is mapped over."""
    if task.trigger_rule == TriggerRule.ALWAYS:
        why = "cannot be 'always' in a mapped task group: its items come from other tasks"
        raise BadOption(f"task {task.task_id!r}", "trigger_rule", why)


def add_group(groups: dict[str, TaskGroup], group: TaskGroup, task_ids: object) -> None:
    """Take a group into those of its DAG.

    Raises:
        DuplicateGroupId: a task or a group has its id.
    """
    taken = group.group_id in groups or group.group_id in task_ids  # type: ignore[operator]  # pyright: ignore
    if taken:
        raise DuplicateGroupId(group.dag.dag_id, group.group_id)
    groups[group.group_id] = group
