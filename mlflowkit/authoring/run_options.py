"""The keywords of `dag.run()`: options of a run, or parameters of the DAG, never both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from mlflowkit.authoring.options import TASK_OPTIONS
from mlflowkit.errors import BadOption, UnknownParameter

if TYPE_CHECKING:
    from mlflowkit.authoring.dag import DAG

#: Options of `dag.run()`; every other keyword is a parameter of the DAG.
RUN_OPTIONS: Final = frozenset(
    {"retries", "retry_delay", "refresh", "wait", "logical_date"}
)
#: What belongs elsewhere, and what to do there.
_ELSEWHERE: Final = {
    "code": "belongs to retry(), as in run.retry(code='same'): "
    "run() takes the code as it is now",
}


def joined_params(
    dag: DAG, params: Mapping[str, object] | None, more: Mapping[str, object]
) -> dict[str, object]:
    """Parameters given as a mapping and those given as keywords.

    Raises:
        UnknownParameter: the DAG has none of that name.
        BadOption: one is given twice, or its name is reserved.
    """
    twice = sorted(set(params or {}) & set(more))
    where = f"DAG {dag.dag_id!r}"
    if twice:
        raise BadOption(
            where, twice[0], "is given as a keyword and in params: give it once"
        )
    known = [param.name for param in dag.param_specs]
    for name in more:
        if name not in known and name in _ELSEWHERE:
            raise BadOption(where, name, _ELSEWHERE[name])
        if name not in known:
            raise UnknownParameter(where, name, [*known, *RUN_OPTIONS])
        if name in TASK_OPTIONS | RUN_OPTIONS:
            raise BadOption(where, name, f"is reserved: use params={{{name!r}: ...}}")
    return {**(params or {}), **more}


def refuse_clashes(dag: DAG, options: Mapping[str, object], of: str = "run()") -> None:
    """Raises BadOption for an option of run() that is a parameter of the DAG, too."""
    known = {param.name for param in dag.param_specs}
    for name in options:
        if name in known:
            raise BadOption(
                f"DAG {dag.dag_id!r}",
                name,
                f"is an option of {of} and a parameter of the DAG: "
                f"for the parameter, use params={{{name!r}: ...}}",
            )
