"""Errors of templates in a task's arguments."""

from __future__ import annotations

from collections.abc import Iterable

from mlflowkit.errors.base import UserError, listing, suggest


class TemplateError(UserError):
    """A template in a task's arguments that cannot be rendered."""

    code = "template"


class UndefinedInTemplate(TemplateError):
    """A template uses a name that nothing defines."""

    code = "undefined_in_template"

    def __init__(
        self,
        task: str,
        field: str,
        name: str,
        known: Iterable[str],
        *,
        inside: object = None,
        why: str = "",
    ) -> None:
        self.task, self.field, self.name, self.why = task, field, name, why
        what = f" in a {type(inside).__name__}" if inside is not None else ""
        end = f": {why}." if why else f".{suggest(name, known)}"
        super().__init__(
            f"the template in {field} of task {task!r} uses {name!r}, "
            f"which is not defined{what}{end}"
        )


class BadTemplate(TemplateError):
    """A text that Jinja cannot read as a template."""

    code = "bad_template"

    def __init__(
        self, task: str, field: str, why: str, line: int, file: str = "", hint: str = ""
    ) -> None:
        self.task, self.field, self.line, self.file = task, field, line, file
        at = f"{file}, line {line}" if file else f"line {line}"
        super().__init__(
            f"the template in {field} of task {task!r} cannot be read ({at}): {why}.{hint} "
            'Text that only looks like a template goes through as literal("...").'
        )


class TemplateFileMissing(TemplateError):
    """A template file that is in none of the places where it is looked up."""

    code = "template_file_missing"

    def __init__(
        self,
        task: str,
        field: str,
        name: str,
        looked: Iterable[object],
        known: Iterable[str] = (),
    ) -> None:
        self.task, self.field, self.name = task, field, name
        self.looked = tuple(str(place) for place in looked)
        super().__init__(
            f"{field} of task {task!r} names the template file {name!r}, which is not in "
            f"{listing(self.looked)}.{suggest(name, known)} If it is no file, put a space "
            "behind it, or use literal(...)."
        )


class NoAirflowConf(TemplateError):
    """Code asks for a setting of Airflow's own configuration."""

    code = "no_airflow_conf"

    def __init__(self, section: str, key: str) -> None:
        self.section, self.key = section, key
        super().__init__(
            f"there is no Airflow here, and so no setting [{section}] {key} in conf: give "
            "conf.get a fallback, or use a variable."
        )


class ForbiddenInTemplate(TemplateError):
    """A template reaches for something that templates may not touch."""

    code = "forbidden_in_template"

    def __init__(self, task: str, field: str, why: str) -> None:
        self.task, self.field, self.why = task, field, why
        super().__init__(
            f"the template in {field} of task {task!r} may not do this: {why} "
            "Do it in the task's own code, or in a function of user_defined_macros."
        )
