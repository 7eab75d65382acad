"""The live viewer as a widget: one comm for each view, and what goes through it.

The widget's traits name a run, and nothing of it; snapshots, patches, requests and replies are
messages. The viewer's module lies in one shared model, so that a hundred views carry it once.
Imported only where a front end is: it needs ipywidgets.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import anywidget
import traitlets

from mlflowkit.core.screen import ms
from mlflowkit.errors import MlflowkitError
from mlflowkit.home_store import database
from mlflowkit.jupyter.live import Channel, pump
from mlflowkit.jupyter.pumping import OURS
from mlflowkit.store import reading
from mlflowkit.view import module_text, style_text

_FOLDER: Final = Path(__file__).parent
_MOST_RUNS: Final = 100
#: Requests that are remembered, so that one that is heard twice is done once.
_HEARD: Final = 500
HINT: Final = "The live view needs a front end with ipywidgets; the picture below stays."


class Shared(anywidget.AnyWidget):
    """The viewer's modules and style sheet, for all views of a page."""

    _esm = "export default {}"
    module = traitlets.Unicode().tag(sync=True)
    widget = traitlets.Unicode().tag(sync=True)
    style = traitlets.Unicode().tag(sync=True)


@lru_cache(maxsize=1)
def _style() -> str:
    return style_text() + _FOLDER.joinpath("widget.css").read_text(encoding="utf-8")


@lru_cache(maxsize=1)
def _widget() -> str:
    return _FOLDER.joinpath("widget.js").read_text(encoding="utf-8")


@lru_cache(maxsize=1)
def version() -> str:
    """What tells one viewer from another: a page may show those of two kernels."""
    texts = module_text() + _widget() + _style()
    return hashlib.sha256(texts.encode()).hexdigest()[:16]


_shared: list[Shared] = []


def shared_id() -> str:
    """The model id of the shared module; made when there is none, or it was closed."""
    if not _shared or _shared[0].comm is None:
        _shared[:] = [Shared(module=module_text(), widget=_widget(), style=_style())]
    return str(_shared[0].model_id)


class RunWidget(anywidget.AnyWidget):
    """A run, live; or a list of runs, if `run` is empty."""

    _esm = _FOLDER.joinpath("widget_loader.js").read_text(encoding="utf-8")
    run = traitlets.Unicode().tag(sync=True)
    shared = traitlets.Unicode().tag(sync=True)
    version = traitlets.Unicode().tag(sync=True)
    #: Which static pictures it hides while it is seen.
    still = traitlets.Unicode().tag(sync=True)
    height = traitlets.Int(0).tag(sync=True)

    def __init__(
        self,
        home: Path,
        run: str = "",
        *,
        dag: Any = None,
        dag_id: str | None = None,
        still: str = "",
    ) -> None:
        super().__init__(run=run, shared=shared_id(), version=version(), still=still)
        self.home, self.dag, self.dag_id = home, dag, dag_id
        self._lock = threading.Lock()
        self._heard: OrderedDict[str, None] = OrderedDict()
        #: Views that look at it: their name, and the runs they show.
        self.views: dict[str, set[str]] = {}
        #: Whether any view was ever heard of.
        self.met = False
        _answer_where_it_was_asked(self)
        self.on_msg(self._take)
        if run:
            pump().watch(self, run)

    def channel(self, run: str) -> Channel:
        """The feed of a run, shared by all views of it.

        Raises:
            RunNotFound: the home has no such run.
        """
        return pump().channel(self.home, run, self.dag if run == self.run else None)

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        found = super()._repr_mimebundle_(**kwargs)
        if found is not None:
            found[0]["text/plain"] = HINT
        return found

    def close(self) -> None:
        pump().forget(self)
        layout: Any = self.layout
        super().close()
        if layout is not None:  # a widget of its own, with a comm
            layout.close()

    # ── messages ────────────────────────────────────────────────────────────

    def _take(self, _widget: Any, content: Any, _buffers: Any) -> None:
        """A message from a view. May come in any thread."""
        if not isinstance(content, Mapping):
            return
        told = [content.get(name) for name in ("id", "kind", "run")]
        payload = content.get("payload")
        if not all(isinstance(one, str) for one in told) or not isinstance(payload, dict):
            return
        name, kind, run = map(str, told)
        self.met = True
        if kind in ("hello", "bye", "here"):
            self._greeted(name, kind, run)
        elif self._new(name):
            if kind in ("act", "foresee", "open"):  # may take as long as its engine
                threading.Thread(
                    target=self._reply, args=(name, kind, run, payload), daemon=True
                ).start()
            else:
                self._reply(name, kind, run, payload)

    def _greeted(self, name: str, kind: str, run: str) -> None:
        with self._lock:
            if kind == "bye" and not run:
                self.views.pop(name, None)
            elif kind == "bye":
                self.views.get(name, set()).discard(run)
            elif run:
                self.views.setdefault(name, set()).add(run)
        if kind == "hello":
            pump().watch(self, run)

    def watches(self, run: str) -> bool:
        """Whether a view of it shows this run."""
        with self._lock:
            return any(run in runs for runs in self.views.values())

    def _new(self, name: str) -> bool:
        with self._lock:
            if name in self._heard:
                return False
            self._heard[name] = None
            while len(self._heard) > _HEARD:
                self._heard.popitem(last=False)
        return True

    def _reply(self, name: str, kind: str, run: str, payload: dict[str, Any]) -> None:
        try:
            if kind == "runs":
                answer = self._runs(payload)
            else:
                answer = self.channel(run).feed.request(kind, payload)
            if kind == "act":
                pump().stir()
        except (MlflowkitError, OSError) as exc:
            self.say({"reply": name, "error": str(exc) or type(exc).__name__})
        else:
            self.say({"reply": name, "ok": answer})

    def _runs(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        offset, limit = (_whole(payload.get(n)) for n in ("offset", "limit"))
        limit = min(max(limit, 1), _MOST_RUNS)
        state = payload.get("state")
        with database(self.home).reading() as tx:
            found = reading.list_runs(
                tx,
                self.dag_id,
                state=state if isinstance(state, str) and state else None,
                limit=offset + limit + 1,
            )
        rows = found[offset : offset + limit]
        return {
            "offset": offset,
            "more": len(found) > offset + limit,
            "rows": [_row(one) for one in rows],
        }

    def say(self, content: dict[str, Any]) -> None:
        """Send a message to all views of it, from any thread."""
        if self.comm is not None:
            self.send(content)


def _row(one: reading.RunSummary) -> dict[str, Any]:
    return {
        "run_id": one.run_id,
        "state": str(one.state),
        "created": ms(one.created_at),
        "started": ms(one.started_at),
        "ended": ms(one.ended_at),
    }


def _whole(value: object) -> int:
    fits = isinstance(value, int) and not isinstance(value, bool)
    return min(max(int(value), 0), 10_000_000) if fits else 0  # type: ignore[call-overload]


def _answer_where_it_was_asked(widget: anywidget.AnyWidget) -> None:
    """Messages of a comm are handled where the front end sends them: in its subshell.

    ipykernel sends them to where the kernel last wrote from instead, which for views that a
    thread feeds is the main shell: busy while a cell runs.
    """
    comm: Any = widget.comm
    if comm is None:
        return
    setattr(comm, OURS, True)
    if hasattr(comm, "_reply_subshell_for"):
        comm._reply_subshell_for = None
