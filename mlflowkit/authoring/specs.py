"""From a DAG to its `DagSpec`: the graph as plain data, with nothing of what tasks do."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from mlflowkit.authoring.axes import expansion_of
from mlflowkit.authoring.operator import BaseOperator
from mlflowkit.authoring.option_values import trigger_rule_of, uris_of
from mlflowkit.authoring.params import check_scheduled
from mlflowkit.authoring.refs import XComArg, refs_in
from mlflowkit.authoring.weights import effective_weights
from mlflowkit.core.spec import (
    DagId,
    DagSpec,
    EdgeLabel,
    GroupSpec,
    TaskId,
    TaskSpec,
    XComRef,
)
from mlflowkit.core.trigger_rule import TriggerRule
from mlflowkit.errors import BadOption

if TYPE_CHECKING:
    from mlflowkit.authoring.dag import DAG


def spec_of(dag: DAG) -> DagSpec:
    """The DAG as plain data, without fingerprints (a bundle has those).

    Raises:
        CycleFound, UnknownUpstream, DifferentDags: it cannot be drawn.
        ScheduledWithoutDefault: it has a schedule, and a parameter without a default.
        BadOption: a trigger rule does not go with a setup or with fail_fast.
    """
    if dag.schedule is not None:
        check_scheduled(dag.dag_id, dag.param_specs)
    upstream = {task.task_id: task.upstream() for task in dag.tasks}
    expanded = _expanded_keys(dag.tasks)
    weights = effective_weights(dag.tasks, upstream)
    tasks = {
        TaskId(task.task_id): _task_spec(
            task,
            upstream[task.task_id],
            expanded.get(task.task_id, {}),
            weights[task.task_id],
        )
        for task in dag.tasks
    }
    spec = DagSpec(
        dag_id=DagId(dag.dag_id),
        tasks=tasks,
        params=dag.param_specs,
        schedule=dag.schedule,
        timetable_json=dag.timetable_json,
        start_date=dag.start_date,
        end_date=dag.end_date,
        catchup=dag.catchup,
        max_active_runs=dag.max_active_runs,
        max_active_tasks=dag.max_active_tasks,
        dagrun_timeout=dag.dagrun_timeout,
        fail_fast=dag.fail_fast,
        callbacks=tuple(dag.callbacks),
        groups=_groups(dag),
        edge_labels=_edge_labels(dag.tasks),
        owner=_owner(dag),
        description=dag.description or dag.doc_md,
        tags=dag.tags,
        origin=dag.origin,
    )
    _check_rules(spec)
    return spec


def _task_spec(
    task: BaseOperator, upstream: Sequence[str], expanded: dict[str, None], weight: int
) -> TaskSpec:
    group = task.task_group
    return TaskSpec(
        task_id=TaskId(task.task_id),
        operator=task.operator_name,
        upstream=tuple(TaskId(name) for name in upstream),
        inputs=inputs_of(task),
        expansion=expansion_of(task),
        expanded_keys=tuple(expanded),
        retry=task.retry,
        execution_timeout=task.execution_timeout,
        trigger_rule=trigger_rule_of(f"task {task.task_id!r}", task.trigger_rule),
        setup=task.is_setup,
        teardown=task.is_teardown,
        on_failure_fail_dagrun=task.on_failure_fail_dagrun,
        mapped_group=group.mapped_id if group else "",
        pool=task.pool,
        pool_slots=task.pool_slots,
        priority_weight=weight,
        depends_on_past=task.depends_on_past,
        wait_for_downstream=task.wait_for_downstream,
        max_active_tis_per_dag=task.max_active_tis_per_dag,
        max_active_tis_per_dagrun=task.max_active_tis_per_dagrun,
        callbacks=tuple(kind for kind in task.callbacks if kind != "execute"),
        outlets=uris_of(task.outlets),
        inlets=uris_of(task.inlets),
        cache=task.result_cache,
        map_index_template=task.map_index_template,
        owner=task.owner,
        inert=task.inert,
        isolate=task.isolate,
        doc=task.doc,
    )


def _groups(dag: DAG) -> Mapping[str, GroupSpec]:
    return {name: group.spec() for name, group in dag.groups.items()}


def _edge_labels(tasks: Sequence[BaseOperator]) -> tuple[EdgeLabel, ...]:
    return tuple(
        EdgeLabel(TaskId(above), TaskId(task.task_id), text)
        for task in tasks
        for above, text in task.edge_labels.items()
    )


def _owner(dag: DAG) -> str:
    """The DAG's own, or those of its tasks."""
    given = dag.owner or str(dag.default_args.get("owner") or "")
    return given or ", ".join(dict.fromkeys(t.owner for t in dag.tasks if t.owner))


def _check_rules(spec: DagSpec) -> None:
    for task in spec.tasks.values():
        where, rule = f"task {task.task_id!r}", task.trigger_rule
        plain = rule is TriggerRule.ALL_SUCCESS
        setups = [up for up in task.upstream if spec.tasks[up].setup]
        if setups and not plain and not task.teardown:
            why = f"must be 'all_success' directly below the setup {setups[0]!r}"
            raise BadOption(where, "trigger_rule", why)
        if spec.fail_fast and not plain and rule is not TriggerRule.ALL_DONE_SETUP_SUCCESS:
            why = "must be 'all_success' in a DAG with fail_fast"
            raise BadOption(where, "trigger_rule", why)


def inputs_of(task: BaseOperator) -> tuple[XComRef, ...]:
    """The XComs that it takes whole: all but the outputs that it is mapped over."""
    found: dict[XComRef, None] = {}
    over = {**task.axes, **task.group_axes}
    written: list[object] = [one for one in over.values() if not _sources(one)]
    for ref in refs_in([*task.arguments().values(), *written]):
        if isinstance(ref, XComArg):
            found[ref.ref] = None
    return tuple(found)


def _expanded_keys(tasks: Sequence[BaseOperator]) -> dict[str, dict[str, None]]:
    """Values whose items are counted: what a mapped task gives is one item per instance."""
    found: dict[str, dict[str, None]] = defaultdict(dict)
    for task in tasks:
        for axis in {**task.axes, **task.group_axes}.values():
            for ref in _sources(axis):
                if not ref.operator.axes and not ref.operator.group_axes:
                    found[ref.task_id][ref.key] = None
    return found


def _sources(axis: object) -> list[XComArg]:
    """The outputs that say how long an axis is."""
    if isinstance(axis, (list, tuple, dict, range)):
        return []
    return [ref for ref in refs_in(axis) if isinstance(ref, XComArg)]
