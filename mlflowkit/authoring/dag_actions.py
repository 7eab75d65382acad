"""What a person does with a DAG that is written: check, run, test, simulate, publish, backfill.

Works nothing out itself: each hands the DAG to who does it, imported then.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast

from mlflowkit.authoring import opened
from mlflowkit.authoring.check import check_dag
from mlflowkit.authoring.params import validate_params
from mlflowkit.authoring.run_options import RUN_OPTIONS, joined_params, refuse_clashes
from mlflowkit.core.spec import DagSpec
from mlflowkit.errors import RunWhileLoading

if TYPE_CHECKING:
    from mlflowkit.authoring.dag import DAG
    from mlflowkit.authoring.simulation import Simulation


class DagActions:
    """A part of `DAG`, for nothing else."""

    dag_id: str

    @property
    def _dag(self) -> DAG:
        return cast("DAG", self)

    def check(self, params: Mapping[str, object] | None = None, **more: object) -> DagSpec:
        """Look for mistakes before a run: the graph, parameters, arguments, notebooks; in a
        notebook also whether its code loads in a clean process.

        Raises:
            UserError: the first mistake that was found.
        """
        spec = self._checked(params, **more)
        from mlflowkit.authoring.defining_cell import in_notebook
        from mlflowkit.authoring.runtime import part

        if in_notebook():
            part("mlflowkit.preflight", "preflight")(self._dag)
        return spec

    def _checked(
        self, params: Mapping[str, object] | None = None, **more: object
    ) -> DagSpec:
        spec = self._dag.spec()
        validate_params(spec, joined_params(self._dag, params, more))
        check_dag(self._dag)
        return spec

    # ── running it ──

    def run(self, params: Mapping[str, object] | None = None, **more: Any) -> Any:
        """Start a run at once, and give it back while it goes on.

        Keywords are parameters of the DAG, but for RUN_OPTIONS; `params={...}` always
        means parameters.

        Raises:
            RunWhileLoading: the file that holds this call is only being loaded.
            ParameterError: a parameter does not fit. Nothing has run.
        """
        why = opened.why_not_run()
        if why:
            raise RunWhileLoading(self.dag_id, why)
        options = {k: v for k, v in more.items() if k in RUN_OPTIONS}
        given = joined_params(
            self._dag, params, {k: v for k, v in more.items() if k not in options}
        )
        refuse_clashes(self._dag, options)
        self._checked(given)
        from mlflowkit.authoring.runtime import get_runtime

        return get_runtime().run(self._dag, given, options)

    def test(
        self,
        params: Mapping[str, object] | None = None,
        *,
        logical_date: object = None,
        run_conf: Mapping[str, object] | None = None,
        conn_file_path: str | None = None,
        variable_file_path: str | None = None,
        mark_success_pattern: str | None = None,
        **more: object,
    ) -> Any:
        """Run it in this process, without a store; breakpoints work.

        Args:
            params: Its parameters; other keywords are parameters, too.
            logical_date: A datetime or ISO text; now if None.
            run_conf: More parameters, under Airflow's name.
            conn_file_path: Connections for this run, before all others: JSON, YAML or .env.
            variable_file_path: The same for variables.
            mark_success_pattern: Tasks whose whole id fits this regular expression are not
                run, but count as successful.

        Raises:
            RunFailed: a task failed; its own exception is the cause.
        """
        options = {
            "logical_date": logical_date,
            "conn_file_path": conn_file_path,
            "variable_file_path": variable_file_path,
            "mark_success_pattern": mark_success_pattern,
        }
        options = {name: value for name, value in options.items() if value is not None}
        refuse_clashes(self._dag, options, "test()")
        given = joined_params(self._dag, {**(run_conf or {}), **(params or {})}, more)
        self._checked(given)
        from mlflowkit.authoring.runtime import get_runtime

        return get_runtime().test(self._dag, given, options)

    def simulate(
        self,
        start: object,
        end: object,
        *,
        outcomes: object = None,
        durations: object = None,
        places: int | None = None,
        pools: Mapping[str, int] | None = None,
        manual: Iterable[object] = (),
        caught_up: bool | None = None,
        seed: int = 0,
    ) -> Simulation:
        """What would happen from `start` to `end` if it was published at `start`: a month of
        runs in about a second, with stubs in place of tasks. Nothing runs, nothing is stored.

        Args:
            start: A day ("2026-03-01", in the DAG's zone) or a moment.
            end: From here on no run starts; what is under way goes on to its end.
            outcomes: What tasks do, by task id, `"task[3]"`, or `(task id, logical date)`:
                "success", "failed", "skipped", an `Outcome`, a list of these by try, or a
                function of (run, task id, map index, try number). Else they succeed:
                branches choose the first task below, sensors find it at the first look,
                and 3 items are expanded over.
            durations: Seconds, a timedelta or (shortest, longest), for all tasks or by task
                id; else 60 s, and 1 s for a look of a sensor.
            places: Attempts that may run at once; None: no limit.
            pools: Slots by name; pools that do not stand here have no limit.
            manual: Moments at which a person starts a run.
            caught_up: What was due before `start` has run already. None: without catchup it
                has, with catchup it starts at once.
            seed: Of durations that are spans.

        Raises:
            BadSimulation: an argument that does not fit.
        """
        from mlflowkit.authoring.simulate import simulate_dag

        return simulate_dag(
            self._dag,
            start,
            end,
            outcomes=outcomes,
            durations=durations,
            places=places,
            pools=pools,
            manual=manual,
            caught_up=caught_up,
            seed=seed,
        )

    def publish(self, *, paused: bool | None = None, replace: bool = False) -> Any:
        """Hand it to the scheduler, with its code as it is now: its runs use this code until
        it is published again.

        Args:
            paused: Whether it waits for `.unpause()`; None: one that is new does not wait,
                and one that is there stays as it is.
            replace: Take the place of a DAG of the same id from another file.

        Returns:
            The `Schedule`: `.next`, `.interval`, `.pause()`, `.unpause()`, `.delete()`.

        Raises:
            PublishedElsewhere: its id belongs to a DAG of another file.
            ScheduledWithoutDefault: it has a schedule, and a parameter without a default.
        """
        from mlflowkit.authoring.publish import publish_dag

        return publish_dag(self._dag, paused=paused, replace=replace)

    def backfill(
        self,
        start: object,
        end: object,
        *,
        reverse: bool = False,
        rerun: str = "",
        max_active: int = 10,
        dry_run: bool = False,
        wait: bool | None = None,
        params: Mapping[str, object] | None = None,
        **more: object,
    ) -> Any:
        """Run the intervals that begin from `start` to `end`, both included, and are over.

        Args:
            start, end: A date, a datetime or their ISO text; without a zone, in the DAG's. A
                date as `end` means the whole day.
            reverse: The latest first.
            rerun: What to do with runs that are there: "" leaves them, "failed" or "all".
            max_active: Runs that may be under way at once.
            dry_run: Only say which runs it holds.
            wait: Whether to wait for their end; None: where nobody watches.
            params: Their parameters; other keywords are parameters, too.

        Returns:
            The `Backfill`: `.states()`, `.wait()`, `.cancel()`; of a dry run, a list.

        Raises:
            BadBackfill: it would run nothing, or cannot be run so.
        """
        from mlflowkit.authoring.publish import backfill_dag

        options = {"reverse": reverse, "rerun": rerun, "max_active": max_active}
        options |= {"dry_run": dry_run, "wait": wait}
        return backfill_dag(self._dag, start, end, params, more, options)

    def runs(self) -> Any:
        """Its runs, the newest first."""
        from mlflowkit.authoring.runtime import get_runtime

        return get_runtime().runs(self.dag_id)
