"""Setup and teardown: marking tasks as such, and `with teardown:` around the work between."""

from __future__ import annotations

from collections.abc import Iterable
from contextvars import ContextVar
from types import TracebackType
from typing import TYPE_CHECKING, Self, cast

from mlflowkit.core.trigger_rule import TriggerRule
from mlflowkit.errors import BadOption

if TYPE_CHECKING:
    from mlflowkit.authoring.operator import BaseOperator


class Markable:
    """A task, or its output: can be marked as setup or teardown, and put around others."""

    def joined(self) -> list[BaseOperator]:
        raise NotImplementedError

    def as_setup(self) -> Self:
        """Mark it as a setup: it makes ready what others need.

        Raises:
            BadOption: it is a teardown.
        """
        for task in self.joined():
            if task.is_teardown:
                raise BadOption(
                    f"task {task.task_id!r}", "as_setup", "is a teardown already"
                )
            task.is_setup = True
        return self

    def as_teardown(
        self,
        *,
        setups: object = None,
        on_failure_fail_dagrun: bool | None = None,
    ) -> Self:
        """Mark it as a teardown: it runs whatever came of the work, if its setups ran.

        Args:
            setups: Tasks that made ready what it clears away; they are marked, and it
                waits for them.
            on_failure_fail_dagrun: Whether the run fails when it fails.

        Raises:
            BadOption: it is a setup, or was given a trigger rule.
        """
        for task in self.joined():
            _mark_teardown(task)
            if on_failure_fail_dagrun is not None:
                task.on_failure_fail_dagrun = on_failure_fail_dagrun
        several = isinstance(setups, (list, tuple, set))
        items = cast("Iterable[object]", setups) if several else [setups]
        for one in items:
            if isinstance(one, Markable):
                one.as_setup()
            if one is not None:
                for task in self.joined():
                    task.set_upstream(one)
        return self

    def __enter__(self) -> Self:
        """Everything made inside stands between the setup and the teardown.

        Raises:
            BadOption: it is neither.
        """
        _open.set((*_open.get(), _Scope(self.joined())))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        *outer, scope = _open.get()
        _open.set(tuple(outer))
        if kind is None:
            scope.close(outer[-1] if outer else None)


def _mark_teardown(task: BaseOperator) -> None:
    where = f"task {task.task_id!r}"
    if task.is_setup:
        raise BadOption(where, "as_teardown", "is a setup already")
    usual = (TriggerRule.ALL_SUCCESS, TriggerRule.ALL_DONE_SETUP_SUCCESS)
    if task.trigger_rule not in usual:
        raise BadOption(where, "trigger_rule", "cannot be chosen for a teardown")
    task.is_teardown = True
    task.trigger_rule = TriggerRule.ALL_DONE_SETUP_SUCCESS


class _Scope:
    """An open `with`: its setups and teardowns, and the tasks made inside."""

    def __init__(self, around: list[BaseOperator]) -> None:
        for task in around:
            if not task.is_setup and not task.is_teardown:
                why = "needs a setup or a teardown: mark it by as_setup() or as_teardown()"
                raise BadOption(f"task {task.task_id!r}", "with", why)
        above = [up for task in around for up in task.upstream_list if task.is_teardown]
        below = [down for task in around for down in task.downstream_list if task.is_setup]
        self.setups = [t for t in (*around, *above) if t.is_setup]
        self.teardowns = [t for t in (*around, *below) if t.is_teardown]
        self.dag = around[0].dag if around else None
        self.tasks: list[BaseOperator] = []

    def close(self, outer: _Scope | None) -> None:
        work = [t for t in self.tasks if not t.is_setup and not t.is_teardown]
        ids = {task.task_id for task in work}
        if work:
            firsts = [t for t in work if not t.upstream_task_ids & ids]
            lasts = [t for t in work if not t.downstream_task_ids & ids]
            _join(self.setups, firsts)
            _join(lasts, self.teardowns)
        if outer is not None:
            _join(outer.setups, self.setups)
            _join(self.teardowns, outer.teardowns)


def _join(before: list[BaseOperator], after: list[BaseOperator]) -> None:
    for task in after:
        task.wait_for(one for one in before if one is not task)


_open: ContextVar[tuple[_Scope, ...]] = ContextVar("mlflowkit_open_scopes", default=())


def note_task(task: BaseOperator) -> None:
    """A task was made: it belongs to the innermost open `with setup` or `with teardown`."""
    scopes = _open.get()
    if scopes and scopes[-1].dag is task.dag:
        scopes[-1].tasks.append(task)
