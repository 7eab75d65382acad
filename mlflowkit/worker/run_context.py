"""The context of a task: Airflow's names, each computed when somebody asks for it.

Most tasks ask for few of them, and some cost a question to the engine. `Context` is a dict
all the same: it knows its names, and what is set in it stays. Nothing here runs code of a
person; what only higher layers know (`conn`, `var`, `macros`) is put in by them.
"""

from __future__ import annotations

import reprlib
from collections.abc import (
    Callable,
    ItemsView,
    Iterator,
    KeysView,
    Mapping,
    ValuesView,
)
from typing import Any, Final, Protocol

from mlflowkit.worker.context_late import Conf, Later
from mlflowkit.worker.context_parts import AssetEvents, DagView, OutletEvents, dag_run_view
from mlflowkit.worker.context_sources import Sources

#: Characters of a rendered field that are kept for people.
LONGEST_RENDERED = 4096

_DS, _DS_NODASH = "%Y-%m-%d", "%Y%m%d"


class HasRendered(Protocol):
    """`authoring.template.Templates`, as far as it is needed here."""

    rendered: dict[str, object]

    def text(self, name: str, text: str) -> Any: ...


Maker = Callable[[Sources], Any]


def _previous(name: str) -> Maker:
    return lambda s: s.previous_success(name)


def _stamp(form: str, days: int = 0) -> Maker:
    return lambda s: s.stamp(days, form)


def _neighbour(form: str, *, later: bool) -> Maker:
    def make(sources: Sources) -> Any:
        moment = sources.neighbour(later)
        return moment.strftime(form) if moment and form else moment

    return make


def _moment(name: str) -> Maker:
    return lambda s: s.time(name)


def _key(s: Sources) -> str:
    day = s.stamp(0, _DS_NODASH) if s.time("logical_date") else s.order.attempt.run_id
    return f"{s.spec.dag_id}__{s.order.attempt.task_id}__{day}"


def _put_in(sources: Sources) -> None:
    """Higher layers put these in; where they did not, there is nothing."""


#: Names that every run has.
ALWAYS: Final[dict[str, Maker]] = {
    "dag": lambda s: DagView(s.spec),
    "dag_run": lambda s: dag_run_view(s.spec, s.order, s.facts, s.run_params, s.time),
    "task": lambda s: s.operator,
    "params": Sources.params,
    "logical_date": _moment("logical_date"),
    "data_interval_start": _moment("data_interval_start"),
    "data_interval_end": _moment("data_interval_end"),
    "start_date": lambda s: s.started_at,
    "task_instance_key_str": _key,
    "test_mode": lambda s: s.facts.get("run_type") == "test",
    "inlets": lambda s: s.assets("inlets"),
    "outlets": lambda s: s.assets("outlets"),
    "inlet_events": lambda _: AssetEvents.of_inlets(),
    "outlet_events": lambda _: OutletEvents(),
    "map_index_template": lambda s: getattr(s.operator, "map_index_template", None) or None,
    "expanded_ti_count": Sources.expanded_count,
    "task_reschedule_count": lambda s: int(getattr(s.order, "reschedules", 0) or 0),
    "conn": _put_in,
    "var": _put_in,
    "macros": _put_in,
}
#: Names that cost a question to the engine.
ASKED: Final[dict[str, Maker]] = {
    "prev_data_interval_start_success": _previous("data_interval_start"),
    "prev_data_interval_end_success": _previous("data_interval_end"),
    "prev_start_date_success": _previous("start_date"),
    "prev_end_date_success": _previous("end_date"),
    "triggering_asset_events": Sources.triggering,
}
#: Names of runs that have a logical date.
DATED: Final[dict[str, Maker]] = {
    "ds": _stamp(_DS),
    "ds_nodash": _stamp(_DS_NODASH),
    "ts": Sources.ts,
    "ts_nodash": _stamp("%Y%m%dT%H%M%S"),
    "ts_nodash_with_tz": lambda s: s.ts().replace("-", "").replace(":", ""),
    # Airflow 2's names.
    "execution_date": _moment("logical_date"),
    "yesterday_ds": _stamp(_DS, -1),
    "yesterday_ds_nodash": _stamp(_DS_NODASH, -1),
    "tomorrow_ds": _stamp(_DS, 1),
    "tomorrow_ds_nodash": _stamp(_DS_NODASH, 1),
    "prev_execution_date": _neighbour("", later=False),
    "prev_ds": _neighbour(_DS, later=False),
    "prev_ds_nodash": _neighbour(_DS_NODASH, later=False),
    "next_execution_date": _neighbour("", later=True),
    "next_ds": _neighbour(_DS, later=True),
    "next_ds_nodash": _neighbour(_DS_NODASH, later=True),
    "prev_execution_date_success": _previous("data_interval_start"),
}
#: Names that can be asked for, and are not among those that fill in a function's arguments.
HIDDEN: Final[dict[str, Maker]] = {"conf": lambda _: Conf()}
_ASKED_DATED = {"prev_execution_date_success"}


class Context(dict[str, Any]):
    """Airflow's names for what a task may know."""

    def __init__(self, ready: Mapping[str, Any], sources: Sources) -> None:
        super().__init__(ready)
        self._sources = sources
        dated = sources.facts.get("logical_date") is not None
        self._makers = _MAKERS_DATED if dated else _MAKERS
        self._own: dict[str, Callable[[], Any]] = {}
        #: What was rendered in the task's templates, by field: texts for people.
        self.rendered: dict[str, str] = {}
        self._templates: HasRendered | None = None

    def of_task(self, operator: Any, more: Mapping[str, Callable[[], Any]]) -> None:
        """From now on it is the context of this operator, and knows these names, too."""
        own = getattr(operator, "params", None)
        self._sources.operator = operator
        self._sources.own_params = own if isinstance(own, Mapping) else {}
        self._own.update(more)

    def now_rendered(self, operator: Any, templates: HasRendered) -> None:
        """The templates of the operator were rendered: `task` is what will be executed."""
        self._sources.operator = operator
        self.pop("task", None)
        self._templates = templates
        self.rendered = {name: _shown(v) for name, v in templates.rendered.items()}

    def whole_rendered(self) -> Mapping[str, object]:
        """The template fields of the task as they were rendered, in full."""
        return self._templates.rendered if self._templates else {}

    def text(self, name: str, text: str) -> str:
        """A template that is no argument of the task, such as `map_index_template`, rendered.

        Raises:
            TemplateError: it cannot be; the message calls it `name`.
        """
        return str(self._templates.text(name, text)) if self._templates else text

    def by_keyword(self, name: str) -> Any:
        """The value for a function that takes every name: a stand-in for those that cost a
        question to the engine, which is asked once somebody looks."""
        if name in ASKED or name in _ASKED_DATED:
            return Later(lambda: self[name])
        return self[name]

    def __missing__(self, name: str) -> Any:
        if name in self._own:
            value = self._own[name]()
        else:
            maker = self._makers.get(name) or HIDDEN.get(name)
            if maker is None:
                raise KeyError(name)
            value = maker(self._sources)
        self[name] = value
        return value

    def get(self, name: str, default: Any = None) -> Any:
        if name not in self:
            return default
        return self[name]

    def setdefault(self, name: str, default: Any = None) -> Any:
        if name not in self:
            self[name] = default
        return self[name]

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or name in self._makers or name in HIDDEN

    def __iter__(self) -> Iterator[str]:
        yield from super().__iter__()
        for name in self._makers:
            if not super().__contains__(name):
                yield name

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def keys(self) -> KeysView[str]:  # type: ignore[override]  # a view all the same
        return KeysView(self)

    def items(self) -> ItemsView[str, Any]:  # type: ignore[override]  # a view all the same
        return ItemsView(self)

    def values(self) -> ValuesView[Any]:  # type: ignore[override]  # a view all the same
        return ValuesView(self)

    def copy(self) -> Context:
        made = Context(
            dict(zip(dict.keys(self), dict.values(self), strict=True)), self._sources
        )
        made._own, made.rendered = dict(self._own), self.rendered
        made._templates = self._templates
        return made

    def __repr__(self) -> str:
        attempt = self._sources.order.attempt
        return f"<the context of {attempt.task_id} in {attempt.run_id}: {len(self)} names>"


_MAKERS: Final = {**ALWAYS, **ASKED}
_MAKERS_DATED: Final = {**_MAKERS, **DATED}
#: What stands in a context from the start.
READY: Final = frozenset(
    {"dag_id", "run_id", "task_id", "map_index", "try_number", "ti", "task_instance"}
)
#: Every name that a context may have, but those of callbacks.
NAMES: Final = frozenset({*_MAKERS_DATED, *HIDDEN, *READY})


def make_context(sources: Sources, ti: Any) -> Context:
    """The context of one attempt."""
    attempt = sources.order.attempt
    ready = {
        "dag_id": sources.spec.dag_id,
        "run_id": str(attempt.run_id),
        "task_id": attempt.task_id,
        "map_index": attempt.map_index,
        "try_number": sources.order.try_number,
        "ti": ti,
        "task_instance": ti,
    }
    return Context(ready, sources)


_short = reprlib.Repr()
_short.maxlevel, _short.maxdict, _short.maxlist, _short.maxtuple = 6, 50, 50, 50
_short.maxstring = _short.maxother = 1000


def _shown(value: object) -> str:
    text = value if isinstance(value, str) else _short.repr(value)
    text = text.encode(errors="backslashreplace")[:LONGEST_RENDERED].decode(errors="ignore")
    return text


__all__ = ["NAMES", "Context", "Sources", "make_context"]
