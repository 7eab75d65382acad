"""The operator that executes a notebook; `notebook_task` has the function that people call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar, Final

from mlflowkit.authoring.axes import mapped_names, refuse_twice
from mlflowkit.authoring.callers import caller_folder
from mlflowkit.authoring.defaults import surroundings_of
from mlflowkit.authoring.notebook_attempt import (
    kept_for,
    output_path,
    owner_of,
    run_order,
    shared,
    sharing,
    whole_lists,
)
from mlflowkit.authoring.notebook_edges import (
    check_given,
    check_output,
    check_returns,
    given_by_notebook,
    known_later,
)
from mlflowkit.authoring.operator import TASK_OPTIONS, BaseOperator, seconds
from mlflowkit.authoring.runtime import part
from mlflowkit.authoring.template import holds_template, unwrapped
from mlflowkit.errors import BadOption, NotebookMissing, NotInTask, a
from mlflowkit.ports import NotebookOrder, running_task
from mlflowkit.settings import root

#: Names that are options of a notebook task; every other keyword is a parameter.
NOTEBOOK_OPTIONS: Final = TASK_OPTIONS | {
    "returns",
    "params",
    "kernel_name",
    "cell_timeout",
    "checkpoint",
    "resume",
    "share_prefix",
    "keep_failed_kernel",
}
#: After which cells a kernel's variables are stored.
CHECKPOINTS: Final = ("auto", "always", "never")


class NotebookOperator(BaseOperator):
    """Executes a notebook in a kernel of its own, in the notebook's folder.

    Its XComs are what it returns and pushes, by name; its return value says where the
    executed notebook is.

    Args:
        path: Beside the file that names it, or in the root.
        parameters: Values for names of its `parameters` cell.
        returns: Names to take out of the kernel at the end.
        cell_timeout: Most time that one cell may take.
        checkpoint: After which cells the variables are stored, so that another attempt can
            go on from the failed cell: "auto" (where it costs little beside the cells),
            "always", "never".
        resume: "cell": a retry goes on from the failed cell; None: it begins anew.
        keep_failed_kernel: How long (timedelta, or seconds) its kernel is held when a cell
            fails, for `run["fit"].open()`; 0: not at all. None: as the setting
            `keep_failed_kernel` says in runs that a person started, else not.
        share_prefix: Of a mapped task: the cells before the first use of a mapped parameter
            are run once for all instances, where that is safe. No checkpoints are stored
            by instances that share them, and a retry runs its notebook alone.

    Texts in the parameters, and the path, are templates. A notebook whose path is one is
    looked up when the task runs, and runs as it is then.
    """

    template_fields: ClassVar[Sequence[str]] = ("path", "parameters")
    #: Its kernel looks up what `secret(...)` names; this process never has the value.
    fills_secrets: ClassVar[bool] = False

    def __init__(
        self,
        task_id: str,
        *,
        path: str | Path,
        parameters: Mapping[str, object] | None = None,
        returns: Sequence[str] | str = (),
        kernel_name: str | None = None,
        cell_timeout: timedelta | float | None = None,
        checkpoint: str = "auto",
        resume: str | None = None,
        share_prefix: bool = False,
        keep_failed_kernel: timedelta | float | None = None,
        **options: Any,
    ) -> None:
        later = holds_template(str(path))
        place = path if later else find_notebook(path)
        if not later:
            dag, _ = surroundings_of(options)
            check_given(Path(place), parameters or {}, dag.param_specs if dag else ())
            named = (returns,) if isinstance(returns, str) else returns
            check_returns(Path(place), () if kernel_name else named)
        super().__init__(task_id, **options)
        where = f"task {task_id!r}"
        self.path = str(place)
        #: Where a notebook is looked up whose path is a template.
        self.folder = str(caller_folder()) if later else ""
        self.parameters: dict[str, object] = dict(parameters or {})
        self.returns = (returns,) if isinstance(returns, str) else tuple(returns)
        self.kernel_name = kernel_name
        self.checkpoint = _one_of(where, "checkpoint", checkpoint, CHECKPOINTS)
        self.resume = _one_of(where, "resume", resume or "", ("cell", ""))
        self.share_prefix = sharing(where, share_prefix, self.checkpoint, self.resume)
        #: The parameters that are mapped, in the copy for one instance.
        self.varying: tuple[str, ...] = ()
        self.cell_timeout = seconds("cell_timeout", cell_timeout, where)
        self.keep_failed_kernel = _kept_for(where, keep_failed_kernel)
        #: A copy that was made when the run was started, in the bundle.
        self.snapshot = ""

    def execute(self, context: Mapping[str, Any]) -> object:
        task = running_task()
        if task is None:
            raise NotInTask("a notebook task")
        if self.folder:
            self.path = str(find_notebook(self.path, Path(self.folder)))
        source, output = Path(self.path), output_path(context["ti"], Path(self.path))
        order = NotebookOrder(
            path=Path(self.snapshot) if self.snapshot else source,
            parameters=whole_lists(self.parameters),
            returns=self.returns,
            output=output,
            cwd=source.parent,
            kernel_name=self.kernel_name,
            cell_timeout=self.cell_timeout,
            timeout=self.execution_timeout,
            state_dir=Path(context["ti"].state_dir),
            checkpoint=self.checkpoint,
            resume=self._resumes(context["ti"]),
            shared=shared(self, context["ti"]),
            keep_failed_kernel=kept_for(self.keep_failed_kernel, context),
            owner=owner_of(context["ti"]),
        )
        values = run_order(task, order, getattr(context["ti"], "log_path", ""))
        for name, value in values.items():
            task.push(name, value)
        return {
            "notebook": self.path,
            "executed": str(output),
            "values": sorted(values),
        }

    def _resumes(self, ti: Any) -> bool:
        """A person wished it; or this is no first attempt, and the task is one that does."""
        wished: str = getattr(ti, "resume", "")
        return wished == "cell" or (self.resume == "cell" and ti.attempt_number > 1)

    def check_parameters(self) -> None:
        """Do the parameters fit the notebook's `parameters` cell?

        Raises:
            UnknownParameter, WrongType, NotebookError: they do not, or it cannot be run.
        """

        if self.folder:
            return  # which notebook it is shows when it runs
        path = Path(self.path)
        declared = {p.name for p in part("mlflowkit.nbrun.parameters", "infer")(path)}
        written = self.parameters.items()
        known = {n: unwrapped(v) for n, v in written if not known_later(v)}
        mapped = mapped_names(self.axes)
        later = (self.parameters.keys() | mapped) - known.keys() - declared
        given = {**dict.fromkeys(sorted(later)), **known}
        part("mlflowkit.nbrun.parameters", "check")(path, given, self.kernel_name)

    @property
    def notebook_file(self) -> Path | None:
        """The notebook; None where that shows when the task runs."""
        return None if self.folder else Path(self.path)

    def check_output(self, key: str) -> None:
        path = self.notebook_file
        if path is not None and not self.kernel_name:
            check_output(path, self.returns, key)

    def gives(self, key: str) -> tuple[str, str]:
        path = self.notebook_file
        return ("", "") if path is None else given_by_notebook(path, key)

    def take_mapped(self, mapped: Mapping[str, object]) -> None:
        where = f"task {self.task_id!r}"
        refuse_twice(where, mapped, self.parameters, ".expand_kwargs()")
        self.parameters = {**self.parameters, **mapped}
        self.varying = tuple(mapped)

    def arguments(self) -> dict[str, object]:
        return {"parameters": self.parameters}


def _one_of(where: str, option: str, value: str, known: Sequence[str]) -> str:
    if value not in known:
        said = " or ".join(repr(each) for each in known if each)
        raise BadOption(where, option, f"is {value!r}: it is {said}")
    return value


def _kept_for(where: str, value: timedelta | float | None) -> timedelta | None:
    """Like `seconds`; zero is a wish, too."""
    if value is None or value not in (0, timedelta()):
        return seconds("keep_failed_kernel", value, where)
    return timedelta()


def find_notebook(path: str | Path, folder: Path | None = None) -> Path:
    """The notebook beside the file that names it, else in the root.

    Args:
        folder: That of the file; None: who calls now.

    Raises:
        NotebookMissing: it is in neither.
    """
    if not isinstance(path, str | Path):  # pyright: ignore[reportUnnecessaryIsInstance]
        kind = a(type(path).__name__)
        raise BadOption("a notebook task", "path", f"must be a path, not {kind}")
    wanted = Path(path).expanduser()
    places = [(folder or caller_folder()) / wanted, root() / wanted]
    for found in places:
        if found.is_file():
            return found.resolve()
    near = [one.name for place in places for one in place.parent.glob("*.ipynb")]
    raise NotebookMissing(path, places, near)
