"""`d.form()`: the parameters of a DAG as fields, with checks beside them, and a Run button.

Fields are ipywidgets by type; what a field holds is checked as `run()` checks it. Needs a front
end; what a person wrote is escaped, or stands where HTML is not read.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from html import escape
from typing import TYPE_CHECKING, Any, Final, cast

import ipywidgets as w  # type: ignore[import-untyped]
from traitlets import HasTraits

from mlflowkit.authoring.params import check_value
from mlflowkit.core.spec import ParamSpec
from mlflowkit.errors import MlflowkitError
from mlflowkit.handles.run import RunHandle
from mlflowkit.jupyter import form_picture
from mlflowkit.jupyter.shown import no_view, widget_of

if TYPE_CHECKING:
    from mlflowkit.authoring.dag import DAG

#: A field that is left empty where a value is not needed, or has a default.
EMPTY: Final = object()
_LABEL: Final = w.Layout(width="160px", min_width="90px", flex="0 1 160px")
_INPUT: Final = {"width": "auto", "max_width": "420px", "flex": "1 1 180px"}
_NOTES: Final = w.Layout(flex="1 1 220px", min_width="0")
_ROW: Final = w.Layout(flex_flow="row wrap", align_items="flex-start", grid_gap="2px 10px")
_RED: Final = "#c2330f"
_Read = Callable[[], object]


class NotSaid(ValueError):
    """What a field holds cannot be read; the message says why."""


class Field:
    """A parameter: its label, its input, its help, and what is wrong with it."""

    def __init__(self, where: str, spec: ParamSpec) -> None:
        self.where, self.spec = where, spec
        self.schema: dict[str, Any] = json.loads(spec.schema_json)
        default = None if spec.default_json is None else json.loads(spec.default_json)
        self.input, self._read = _input_of(self.schema, default, spec)
        title = str(self.schema.get("title") or spec.name)
        label = w.Label(title + (" *" if spec.required else ""), layout=_LABEL)
        label.tooltip = spec.name
        self.problem = w.HTML("")
        self.problem.add_class("mlflowkit-problem")
        self.help = str(self.schema.get("description") or "")
        helped = [w.HTML(_words(self.help))] if self.help else []
        notes = w.VBox([*helped, self.problem], layout=_NOTES)
        self.row = w.HBox([label, self.input, notes], layout=_ROW)
        cast("HasTraits", self.input).observe(lambda _: self.check(), names="value")

    def value(self) -> object:
        """What it holds; EMPTY to take the default.

        Raises:
            NotSaid: it is nothing that JSON knows.
            MlflowkitError: it does not fit the parameter.
        """
        found = self._read()
        if found is EMPTY:
            if self.spec.required:
                raise NotSaid("a value is needed")
            return EMPTY
        check_value(self.where, replace(self.spec, annotation=""), found)
        return found

    def said(self) -> str:
        """What it holds, as JSON; as it was typed if that is none."""
        try:
            found = self._read()
        except NotSaid:
            return str(cast("Any", self.input).value)
        return "" if found is EMPTY else json.dumps(found, ensure_ascii=False)

    def check(self) -> bool:
        """Whether it fits; says beside the field why not."""
        try:
            self.value()
        except (NotSaid, MlflowkitError) as exc:
            self.problem.value = _words(_short(str(exc)), _RED)
            return False
        self.problem.value = ""
        return True


class Form(w.VBox):  # type: ignore[misc]
    """The form of a DAG. `form.run` is the run that its button has started last."""

    _runs_seen_by: Callable[[], None] | None = None

    def __init__(self, dag: DAG) -> None:
        spec = dag.spec()
        where = f"DAG {spec.dag_id!r}"
        self.dag, self.run = dag, cast("RunHandle | None", None)
        self.fields = {p.name: Field(where, p) for p in spec.params}
        self.button = w.Button(description="Run", button_style="primary", icon="play")
        self.button.tooltip = f"Run {spec.dag_id} with these parameters"
        self.said = w.HTML("")
        self.below = w.VBox([])
        self.below.layout.width = "100%"
        title = w.Label(f"Run {spec.dag_id}")
        title.style.font_weight = "bold"
        title.style.font_size = "14px"
        rows = [field.row for field in self.fields.values()]
        foot = w.HBox([self.button, self.said])
        super().__init__([title, *rows, foot, self.below])
        self.layout.grid_gap = "4px"
        self.add_class("mlflowkit-form")
        self.button.on_click(lambda _: self.submit())

    def submit(self) -> None:
        """Check the fields, run the DAG, and show the run below."""
        self.said.value = ""
        if not all([field.check() for field in self.fields.values()]):
            self.said.value = _words("Some values do not fit: see above.", _RED)
            return
        values = {name: field.value() for name, field in self.fields.items()}
        given = {name: value for name, value in values.items() if value is not EMPTY}
        self.button.disabled = True
        try:
            with no_view():
                self.run = self.dag.run(params=given, wait=False)
            self._show(self.run)
            if self._runs_seen_by is not None:
                self._runs_seen_by()
        except MlflowkitError as exc:
            self.said.value = _words(_short(str(exc)), _RED)
        finally:
            self.button.disabled = False

    def _show(self, run: RunHandle) -> None:
        before = self.below.children
        self.below.children = (widget_of(run),)
        for widget in before:
            widget.close()

    def rows_said(self) -> list[tuple[str, str, str]]:
        """What it holds, in words: name, value as JSON, help, of each parameter."""
        return [(name, one.said(), one.help) for name, one in self.fields.items()]

    def on_run(self, tell: Callable[[], None]) -> None:
        """Call it when the form has started a run, in place of what was called before."""
        self._runs_seen_by = tell

    def _ipython_display_(self) -> None:
        if not form_picture.show(self, super()._repr_mimebundle_()):
            raise NotImplementedError

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        return form_picture.bundle(self)

    def close(self) -> None:
        """Close the form and the view below it."""
        for widget in self.below.children:
            widget.close()
        super().close()


# ── inputs by type ──────────────────────────────────────────────────────────


def _input_of(
    schema: dict[str, Any], default: object, spec: ParamSpec
) -> tuple[w.DOMWidget, _Read]:
    kind, layout = _kind(schema), w.Layout(**_INPUT)
    if "enum" in schema:
        return _choice(schema["enum"], default, spec.required, layout)
    if kind == "boolean" and isinstance(default, bool):
        box = w.Checkbox(value=default, indent=False, layout=layout)
        return box, lambda: box.value
    if kind in ("integer", "number") and isinstance(default, int | float):
        return _number(kind, schema, default, layout)
    if kind == "string":
        return _text(schema, default, layout)
    return _json_text(kind, default, layout, spec)


def _kind(schema: dict[str, Any]) -> str:
    """The one type that it has besides null; "" where that cannot be said."""
    if "anyOf" in schema:
        others = [one for one in schema["anyOf"] if one != {"type": "null"}]
        return _kind(others[0]) if len(others) == 1 else ""
    kinds = schema.get("type", "string" if "format" in schema else "")
    if isinstance(kinds, list):
        others = [one for one in kinds if one != "null"]
        return str(others[0]) if len(others) == 1 else ""
    return str(kinds)


def _choice(
    values: list[Any], default: object, required: bool, layout: w.Layout
) -> tuple[w.DOMWidget, _Read]:
    options: list[tuple[str, object]] = [(str(v), v) for v in values]
    if required or default not in values:
        options.insert(0, ("", EMPTY))
        default = EMPTY
    box = w.Dropdown(options=options, value=default, layout=layout)
    return box, lambda: box.value


def _number(
    kind: str, schema: dict[str, Any], default: float, layout: w.Layout
) -> tuple[w.DOMWidget, _Read]:
    low, high = schema.get("minimum"), schema.get("maximum")
    whole = kind == "integer" and isinstance(default, int)
    if low is not None and high is not None and low <= default <= high:
        bounded = w.BoundedIntText if whole else w.BoundedFloatText
        box = bounded(value=default, min=low, max=high, layout=layout)
    else:
        box = (w.IntText if whole else w.FloatText)(value=default, layout=layout)
    return box, lambda: box.value


def _text(
    schema: dict[str, Any], default: object, layout: w.Layout
) -> tuple[w.DOMWidget, _Read]:
    form, text = schema.get("format"), default if isinstance(default, str) else ""
    if form == "date":
        day = w.DatePicker(value=date.fromisoformat(text) if text else None, layout=layout)
        return day, lambda: day.value.isoformat() if day.value else EMPTY
    if form == "date-time":
        moment = w.DatetimePicker(value=_aware(text) if text else None, layout=layout)
        return moment, lambda: moment.value.isoformat() if moment.value else EMPTY
    long = "\n" in text or len(text) > 80
    box = (w.Textarea if long else w.Text)(value=text, layout=layout)
    box.continuous_update = False
    without = default is None and schema.get("minLength") is None
    return box, lambda: EMPTY if without and not box.value else box.value


def _aware(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _json_text(
    kind: str, default: object, layout: w.Layout, spec: ParamSpec
) -> tuple[w.DOMWidget, _Read]:
    """Lists, dicts, and all that has no field of its own: as JSON."""
    small = kind in ("integer", "number", "boolean")
    text = "" if spec.default_json is None or default is None else json.dumps(default)
    box = (w.Text if small else w.Textarea)(value=text, layout=layout)
    box.continuous_update = False
    box.placeholder = {
        "array": "[1, 2]",
        "object": '{"a": 1}',
        "": '"text", 1, [1, 2]',
    }.get(kind, kind)

    def read() -> object:
        if not box.value.strip():
            return EMPTY
        try:
            found: object = json.loads(box.value)
        except json.JSONDecodeError as exc:
            where = f"at line {exc.lineno}, column {exc.colno}"
            raise NotSaid(f"this is not JSON {where}: {exc.msg}") from exc
        return found

    return box, read


def _words(text: str, colour: str = "inherit") -> str:
    """A text that may take several lines, in a field that takes HTML: all of it escaped."""
    return (
        f'<span style="display:block;padding:5px 0;color:{colour};line-height:1.4;white-space:normal;'
        f'overflow-wrap:anywhere">{escape(text)}</span>'
    )


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) < 300 else f"{line[:299]}…"
