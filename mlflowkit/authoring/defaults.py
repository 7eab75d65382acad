"""How operators are made: what `default_args` fill in, and which options a class takes."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import Parameter, signature
from typing import TYPE_CHECKING, Any, Final

from mlflowkit.authoring import opened
from mlflowkit.authoring.open_groups import current_group
from mlflowkit.authoring.options import OPTION_NAMES, TASK_OPTIONS
from mlflowkit.errors import NotAnOperator, UnknownOption, suggest

if TYPE_CHECKING:
    from mlflowkit.authoring.dag import DAG
    from mlflowkit.authoring.group import TaskGroup

    OperatorType = type
else:

    class OperatorType(type):
        """Fills in `default_args`, for the options that a class has and was not given."""

        def __call__(cls, *args: object, **options: Any) -> Any:
            dag, group = surroundings_of(options)
            defaults = {**default_args_of(dag, group), **_own_defaults(options)}
            if defaults:
                positional = list(signature(cls.__init__).parameters)[1 : len(args) + 1]
                given = {*options, *positional}
                options = {**filling(cls, defaults, given), **options}
            made = super().__call__(*args, **options)
            if isinstance(made, cls):
                if "_upstream" not in vars(made):
                    raise NotAnOperator(cls.__name__, "super().__init__")
                made.enter_dag(dag)
            return made


#: Of the DAG, though they are usually written into `default_args`.
_OF_THE_DAG: Final = frozenset({"start_date", "end_date"})
#: What the constructor of every operator takes, beside the options of `options.TaskOptions`.
_ALWAYS: Final = frozenset({"task_id", "dag", "task_group", "default_args"})


def surroundings_of(options: Mapping[str, Any]) -> tuple[DAG | None, TaskGroup | None]:
    """The DAG and the group that a task with these options becomes part of."""
    group: TaskGroup | None = options.get("task_group")
    dag = options.get("dag") or (group.dag if group else opened.current_dag())
    return dag, group or current_group(dag)


def default_args_of(dag: DAG | None, group: TaskGroup | None) -> dict[str, Any]:
    """Options of all tasks there: the group's win over those of what is around it."""
    if group is not None:
        return group.default_args
    return dag.default_args if dag is not None else {}


def filling(cls: type, defaults: Mapping[str, Any], given: set[str]) -> dict[str, Any]:
    """Those of `defaults` that the class takes and was not given."""
    taken = accepted_options(cls) - _OF_THE_DAG - given
    return {k: v for k, v in defaults.items() if k in taken}


def accepted_options(cls: type) -> set[str]:
    """Every keyword that the class or one of its bases takes."""
    found = {*_ALWAYS, *OPTION_NAMES}
    for base in cls.__mro__:
        if base is not object and "__init__" in vars(base):
            named = signature(vars(base)["__init__"]).parameters.values()
            found |= {p.name for p in named if p.kind is not Parameter.VAR_KEYWORD}
    return found - {"self", "args"}


def checked_defaults(where: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Options for all tasks.

    Raises:
        UnknownOption: a name looks like a misspelt option.
    """
    for name in given:
        if name not in OPTION_NAMES | _ALWAYS and suggest(name, TASK_OPTIONS):
            raise UnknownOption(f"default_args of {where}", name, TASK_OPTIONS)
    return dict(given)


def _own_defaults(options: Mapping[str, object]) -> Mapping[str, object]:
    given = options.get("default_args")
    return given if isinstance(given, dict) else {}  # pyright: ignore[reportUnknownVariableType]
