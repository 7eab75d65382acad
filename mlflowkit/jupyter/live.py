"""One thread that reads the runs which are on screens, and sends what changed.

It lives while there is something to watch: a run that goes on, or a view that looks at one.
It writes nothing to the store, and works out no state.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Protocol

from mlflowkit.errors import MlflowkitError
from mlflowkit.view import RunFeed

#: Seconds between two looks at a run that goes on, and at one that has ended.
STEP: Final = 0.12
REST: Final = 2.0
#: Seconds between two snapshots to a view that has not been heard of yet, and how many.
CALL: Final = 1.0
CALLS: Final = 30


class Listener(Protocol):
    """A widget."""

    home: Path
    met: bool

    def say(self, content: dict[str, Any]) -> None: ...
    def watches(self, run: str) -> bool: ...


class Channel:
    """The feed of one run, and who hears of it."""

    def __init__(self, home: Path, run: str, dag: Any = None) -> None:
        self.run = run
        self.feed = RunFeed(home, run, dag)
        first = self.feed.snapshot()
        self.cursor, self._run = str(first["cursor"]), dict(first["run"])
        self.listeners: list[Listener] = []
        #: Called when the run has ended, each time it does; and the end that each knows of.
        self._at_end: dict[str, tuple[Callable[[], None], list[object]]] = {}
        self.next, self.called, self.calls = 0.0, time.monotonic(), 0
        self._over = False

    def beat(self, now: float) -> None:
        """Send what changed since the last beat."""
        if now < self.next:
            return
        news = self.feed.patch(self.cursor)
        changed = news["kind"] == "snapshot" or any(
            news[part] for part in ("run", "tasks", "groups")
        )
        self.cursor = news["cursor"]
        listeners = list(self.listeners)
        if changed:
            for one in listeners:
                one.say({"news": news, "run": self.run})
        self._call(now, [one for one in listeners if not one.met])
        self._run.update(news["run"])
        self._over = over = bool(self._run["over"])
        for tell, known in list(self._at_end.values()):
            if over and known[0] != self._run["ended"]:
                known[0] = self._run["ended"]
                tell()
        self.next = now + (REST if over else STEP)

    def at_end(self, name: str, tell: Callable[[], None]) -> None:
        """Call it whenever the run has ended from now on, in place of what has that name."""
        known = self._run["ended"] if self._run["over"] else None
        self._at_end[name] = (tell, [known])

    def not_at_end(self, name: str) -> None:
        """Call it no more."""
        self._at_end.pop(name, None)

    def _call(self, now: float, strangers: list[Listener]) -> None:
        """A busy kernel cannot hear a view ask for its first picture: send it unasked."""
        if not strangers or self.calls >= CALLS or now - self.called < CALL:
            return
        self.called, self.calls = now, self.calls + 1
        snapshot = self.feed.snapshot()
        for one in strangers:
            one.say({"news": snapshot, "run": self.run})

    @property
    def needed(self) -> bool:
        """Whether anybody would miss it."""
        if not self._over:
            return bool(self.listeners or self._at_end)
        waits = self.calls < CALLS and any(not one.met for one in self.listeners)
        return waits or any(one.watches(self.run) for one in self.listeners)


class Pump:
    """Channels by home and run, and the thread that beats them."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._channels: dict[tuple[Path, str], Channel] = {}
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None

    def channel(self, home: Path, run: str, dag: Any = None) -> Channel:
        """The channel of a run, opened if need be.

        Raises:
            RunNotFound: the home has no such run.
        """
        with self._lock:
            found = self._channels.get((home, run))
        if found is None:
            made = Channel(home, run, dag)
            with self._lock:
                found = self._channels.setdefault((home, run), made)
        if dag is not None:
            found.feed.dag = dag
        return found

    def watch(self, listener: Any, run: str, dag: Any = None) -> None:
        """Send a run's news to a listener from now on.

        Raises:
            RunNotFound: the home has no such run.
        """
        channel = self.channel(listener.home, run, dag or getattr(listener, "dag", None))
        with self._lock:
            if listener not in channel.listeners:
                channel.listeners.append(listener)
        self.stir()

    def forget(self, listener: Any) -> None:
        """Send it nothing more."""
        with self._lock:
            for channel in self._channels.values():
                if listener in channel.listeners:
                    channel.listeners.remove(listener)
        self.stir()

    def not_at_end(self, name: str) -> None:
        """What was to be called under that name is not called any more."""
        with self._lock:
            for channel in self._channels.values():
                channel.not_at_end(name)

    def stir(self) -> None:
        """Look at once; start the thread if it sleeps."""
        with self._lock:
            for channel in self._channels.values():
                channel.next = 0.0
            if self._thread is None and self._channels:
                self._thread = threading.Thread(
                    target=self._work, name="mlflowkit-view", daemon=True
                )
                self._thread.start()
        self._wake.set()

    def _work(self) -> None:
        while True:
            with self._lock:
                for key in [k for k, c in self._channels.items() if not c.needed]:
                    del self._channels[key]
                if not self._channels:
                    self._thread = None
                    return
                channels = list(self._channels.items())
            for key, channel in channels:
                self._beat(key, channel)
            self._wake.wait(STEP)
            self._wake.clear()

    def _beat(self, key: tuple[Path, str], channel: Channel) -> None:
        try:
            channel.beat(time.monotonic())
        except (MlflowkitError, OSError):  # cleaned away, or its home is gone
            with self._lock:
                self._channels.pop(key, None)

    @property
    def alive(self) -> bool:
        """Whether its thread runs."""
        return self._thread is not None


@lru_cache(maxsize=1)
def pump() -> Pump:
    """The pump of this process."""
    return Pump()
