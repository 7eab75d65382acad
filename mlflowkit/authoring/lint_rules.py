"""The lint rules by name: what each is about, why it matters, and what to do.

The table is also the page docs/reference/lint.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Final

from mlflowkit.errors import UnknownRule


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule."""

    id: str
    #: What is found, in a few words.
    about: str
    why: str
    todo: str
    #: False: said for information; the exit status does not change.
    counts: bool = True


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Finding:
    """A place that a rule does not like."""

    file: str
    #: 0 where it is about the file as a whole.
    line: int
    rule: str
    #: What was found there, and why it matters.
    reason: str
    todo: str
    counts: bool = True

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


_ALL: Final = (
    Rule(
        id="not-loaded",
        about="A file that cannot be loaded.",
        why="None of its DAGs runs.",
        todo="Mend the error.",
    ),
    Rule(
        id="heavy-import",
        about="A heavy library (pandas, numpy, torch, …) imported at the top level.",
        why="The file is loaded again after each change, and each load pays for it.",
        todo="Import it inside the task that uses it.",
    ),
    Rule(
        id="top-level-io",
        about="A call that reads the network or a database, starts a program or sleeps, at "
        "the top level, in the body of a DAG, or in a function that these call.",
        why="It runs each time the file is loaded, not when the DAG runs.",
        todo="Move it into a task.",
    ),
    Rule(
        id="top-level-variable",
        about="A variable or connection read at the top level.",
        why="It is read each time the file is loaded, and keeps the value of that moment.",
        todo="Use a template ({{ var.value.name }}, {{ conn.name }}), or read it in a task.",
    ),
    Rule(
        id="top-level-loop",
        about="A loop of more than 100,000 rounds at the top level.",
        why="It runs each time the file is loaded.",
        todo="Move it into a task.",
    ),
    Rule(
        id="slow-load",
        about="A file that takes more than a second to load.",
        why="Changes are seen late, and every command that loads it waits.",
        todo="Move work and imports of its top level into tasks.",
    ),
    Rule(
        id="dynamic-start-date",
        about="A start_date made from the present time.",
        why="It moves with each load, so an interval never seems to be over.",
        todo="Write a fixed date.",
    ),
    Rule(
        id="no-start-date",
        about="A DAG with a schedule by time and no start_date.",
        why="Nobody can say which runs are due before it was first seen.",
        todo="Give it a start_date.",
    ),
    Rule(
        id="endless-catchup",
        about="catchup=True that would make more than 1,000 runs, with neither an end_date "
        "nor max_active_runs.",
        why="They all start when the DAG is first switched on.",
        todo="Set max_active_runs, a later start_date, or an end_date.",
    ),
    Rule(
        id="fixed-output",
        about="A task of a scheduled DAG that writes to a fixed place and knows no data "
        "interval.",
        why="Each run overwrites what the one before has made, and a backfill mixes them.",
        todo="Put {{ ds }} or data_interval_start into the place.",
    ),
    Rule(
        id="retries-not-idempotent",
        about="Retries on a task with idempotent=False.",
        why="A second try does again what the first one has done in part.",
        todo="Set retries=0 for it, or make it idempotent.",
    ),
    Rule(
        id="asset-cycle",
        about="DAGs that start one another in a circle by their assets.",
        why="Once started, they never stop.",
        todo="Take one outlet or one schedule out of the circle.",
    ),
    Rule(
        id="secret-in-code",
        about="A password, token or access key written in the file.",
        why="It stands in the repository, in bundles and in logs.",
        todo="Keep it in a connection or a variable.",
    ),
    Rule(
        id="unused-param",
        about="An argument of a @dag function that nothing uses.",
        why="People set it, and nothing happens.",
        todo="Use it, or take it out.",
    ),
    Rule(
        id="deprecated-name",
        about="A name that Airflow 3 has replaced.",
        why="It goes away.",
        todo="Use the new name.",
    ),
    Rule(
        id="too-many-tasks",
        about="A DAG of more than 200 tasks.",
        why="Nobody can read it, and one change touches all of it.",
        todo="Map a task with .expand(), or split the DAG.",
    ),
    Rule(
        id="long-task",
        about="A @task function of more than 150 lines.",
        why="It is tried again as a whole, and its parts cannot be tested.",
        todo="Split it into tasks, or move its code into a module.",
    ),
    Rule(
        id="lone-task",
        about="A task that is joined to no other, in a DAG of at least three.",
        why="An arrow may be missing.",
        todo="Join it, or leave it so.",
        counts=False,
    ),
)
RULES: Final = {rule.id: rule for rule in _ALL}


def finding(rule: str, file: str, line: int, what: str, todo: str = "") -> Finding:
    """A finding with the words of its rule."""
    known = RULES[rule]
    return Finding(
        file=file,
        line=line,
        rule=rule,
        reason=f"{what.rstrip('.')}. {known.why}",
        todo=todo or known.todo,
        counts=known.counts,
    )


def checked_rules(names: Iterable[str]) -> frozenset[str]:
    """Raises UnknownRule if there is no rule of one of the names."""
    given = frozenset(names)
    for name in sorted(given - RULES.keys()):
        raise UnknownRule(name, RULES)
    return given


def rules_page() -> str:
    """docs/reference/lint.md."""
    rows = [
        f"| `{r.id}` | {r.about}{'' if r.counts else ' (For information.)'} | {r.why} | {r.todo} |"
        for r in RULES.values()
    ]
    return "\n".join(
        [
            "# Lint rules",
            "",
            "`mlflowkit dags lint [FILE|FOLDER]` says which of these it finds, with file and line.",
            "`--ignore RULE` leaves a rule out; so does `# mlflowkit: ignore[RULE]` on a line of",
            "the statement in question. Rules would rather miss something than be wrong.",
            "",
            "| Rule | Finds | Why | What to do |",
            "|---|---|---|---|",
            *rows,
            "",
        ]
    )
