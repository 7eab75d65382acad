"""What a cell shows of a run: the live view, and a picture that stays when all else is gone.

Two outputs, one below the other: a widget, and a static picture that the live view hides and
that is brought up to date when the run ends. Without a front end nothing here makes a widget.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import partial
from html import escape
from typing import TYPE_CHECKING, Any, Final

from mlflowkit.app import interactive
from mlflowkit.errors import MlflowkitError, RunNotFound
from mlflowkit.handles.run import RunHandle
from mlflowkit.handles.run_list import RunList
from mlflowkit.home_store import database
from mlflowkit.store import reading
from mlflowkit.store.runs import spec_of
from mlflowkit.view.static import static_html, static_text

if TYPE_CHECKING:
    from mlflowkit.jupyter.widget import RunWidget

#: Views that one cell shows by itself; more runs are told in words.
MOST_IN_A_CELL: Final = 5
#: Live views that are kept while nobody looks at them.
MOST_UNSEEN: Final = 20
ROWS: Final = 20
_quiet: ContextVar[bool] = ContextVar("quiet", default=False)
#: In a front end of Jupyter, a widget that cannot be shown any more gives way to the picture.
_GIVE_WAY: Final = (
    "<style>"
    ".jp-OutputArea-child:not(:has(.mkv,.mlflowkit-form,.mlflowkit-still))"
    ":not(:has(.jp-RenderedText)):has(+ .jp-OutputArea-child .mlflowkit-still),"
    ".jp-OutputArea-child:has(.mkv,.mlflowkit-form) + "
    ".jp-OutputArea-child:has(.mlflowkit-still){display:none}</style>"
)


def shell() -> Any:
    """IPython's shell if it has a kernel and a person at its front end; else None."""
    import sys

    ipython = sys.modules.get("IPython")
    found = ipython.get_ipython() if ipython is not None else None
    return found if getattr(found, "kernel", None) is not None else None


def live() -> bool:
    """Whether a widget would be seen."""
    return shell() is not None and interactive()


@contextmanager
def no_view() -> Iterator[None]:
    """Within it, `run()` shows nothing by itself: the caller does."""
    token = _quiet.set(True)
    try:
        yield
    finally:
        _quiet.reset(token)


def started(run: RunHandle) -> None:
    """`d.run()` was called: show it, where somebody looks."""
    if _quiet.get() or not live():
        return
    count = _cells.begun(_parent())
    if count > MOST_IN_A_CELL:
        print(f'run {run.run_id} goes on: mlflowkit.run("{run.run_id}") shows it')  # noqa: T201
        return
    show(run)


def show(what: RunHandle | RunList) -> bool:
    """Show a run or a list of runs in the cell; False where there is no front end.

    What was shown in a cell is not shown again by the same cell.
    """
    if not live():
        return False
    parent = _parent()
    key = what.run_id if isinstance(what, RunHandle) else f"runs of {what.dag_id}"
    if not _cells.first(parent, key):
        return True
    still = f"s{secrets.token_hex(6)}"
    _show_widget(what, parent, still)
    if isinstance(what, RunHandle):
        _show_picture(what, still)
    else:
        publish(_list_bundle(what, still), still)
    return True


def _show_widget(what: RunHandle | RunList, parent: dict[str, Any], still: str) -> None:
    from IPython.display import display

    widget = widget_of(what, still)
    _cells.keep(parent, widget)
    display(widget)  # type: ignore[no-untyped-call]


def widget_of(what: RunHandle | RunList, still: str = "") -> RunWidget:
    """A widget of a run, or of a list of runs."""
    from mlflowkit.jupyter.widget import RunWidget

    if isinstance(what, RunHandle):
        return RunWidget(what.home, what.run_id, dag=what.dag, still=still)
    return RunWidget(what.home, dag_id=what.dag_id, still=still)


# ── the picture that stays ──────────────────────────────────────────────────


def bundle(run: RunHandle, still: str = "") -> dict[str, str]:
    """A run as HTML and as text.

    Raises:
        RunNotFound: it is not in the store.
    """
    return {
        "text/html": framed(run_html(run), still),
        "text/plain": static_text(run.view()),
    }


def run_html(run: RunHandle) -> str:
    """A run as it is now: picture, table, and how it is shown live.

    Raises:
        RunNotFound: it is not in the store.
    """
    view = run.view()
    with database(run.home).reading() as tx:
        spec = spec_of(tx, run.run_id)
    if spec is None:
        raise RunNotFound(run.run_id, [])
    return static_html(spec, view) + _note(run, over=view.ended)


def _note(run: RunHandle, *, over: bool) -> str:
    said = "" if over else f"As of {datetime.now(UTC):%Y-%m-%d %H:%M} UTC. "
    code = escape(f'mlflowkit.run("{run.run_id}")')
    return (
        '<p style="margin:6px 0 0;opacity:.75;font:12px system-ui,sans-serif">'
        f"{said}<code>{code}</code> shows it live.</p>"
    )


def framed(html: str, still: str) -> str:
    """A picture that gives way to the live view beside it: the widget that names `still`."""
    name = f" mlflowkit-still-{still}" if still else ""
    give_way = _GIVE_WAY if still else ""
    return f'{give_way}<div class="mlflowkit-still{name}">{html}</div>'


def _show_picture(run: RunHandle, still: str) -> None:
    publish(bundle(run, still), still)
    from mlflowkit.jupyter.live import pump

    pump().channel(run.home, run.run_id).at_end(still, partial(_renew, run, still))
    pump().stir()


def _renew(run: RunHandle, still: str) -> None:
    try:
        found = bundle(run, still)
    except (MlflowkitError, OSError):
        return  # it was cleaned away: the picture stays as it is
    publish(found, still, update=True)


def publish(
    data: Mapping[str, object], display_id: str = "", *, update: bool = False
) -> None:
    """Show something in the cell, by MIME type; or anew, what was shown under an id."""
    found = shell()
    if found is not None:
        transient = {"display_id": display_id} if display_id else {}
        found.display_pub.publish(dict(data), {}, transient=transient, update=update)


def list_bundle(runs: RunList) -> dict[str, str]:
    """A list of runs as HTML and as text."""
    return _list_bundle(runs, "")


def _list_bundle(runs: RunList, still: str) -> dict[str, str]:
    with database(runs.home).reading() as tx:
        found = reading.list_runs(tx, runs.dag_id, limit=ROWS + 1)
    cell = 'style="padding:3px 14px 3px 0;text-align:left"'
    rows = "".join(
        f"<tr><td {cell}>{escape(r.run_id)}</td><td {cell}>{escape(r.state)}</td>"
        f"<td {cell}>{r.created_at:%Y-%m-%d %H:%M} UTC</td></tr>"
        for r in found[:ROWS]
    )
    heads = "".join(f"<th {cell}>{name}</th>" for name in ("Run", "State", "Created"))
    more = "<p>… and older ones</p>" if len(found) > ROWS else ""
    html = f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>{more}"
    if not found:
        html = "<p>no runs yet</p>"
    return {"text/html": framed(html, still), "text/plain": repr(runs)}


# ── which cell shows what ───────────────────────────────────────────────────


def _parent() -> dict[str, Any]:
    found = shell()
    parent: dict[str, Any] = found.kernel.get_parent() if found is not None else {}
    return parent or {}


class Cells:
    """What each cell has shown: a cell that runs again lets go of what it showed before."""

    def __init__(self) -> None:
        self._message = ""
        self._shown: set[str] = set()
        self._begun = 0
        self._widgets: list[tuple[str, str, Any]] = []

    def _enter(self, parent: dict[str, Any]) -> str:
        message = str(parent.get("header", {}).get("msg_id", ""))
        if message != self._message:
            self._message, self._shown, self._begun = message, set(), 0
        return message

    def begun(self, parent: dict[str, Any]) -> int:
        """How many runs this cell has begun, this one too."""
        self._enter(parent)
        self._begun += 1
        return self._begun

    def first(self, parent: dict[str, Any], key: str) -> bool:
        """Whether this cell has not shown it yet, in this execution."""
        self._enter(parent)
        if key in self._shown:
            return False
        self._shown.add(key)
        return True

    def keep(self, parent: dict[str, Any], widget: Any) -> None:
        """Remember a view, and close those that its cell showed before; and the oldest of
        those that nobody looks at."""
        message = self._enter(parent)
        cell = str(parent.get("metadata", {}).get("cellId", ""))
        for entry in list(self._widgets):
            same = cell and entry[0] == cell and entry[1] != message
            if same:
                self._forget_picture(entry[2].still)
            if same or entry[2].comm is None:
                self._let_go(entry)
        unseen = [e for e in self._widgets if not e[2].views]
        for entry in unseen[: max(len(unseen) - MOST_UNSEEN, 0)]:
            self._let_go(entry)
        self._widgets.append((cell, message, widget))

    @staticmethod
    def _forget_picture(still: str) -> None:
        """Its cell shows another one now."""
        from mlflowkit.jupyter.live import pump

        pump().not_at_end(still)

    def _let_go(self, entry: tuple[str, str, Any]) -> None:
        self._widgets.remove(entry)
        if entry[2].comm is not None:
            entry[2].close()


_cells = Cells()
