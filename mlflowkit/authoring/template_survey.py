"""What the templates of a DAG add to its bundle: macros, filters, files, and fingerprints."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from mlflowkit.authoring.meaning import meaning_of
from mlflowkit.authoring.modules import LocalModules
from mlflowkit.authoring.redefined import ran_again
from mlflowkit.authoring.renewed import same_definition
from mlflowkit.authoring.survey import Survey
from mlflowkit.authoring.template import TemplateSettings, holds_template
from mlflowkit.authoring.template_check import needs_of
from mlflowkit.authoring.template_options import templates_of

if TYPE_CHECKING:
    from mlflowkit.authoring.dag import DAG
    from mlflowkit.authoring.operator import BaseOperator


class Contents(Protocol):
    """What goes into a bundle, as far as templates are concerned."""

    modules: LocalModules
    sources: dict[str, str]
    templates: dict[str, str]
    settings: TemplateSettings | None
    lines: list[str]
    notes: list[str]


class TemplateSurvey:
    """The template settings of a DAG, surveyed when the first task needs them."""

    def __init__(self, dag: DAG, contents: Contents) -> None:
        self._dag, self._contents = dag, contents
        self.settings, newer = _as_now(templates_of(dag))
        if newer:
            names = ", ".join(newer)
            contents.notes.append(f"templates: run the newer definition of {names}")
        self._digest = ""

    def fingerprint(self, task: BaseOperator, before: str) -> str:
        """The fingerprint of a task, its templates and what they use counted in."""
        needs = needs_of(task, self.settings)
        labelled = holds_template(str(getattr(task, "map_index_template", None) or ""))
        if not (needs.any or labelled or self.settings.macros or self.settings.filters):
            return before
        contents = self._contents
        contents.settings = self.settings
        contents.templates |= needs.files
        if needs.open_ended:
            contents.lines.append(self.settings.folder)
        digest = self._survey()
        if not (needs.any or labelled):
            return before
        files = "".join(
            f"{name}={_sha(text.encode())}" for name, text in needs.files.items()
        )
        return _sha(f"{before} {digest} {files}".encode())

    def _survey(self) -> str:
        if not self._digest:
            what = f"{self._dag.dag_id}: macros and filters"
            survey = Survey(what, self._contents.modules, self._contents.sources)
            survey.walk(self.settings.own())
            self._digest = survey.digest()
            self._contents.lines += [self._digest, survey.lines.hexdigest()]
        return self._digest


def _as_now(settings: TemplateSettings) -> tuple[TemplateSettings, list[str]]:
    """The settings with functions of cells as they are now, and the names of those that differ."""
    newer: list[str] = []

    def now(value: Any) -> Any:
        there = meaning_of(value)
        if there is value or type(there) is not type(value) or not ran_again(there, value):
            return value
        if not same_definition(value, there):
            newer.append(f"{value.__name__}()")
        return there

    macros = {name: now(value) for name, value in settings.macros.items()}
    filters = {name: now(value) for name, value in settings.filters.items()}
    return replace(settings, macros=macros, filters=filters), newer


def _sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
