"""`%dag …`: names the DAG of the task cells, shows, checks, runs and publishes it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any, Final

from mlflowkit.authoring.option_values import seconds
from mlflowkit.authoring.params import params_from_text
from mlflowkit.errors import BadMagic, CellError
from mlflowkit.jupyter.cell_dag import CellDag
from mlflowkit.jupyter.options import DAG_WORDS, TASK_WORDS, Given, literal_of, read_line
from mlflowkit.jupyter.picture import picture
from mlflowkit.jupyter.session import session

_OWN: Final = {
    "help": False,
    "replace": False,
    "paused": False,
    "wait": False,
    "all": False,
}
#: Options of tasks that a DAG can set for all of them.
_FOR_ALL: Final = frozenset(
    {"retries", "retry_delay", "pool", "execution_timeout", "owner"}
)
HELP: Final = """\
%dag                     the DAG of this notebook's task cells; as a last line, its picture
%dag NAME [OPTIONS]      name it; or begin another one, which later %%task cells belong to
    --schedule @daily --tz Europe/Athens --start-date 2026-03-01 --catchup --tags a,b …
    -p n=10              a parameter: cells that read `n` get the run's value
    --retries 2 --retry-delay 30s --pool gpu     for all its tasks
%dag show                its picture
%dag list                its cells: what each takes and gives
%dag check [-p n=20]     look for mistakes
%dag run [-p n=20] [--wait]       run it; gives the run
%dag publish [--paused] [--replace]       hand it to the scheduler
%dag drop TASK           forget a cell;  %dag drop --all  forget the DAG
%dag rename NAME"""


def dag_magic(line: str) -> Any:
    """`%dag`."""
    given = read_line("%dag", line, DAG_WORDS | _FOR_ALL & TASK_WORDS, _OWN)
    if "help" in given.own:
        print(HELP)  # noqa: T201 - asked for in a cell
        return None
    if not given.words:
        if given.options or given.params:
            raise BadMagic(f"%dag {line}", "options need the DAG's name before them")
        return session().dag()
    word, *rest = given.words
    doer = _DOERS.get(word)
    near = get_close_matches(word, _DOERS, n=1, cutoff=0.7)
    if doer is None and near and not (given.options or given.params or rest):
        why = f"did you mean `%dag {near[0]}`? To name a DAG so: %dag name {word}"
        raise BadMagic(f"%dag {line}", why)
    if doer is None and rest:
        raise BadMagic(f"%dag {line}", f"one name, not {len(given.words)}; %dag --help")
    return doer(given, rest, line) if doer else _name(given, word)


def _name(given: Given, name: str) -> None:
    options = dict(given.options)
    defaults = {n: options.pop(n) for n in _FOR_ALL & options.keys() if n != "owner"}
    if "retry_delay" in defaults:
        defaults["retry_delay"] = seconds("retry_delay", defaults["retry_delay"], "%dag")
    if defaults:
        options["default_args"] = defaults
    if given.params:
        options["params"] = {n: literal_of(text) for n, text in given.params.items()}
    dag = session().name(name, options, _cell_id())
    _say(f"{_line(dag)}{'' if dag.cells else '; begin cells with %%task NAME'}")


def _show(_given: Given, rest: list[str], line: str) -> None:
    _no_more(rest, line)
    dag = session().dag()
    dag.spec()
    from IPython.display import display

    show: Any = display
    show(picture(dag), raw=True)


def _list(_given: Given, rest: list[str], line: str) -> None:
    _no_more(rest, line)
    found = session()
    current = found.dag()
    for dag in found.dags.values():
        mark = " (being written)" if dag is current and len(found.dags) > 1 else ""
        _say(f"{_line(dag)}{mark}")
        try:
            lines = [_wired_line(one) for one in dag.wiring()]
        except CellError as exc:
            lines = [f"{name}  [{c.number}]" for name, c in dag.cells.items()]
            lines.append(f"cannot run yet: {exc}")
        for text in lines:
            _say(f"  {text}")


def _wired_line(one: Any) -> str:
    takes = [f"{n} ← {t}" for n, t in one.inputs.items()]
    takes += [f"{n} ← parameter" for n in one.params]
    takes += [f"after {t}" for t in one.cell.after]
    gives = f"gives {', '.join(one.outputs)}" if one.outputs else ""
    parts = [p for p in (", ".join(takes), gives) if p]
    number = f"[{one.cell.number}] " if one.cell.number else ""
    return f"{number}{one.cell.task_id}{': ' if parts else ''}{'; '.join(parts)}"


def _check(given: Given, rest: list[str], line: str) -> None:
    _no_more(rest, line)
    dag = session().dag()
    dag.check(_params(dag, given))
    _say(f"{_line(dag)}: nothing wrong was found")


def _run(given: Given, rest: list[str], line: str) -> Any:
    _no_more(rest, line)
    dag = session().dag()
    options = {n: v for n, v in given.options.items() if n in ("retries", "retry_delay")}
    _refuse_others(given.options, options, line)
    if "wait" in given.own:
        options["wait"] = True
    return dag.run(_params(dag, given), **options)


def _publish(given: Given, rest: list[str], line: str) -> Any:
    _no_more(rest, line)
    _refuse_others(given.options, {}, line)
    paused = True if "paused" in given.own else None
    return session().dag().publish(paused=paused, replace="replace" in given.own)


def _drop(given: Given, rest: list[str], line: str) -> None:
    dag = session().dag()
    if "all" in given.own:
        session().forget(rest[0] if rest else dag.dag_id)
        _say(f"DAG {rest[0] if rest else dag.dag_id} is forgotten; its runs stay")
        return
    if not rest:
        raise BadMagic(f"%dag {line}", "which task? %dag drop TASK")
    for name in rest:
        dag.drop(name)
    _say(_line(dag))


def _rename(_given: Given, rest: list[str], line: str) -> None:
    _say(_line(session().rename(_one(rest, line))))


def _one(rest: list[str], line: str) -> str:
    if len(rest) != 1:
        raise BadMagic(f"%dag {line}", "needs one name")
    return rest[0]


_DOERS: Final[Mapping[str, Callable[[Given, list[str], str], Any]]] = {
    "show": _show,
    "list": _list,
    "check": _check,
    "run": _run,
    "publish": _publish,
    "drop": _drop,
    "rename": _rename,
    "name": lambda given, rest, line: _name(given, _one(rest, line)),
}


def _params(dag: CellDag, given: Given) -> dict[str, Any]:
    return dict(params_from_text(dag.spec(), given.params))


def _line(dag: CellDag) -> str:
    count = len(dag.cells)
    schedule = f", {dag.schedule}" if dag.schedule else ""
    return f"DAG {dag.dag_id}: {count} task cell{'s' * (count != 1)}{schedule}"


def _no_more(rest: list[str], line: str) -> None:
    if rest:
        raise BadMagic(f"%dag {line}", f"{rest[0]!r} means nothing here; %dag --help")


def _refuse_others(given: Mapping[str, Any], known: Mapping[str, Any], line: str) -> None:
    for name in given:
        if name not in known:
            why = f"--{name.replace('_', '-')} belongs to %dag NAME"
            raise BadMagic(f"%dag {line}", why)


def _cell_id() -> str:
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    header: dict[str, Any] = getattr(shell, "parent_header", None) or {}
    return str(header.get("metadata", {}).get("cellId", ""))


def _say(text: str) -> None:
    print(text)  # noqa: T201 - said to whoever ran the cell
