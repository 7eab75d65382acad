"""What else has Airflow's meaning while its names are answered: pulls, moments, options, variables.

Only process-wide settings of other parts are set here, and set back.
"""

from __future__ import annotations

import logging
import os
from datetime import datetime
from typing import Final

from mlflowkit.authoring import options
from mlflowkit.worker.context import TaskInstance
from mlflowkit.worker.context_sources import Sources
from mlflowkit.worker.pulls import Pulls

log = logging.getLogger("mlflowkit.compat")
#: Airflow's variables of the environment, and ours.
PREFIXES: Final = {"AIRFLOW_CONN_": "MLFLOWKIT_CONN_", "AIRFLOW_VAR_": "MLFLOWKIT_VAR_"}
#: Options that change no task's state under Airflow: passed over, with a word.
PASSED_OVER: Final = {
    "email": "mlflowkit sends no mail",
    "email_on_failure": "mlflowkit sends no mail",
    "email_on_retry": "mlflowkit sends no mail",
    "queue": "tasks are not sent to queues",
    "executor": "a task has no executor of its own",
    "executor_config": "a task has no executor of its own",
    "resources": "a task reserves nothing",
    "sla": "nobody is told of a task that is late",
}
_set_here: list[str] = []
#: What was passed over since it was last asked for: a line each.
_notes: dict[str, None] = {}


def turn_on(version: int | None) -> None:
    """From now on."""
    TaskInstance.lenient = Pulls.lenient = True
    TaskInstance.looks_above = version != 3
    Sources.shown = staticmethod(_shown)
    if pass_over not in options.passes_over:
        options.passes_over.append(pass_over)
    for theirs, ours in PREFIXES.items():
        for name in [n for n in os.environ if n.startswith(theirs)]:
            mine = ours + name.removeprefix(theirs)
            if mine not in os.environ:
                os.environ[mine] = os.environ[name]
                _set_here.append(mine)


def turn_off() -> None:
    """As it was before."""
    TaskInstance.lenient = Pulls.lenient = TaskInstance.looks_above = False
    Sources.shown = staticmethod(_as_it_is)
    if pass_over in options.passes_over:
        options.passes_over.remove(pass_over)
    while _set_here:
        os.environ.pop(_set_here.pop(), None)


def pass_over(_where: str, name: str, _value: object) -> bool:
    """Whether an option of a task may be left unheeded; it is noted, for people."""
    if name not in PASSED_OVER:
        return False
    note(name, PASSED_OVER[name])
    return True


def note(name: str, why: str) -> None:
    """Keep for people that an option is not heeded."""
    _notes[f"{name}= is not heeded: {why}"] = None


def take_notes() -> list[str]:
    """What was passed over since this was last called."""
    found = list(_notes)
    _notes.clear()
    return found


def _as_it_is(moment: datetime) -> datetime:
    return moment


def _shown(moment: datetime) -> datetime:
    """A moment as DAG files know it: pendulum's where that is installed, else one like it."""
    try:
        import pendulum
    except ImportError:
        from mlflowkit.authoring.moment import Moment

        return Moment.of(moment)
    return pendulum.instance(moment)
