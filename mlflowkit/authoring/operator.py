"""BaseOperator: what every task is, and the options that every task has."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import timedelta
from inspect import Parameter, signature
from typing import TYPE_CHECKING, Any, ClassVar, Final

from mlflowkit.authoring import opened
from mlflowkit.authoring.arrows import Arrows
from mlflowkit.authoring.meaning import meant_by_name
from mlflowkit.authoring.refs import Ref, XComArg, refs_in, replaced
from mlflowkit.core.spec import RetryPolicy
from mlflowkit.errors import BadOption, CannotExpand, DifferentDags, UnknownOption

if TYPE_CHECKING:
    from mlflowkit.authoring.dag import DAG
    from mlflowkit.authoring.mapping import OperatorPartial

    _OperatorType = type
else:

    class _OperatorType(type):
        """Fills in `default_args`, for the options that a class has and was not given."""

        def __call__(cls, *args: object, **options: Any) -> Any:
            dag = options.get("dag") or opened.current_dag()
            defaults = {**(dag.default_args if dag else {}), **_own_defaults(options)}
            if defaults:
                taken = accepted_options(cls)
                positional = list(signature(cls.__init__).parameters)[1 : len(args) + 1]
                given = {*options, *positional}
                fill = {k: v for k, v in defaults.items() if k in taken and k not in given}
                options = {**fill, **options}
            made = super().__call__(*args, **options)
            made.enter_dag(dag)
            return made


#: Options of every task: reserved names in `notebook(...)` and `dag.run(...)`.
TASK_OPTIONS: Final = frozenset(
    {
        "task_id",
        "dag",
        "default_args",
        "retries",
        "retry_delay",
        "retry_exponential_backoff",
    }
    | {"max_retry_delay", "execution_timeout", "isolate", "doc", "doc_md", "owner"}
)
#: Attributes that are about a task, rather than arguments of what it does.
_OWN: Final = frozenset(
    {"task_id", "retry", "execution_timeout", "isolate", "doc", "owner", "axes"}
)
_ID = re.compile(r"[\w.-]+")
#: Ids become names of files, which may have 255 bytes on most disks.
ID_LIMIT_BYTES: Final = 200


class BaseOperator(Arrows, metaclass=_OperatorType):
    """One task of a DAG. Subclasses do their work in `execute(context)`.

    Attributes that hold outputs of other tasks or parameters of the DAG, at any depth,
    hold the real values when `execute` is called.
    """

    #: The name people see; the class's own if empty.
    shown_as: ClassVar[str] = ""

    def __init__(
        self,
        task_id: str,
        *,
        dag: DAG | None = None,
        default_args: Mapping[str, object] | None = None,
        retries: int = 0,
        retry_delay: timedelta | float = timedelta(minutes=5),
        retry_exponential_backoff: bool | float = False,
        max_retry_delay: timedelta | float | None = None,
        execution_timeout: timedelta | float | None = None,
        isolate: bool = False,
        doc: str | None = None,
        doc_md: str | None = None,
        owner: str = "",
        **unknown: object,
    ) -> None:
        if unknown:
            name = type(self).__name__
            raise UnknownOption(name, next(iter(unknown)), accepted_options(type(self)))
        self.task_id = checked_id("task", "task_id", task_id)
        where = f"task {task_id!r}"
        self.retry = RetryPolicy(
            retries=_whole("retries", retries, where),
            retry_delay=seconds("retry_delay", retry_delay, where) or timedelta(),
            exponential_backoff=_backoff(retry_exponential_backoff, where),
            max_retry_delay=seconds("max_retry_delay", max_retry_delay, where),
        )
        self.execution_timeout = seconds("execution_timeout", execution_timeout, where)
        self.isolate = bool(isolate)
        self.doc = doc or doc_md or ""
        self.owner = owner
        #: Arguments that it is mapped over: values written in the DAG, or outputs.
        self.axes: dict[str, object] = {}
        self._dag: DAG | None = None
        self._upstream: dict[str, BaseOperator] = {}
        self._given: tuple[object, ...] = meant_by_name(type(self))

    def execute(self, context: Mapping[str, Any]) -> object:
        """Do the work. What it returns is the task's XCom."""
        raise NotImplementedError(f"{type(self).__name__} has no execute(context)")

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

    @property
    def dag(self) -> DAG | None:
        return self._dag

    @property
    def upstream_task_ids(self) -> set[str]:
        return set(self.upstream())

    @property
    def downstream_task_ids(self) -> set[str]:
        tasks = self._dag.tasks if self._dag else ()
        return {t.task_id for t in tasks if self.task_id in t.upstream()}

    @property
    def operator_name(self) -> str:
        return self.shown_as or type(self).__name__

    # ── graph ──

    def joined(self) -> list[BaseOperator]:
        return [self]

    def enter_dag(self, dag: DAG | None) -> None:
        """Become a task of `dag`, once."""
        if dag is not None and self._dag is None:
            dag.add(self)
            self._dag = dag

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

    # ── arguments ──

    def was_given(self, value: object) -> bool:
        """Is it a function or class of `__main__` that it runs, named so when it was made?"""
        return any(one is value for one in self._given)

    def arguments(self) -> dict[str, object]:
        """What it was given to do its work: every attribute that is not an option."""
        return {k: v for k, v in vars(self).items() if k not in _OWN and k[0] != "_"}

    def refs(self) -> Iterator[Ref]:
        """The stand-ins in its arguments, then those that it is mapped over."""
        yield from refs_in(self.arguments())
        yield from refs_in(self.axes)

    def rendered(
        self, give: Callable[[Ref], object], mapped: Mapping[str, object]
    ) -> BaseOperator:
        """A copy with real values in the place of stand-ins, for one task instance."""
        ready = copy.copy(self)
        if mapped:
            ready.take_mapped(mapped)
        for name, value in ready.arguments().items():
            setattr(ready, name, replaced(value, give))
        return ready

    def take_mapped(self, mapped: Mapping[str, object]) -> None:
        """Take the arguments of one mapped instance."""
        raise CannotExpand(f"task {self.task_id!r}", "its operator has no mapped arguments")

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_dag": None, "_upstream": {}, "_given": ()}

    def __repr__(self) -> str:
        return f"<{self.operator_name} {self.task_id}>"


def accepted_options(cls: type) -> set[str]:
    """Every keyword that the class or one of its bases takes."""
    found: set[str] = set()
    for base in cls.__mro__:
        if base is not object and "__init__" in vars(base):
            named = signature(vars(base)["__init__"]).parameters.values()
            found |= {p.name for p in named if p.kind is not Parameter.VAR_KEYWORD}
    return found - {"self", "args"}


def _own_defaults(options: Mapping[str, object]) -> Mapping[str, object]:
    given = options.get("default_args")
    return given if isinstance(given, dict) else {}  # pyright: ignore[reportUnknownVariableType]


def checked_id(kind: str, option: str, value: object) -> str:
    """The id of a task or DAG.

    Raises:
        BadOption: it has other characters, or its UTF-8 form is longer than ID_LIMIT_BYTES.
    """
    if not isinstance(value, str) or not _ID.fullmatch(value):
        why = "must be a text of letters, digits, '_', '-' and '.', at least one of them"
        raise BadOption(f"{kind} {value!r}", option, why)
    size = len(value.encode())
    if size > ID_LIMIT_BYTES:
        why = (
            f"is {size} bytes long in UTF-8; it names files, so at most "
            f"{ID_LIMIT_BYTES} are possible"
        )
        raise BadOption(f"{kind} {value[:30]!r}...", option, why)
    return value


def seconds(name: str, value: object, where: str) -> timedelta | None:
    """A time span given as a timedelta or in seconds.

    Raises:
        BadOption: it is something else, or negative.
    """
    if value is None:
        return None
    span = value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        span = timedelta(seconds=value)
    if not isinstance(span, timedelta) or span < timedelta():
        raise BadOption(where, name, f"must be a timedelta or seconds, not {value!r}")
    return span


def _whole(name: str, value: object, where: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise BadOption(where, name, f"must be a whole number from 0 on, not {value!r}")
    return value


def _backoff(value: object, where: str) -> float:
    if isinstance(value, bool):
        return 2.0 if value else 1.0
    if isinstance(value, (int, float)) and value >= 1.0:
        return float(value)
    why = f"must be True, False or a factor from 1.0 on, not {value!r}"
    raise BadOption(where, "retry_exponential_backoff", why)
