"""A foreground engine in a process of its own, for tests to kill.

    python -m tests.chaos.driver run|resume

`run` starts one run of the chaos DAG, `resume` goes on with all that were interrupted;
both end when every run has. With CHAOS_PLANT=early the engine has a planted bug: it
carries decisions out before they are committed.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

from mlflowkit.app import foreground_engine, make_request
from mlflowkit.engine.process import EngineProcess
from mlflowkit.engine.turn import Turns
from mlflowkit.engine_commands import Commands
from mlflowkit.settings import home
from tests.chaos.pipeline import make

#: How long the planted bug waits for the attempts that it launched too early.
PLANTED_SECONDS = 60.0


def plant_early_launch() -> None:
    """What the design forbids: launches leave before the transaction is committed."""
    engines: list[EngineProcess] = []
    start, save = EngineProcess.__init__, Turns._save
    marks = Path(os.environ["CHAOS_FILE"])

    def init(self: EngineProcess, *args: Any, **kwargs: Any) -> None:
        engines.append(self)
        start(self, *args, **kwargs)

    def early(self: Turns, *args: Any) -> Any:
        entries = save(self, *args)
        engine = engines[-1]
        engine.carrying_out.work(entries)
        until = time.monotonic() + PLANTED_SECONDS
        while entries and not marks.exists() and time.monotonic() < until:
            engine.loop.run_once(0.02)
        return entries

    EngineProcess.__init__ = init  # type: ignore[method-assign]
    Turns._save = early  # type: ignore[method-assign, assignment]


def main(what: str) -> int:
    if os.environ.get("CHAOS_PLANT") == "early":
        plant_early_launch()
    with foreground_engine(home()) as engine:
        if what == "run":
            engine.submit(make_request(make(), {}, {}, home()))
        else:
            assert Commands(engine)._resume() is not None
        print("ready", flush=True)
        engine.serve(lambda: not engine.busy)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
