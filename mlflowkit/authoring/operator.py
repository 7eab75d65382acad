"""BaseOperator: what every task is, and the options that every task has."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Final, Unpack

from mlflowkit.authoring.defaults import (
    OperatorType,
    accepted_options,
    surroundings_of,
)
from mlflowkit.authoring.fill import as_data, fill
from mlflowkit.authoring.ids import ID_LIMIT_BYTES, checked_id
from mlflowkit.authoring.late_options import LateOptions
from mlflowkit.authoring.meaning import meant_by_name
from mlflowkit.authoring.node import Node
from mlflowkit.authoring.option_values import seconds
from mlflowkit.authoring.options import (
    OPTION_NAMES,
    OWN_ATTRIBUTES,
    TASK_OPTIONS,
    TaskOptions,
    checked_options,
)
from mlflowkit.authoring.params import task_params
from mlflowkit.authoring.refs import MappedArg, Ref, XComArg, refs_in, replaced
from mlflowkit.authoring.schedule import aware
from mlflowkit.core.spec import RetryPolicy
from mlflowkit.core.trigger_rule import TriggerRule
from mlflowkit.errors import BadOption, CannotExpand, UnknownOption

if TYPE_CHECKING:
    from mlflowkit.authoring.dag import DAG
    from mlflowkit.authoring.group import TaskGroup
    from mlflowkit.authoring.mapping import OperatorPartial
    from mlflowkit.authoring.template import Templates

__all__ = [
    "ID_LIMIT_BYTES",
    "TASK_OPTIONS",
    "BaseOperator",
    "accepted_options",
    "checked_id",
    "seconds",
]
#: Attributes that are about a task, rather than arguments of what it does.
_OWN: Final = OWN_ATTRIBUTES | {"axes", "group_axes"}


class BaseOperator(Node, LateOptions, metaclass=OperatorType):
    """One task of a DAG. Subclasses do their work in `execute(context)`.

    Attributes that hold outputs of other tasks or parameters of the DAG, at any depth,
    hold the real values when `execute` is called. The options of every task are those of
    `options.TaskOptions`; in a task group, `task_id` gets the group's prefix.

    Raises:
        UnknownOption, BadOption, OptionNotHere: an option that it cannot take.
    """

    #: The name people see; the class's own if empty.
    shown_as: ClassVar[str] = ""
    #: Attributes whose strings are templates, at any depth.
    template_fields: ClassVar[Sequence[str]] = ()
    #: Endings of texts that name a file, whose content is the template.
    template_ext: ClassVar[Sequence[str]] = ()
    #: How screens show a field, by its name: Airflow's; nothing here reads it.
    template_fields_renderers: ClassVar[Mapping[str, str]] = {}
    #: How long an error or an interruption may wait: see `options.TaskOptions`.
    execution_timeout: timedelta | None
    isolate: bool
    owner: str
    trigger_rule: TriggerRule | str
    depends_on_past: bool
    wait_for_downstream: bool
    #: Its own; what its weight rule makes of all below or above it is in the DagSpec.
    priority_weight: int
    weight_rule: str
    pool: str
    pool_slots: int
    max_active_tis_per_dag: int | None
    max_active_tis_per_dagrun: int | None
    outlets: list[Any]
    inlets: list[Any]
    #: How long a result counts for equal code and inputs.
    result_cache: timedelta | None
    map_index_template: str
    do_xcom_push: bool
    #: Whether a second try does no harm; only for `mlflowkit dags lint`.
    idempotent: bool
    task_display_name: str
    #: The functions given as `pre_execute` and `post_execute`.
    _hooks: dict[str, Callable[..., object]]

    def __init__(
        self,
        task_id: str,
        *,
        dag: DAG | None = None,
        task_group: TaskGroup | None = None,
        default_args: Mapping[str, object] | None = None,
        **options: Unpack[TaskOptions],
    ) -> None:
        for name in options:
            if name not in OPTION_NAMES:
                kind = type(self)
                raise UnknownOption(kind.__name__, name, accepted_options(kind))
        dag, group = surroundings_of({"dag": dag, "task_group": task_group})
        label = checked_id("task", "task_id", task_id)
        self.task_id = label if group is None else group.child_id(label)
        where = f"task {self.task_id!r}"
        self.retry = RetryPolicy()
        vars(self).update(checked_options(where, options))
        _check_dates(where, dag, options)
        own_params = options.get("params")
        if own_params:
            self.params: Any = task_params(where, own_params)
        self.is_setup = self.is_teardown = self.on_failure_fail_dagrun = False
        #: Arguments that it is mapped over: values written in the DAG, or outputs.
        self.axes: dict[str, object] = {}
        #: Arguments that the task group around it is mapped over.
        self.group_axes: Mapping[str, object] = group.mapped_over() if group else {}
        self._dag: DAG | None = None
        self._group = group
        self._upstream: dict[str, BaseOperator] = {}
        #: What is written at the arrows from those it waits for.
        self._labels: dict[str, str] = {}
        self._given: tuple[object, ...] = meant_by_name(type(self))

    def execute(self, context: Mapping[str, Any]) -> object:
        """Do the work. What it returns is the task's XCom."""
        raise NotImplementedError(f"{type(self).__name__} has no execute(context)")

    @staticmethod
    def xcom_push(context: Mapping[str, Any], key: str, value: object) -> None:
        """`context["ti"].xcom_push(...)`: as classic operators write it."""
        context["ti"].xcom_push(key, value)

    @staticmethod
    def xcom_pull(context: Mapping[str, Any], task_ids: Any = None, **options: Any) -> Any:
        """`context["ti"].xcom_pull(...)`: as classic operators write it."""
        return context["ti"].xcom_pull(task_ids, **options)

    def pre_execute(self, context: Mapping[str, Any]) -> None:
        """Called right before `execute`, with rendered arguments: the function of that name."""
        if "pre_execute" in self._hooks:
            self._hooks["pre_execute"](context)

    def post_execute(self, context: Mapping[str, Any], result: Any = None) -> None:
        """Called right after `execute`, with what that returned: the function of that name.

        What it raises fails the task.
        """
        if "post_execute" in self._hooks:
            self._hooks["post_execute"](context, result)

    @property
    def has_hooks(self) -> bool:
        """Whether something is called around `execute`."""
        own = type(self).pre_execute, type(self).post_execute
        return bool(self._hooks) or own != (
            BaseOperator.pre_execute,
            BaseOperator.post_execute,
        )

    @property
    def inert(self) -> bool:
        """Whether it does nothing at all, so that no worker is needed."""
        return False

    def on_kill(self) -> None:
        """Called when the task is ended from outside, to let go of what it holds."""

    @classmethod
    def partial(cls, task_id: str, **options: object) -> OperatorPartial:
        """The arguments that all instances of a mapped task share; `.expand()` comes next."""
        from mlflowkit.authoring.mapping import OperatorPartial

        return OperatorPartial(cls, task_id, options)

    @property
    def output(self) -> XComArg:
        return XComArg(self)

    def check_output(self, key: str) -> None:
        """Raises an error if it is known that the task gives no XCom of this name."""

    def gives(self, key: str) -> tuple[str, str]:
        """The annotation of an XCom of one instance, and what says it; empty: not known."""
        del key
        return "", ""

    @property
    def log(self) -> logging.Logger:
        """Where it may say what it does: the log of its task."""
        return logging.getLogger(f"mlflowkit.task.{self.task_id}")

    @property
    def operator_name(self) -> str:
        return self.shown_as or type(self).__name__

    # ── arguments ──

    def was_given(self, value: object) -> bool:
        """Is it a function or class of `__main__` that it runs, named so when it was made?"""
        return any(one is value for one in self._given)

    def arguments(self) -> dict[str, object]:
        """What it was given to do its work: every attribute that is not an option."""
        return {k: v for k, v in vars(self).items() if k not in _OWN and k[0] != "_"}

    def refs(self) -> Iterator[Ref]:
        """The stand-ins in its arguments, then those that it is mapped over.

        One for an argument of a mapped group is followed by those it is made of.
        """
        for ref in refs_in([self.arguments(), self.axes]):
            yield ref
            if isinstance(ref, MappedArg):
                yield from refs_in(dict(self.group_axes))

    def rendered(
        self,
        give: Callable[[Ref], object],
        mapped: Mapping[str, object],
        templates: Templates | None = None,
    ) -> BaseOperator:
        """A copy with real values in the place of stand-ins, for one task instance.

        Strings of its `template_fields` are rendered, if `templates` says how.
        """
        ready = copy.copy(self)
        own: Mapping[str, object] = {} if self.group_axes else mapped
        if own:
            ready.take_mapped(as_data(own, self.axes))
        fill(ready, self.with_group_values(give, mapped), templates, mapped=bool(own))
        return ready

    def with_group_values(
        self, give: Callable[[Ref], object], mapped: Mapping[str, object]
    ) -> Callable[[Ref], object]:
        """`give` that also knows the arguments of the mapped group around the task."""

        def known(ref: Ref) -> object:
            if not isinstance(ref, MappedArg):
                return give(ref)
            return replaced(ref.item_of(mapped, f"task {self.task_id!r}"), give)

        return known if self.group_axes else give

    def take_mapped(self, mapped: Mapping[str, object]) -> None:
        """Take the arguments of one mapped instance."""
        raise CannotExpand(f"task {self.task_id!r}", "its operator has no mapped arguments")

    def __getstate__(self) -> dict[str, Any]:
        left_out: dict[str, Any] = {
            "_dag": None,
            "_group": None,
            "_upstream": {},
            "_labels": {},
        }
        return {**vars(self), **left_out, "_given": ()}

    def __repr__(self) -> str:
        return f"<{self.operator_name} {self.task_id}>"


def _check_dates(where: str, dag: DAG | None, options: TaskOptions) -> None:
    """Dates are the DAG's: a task may only repeat them."""
    for name in ("start_date", "end_date"):
        given = options.get(name)
        if (
            given is not None
            and dag is not None
            and aware(where, given) != getattr(dag, name)
        ):
            raise BadOption(where, name, "differs from the DAG's; give it to the DAG")
