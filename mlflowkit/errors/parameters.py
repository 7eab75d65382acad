"""Errors of parameters."""

from __future__ import annotations

from collections.abc import Iterable

from mlflowkit.errors.base import UserError, listing, suggest


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


class ParameterError(UserError):
    """A parameter that does not fit."""

    code = "parameter"


class UnknownParameter(ParameterError):
    """A parameter that the DAG, task or notebook does not have."""

    code = "unknown_parameter"

    def __init__(self, where: str, name: str, known: Iterable[str]) -> None:
        known = list(known)
        self.where, self.name = where, name
        super().__init__(
            f"{where} has no parameter {name!r} (it has: {listing(known)}).{suggest(name, known)}"
        )


class RuleBroken(ParameterError):
    """A parameter's value has the right type and breaks a rule of its schema."""

    code = "rule_broken"

    def __init__(self, where: str, name: str, value: object, rule: str, why: str) -> None:
        self.where, self.name, self.rule = where, name, rule
        super().__init__(
            f"parameter {name!r} of {where} was given {_short(value)}, which breaks its rule "
            f"{rule}: {why}."
        )


class TooManyArguments(UnknownParameter):
    """More arguments were given by position than there are parameters."""

    code = "too_many_arguments"

    def __init__(self, where: str, given: int, known: Iterable[str]) -> None:
        known = list(known)
        self.where, self.name, self.given = where, f"number {len(known) + 1}", given
        ParameterError.__init__(
            self,
            f"{where} takes at most {len(known)} arguments by position "
            f"({', '.join(known) or 'none'}), and was given {given}.",
        )


class BadRule(ParameterError):
    """A rule of a parameter cannot be checked: its `Param` is written wrongly."""

    code = "bad_rule"

    def __init__(
        self, where: str, name: str, rule: str, value: object, expected: str
    ) -> None:
        self.where, self.name, self.rule, self.value = where, name, rule, value
        super().__init__(
            f"parameter {name!r} of {where} has the rule {rule}={_short(value)}, which nothing "
            f"can be checked against: {rule} has to be {expected}. Mend it in its Param(...)."
        )


class ScheduledWithoutDefault(ParameterError):
    """A DAG with a schedule has a parameter that somebody must give."""

    code = "scheduled_without_default"

    def __init__(self, dag_id: str, name: str) -> None:
        self.dag_id, self.name = dag_id, name
        super().__init__(
            f"DAG {dag_id!r} has a schedule, and nobody gives its parameter {name!r} when it "
            "is due: give the parameter a default, or take the schedule out."
        )


class MissingParameter(ParameterError):
    """A parameter without a default that was not given."""

    code = "missing_parameter"

    def __init__(self, where: str, name: str) -> None:
        self.where, self.name = where, name
        super().__init__(f"{where} needs a value for its parameter {name!r}.")


class WrongType(ParameterError):
    """A parameter's value is of another type than the one declared."""

    code = "wrong_type"

    def __init__(
        self, where: str, name: str, expected: str, value: object, item: str = ""
    ) -> None:
        self.where, self.name, self.expected, self.item = where, name, expected, item
        given = f"{item} is" if item else "it was given"
        super().__init__(
            f"parameter {name!r} of {where} should be {expected}, but {given} "
            f"{_short(value)} ({type(value).__name__})."
        )


class BadSimulation(ParameterError):
    """`simulate()` was told something that cannot be."""

    code = "bad_simulation"

    def __init__(self, where: str, why: str) -> None:
        self.where, self.why = where, why
        super().__init__(f"{where} of a simulation: {why}")


class WrongEdge(ParameterError):
    """What one task gives cannot be what a parameter of the next one takes."""

    code = "wrong_edge"

    def __init__(
        self, where: str, name: str, expected: str, giver: str, given: str, said_by: str
    ) -> None:
        self.where, self.name, self.expected = where, name, expected
        self.giver, self.given = giver, given
        super().__init__(
            f"parameter {name!r} of {where} should be {expected}, but {giver} is {given} "
            f"({said_by}). Change one of the two, or put a task between them."
        )
