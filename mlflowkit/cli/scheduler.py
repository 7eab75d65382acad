"""`mlflowkit scheduler`: runs start by their schedules, and folders are followed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import typer

from mlflowkit.cli.airflow import IN_FOLDERS as AIRFLOW
from mlflowkit.cli.stopping import Stop, stoppable

if TYPE_CHECKING:
    from mlflowkit.cli.folders import Folder
    from mlflowkit.engine.client import EngineClient

#: An engine of another process plans for us so long, unless it is asked again.
LEASE_SECONDS: Final = 15.0
RENEW_SECONDS: Final = 1.0
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def scheduler(
    folders: list[str] | None = typer.Argument(
        None,
        metavar="[FOLDER …]",
        help="Folders of pipeline files to follow; default: pipelines, if it is there.",
    ),
    unpaused: bool = typer.Option(
        False, "--unpaused", help="Run DAGs that are new at once, instead of paused."
    ),
    airflow: bool = AIRFLOW,
) -> None:
    """Start the runs that are due, until Ctrl-C. DAGs of folders are followed as files change.

    DAGs that are new wait for `mlflowkit dags unpause DAG`, as in Airflow. The engine that is
    alive in the home does the work; if none is, this process is the engine.
    """
    from mlflowkit.cli.console import say
    from mlflowkit.cli.dags import PIPELINES
    from mlflowkit.cli.folders import Folder
    from mlflowkit.cli.places import the_home
    from mlflowkit.errors import PipelineMissing
    from mlflowkit.settings import root

    home = the_home()
    usual = root() / PIPELINES
    places = [Path(f) for f in folders] if folders else [usual] if usual.is_dir() else []
    for place in places:
        if not place.is_dir():
            raise PipelineMissing(str(place), "is no folder that exists")
    followed = [
        Folder(
            Path(os.path.realpath(p)), home, _say_now, unpaused=unpaused, airflow=airflow
        )
        for p in places
    ]
    say(f"scheduler of {home}; Ctrl-C ends it")
    for place in places:
        say(f"follows {place}")
    _work(home, followed)


def _say_now(line: str) -> None:
    from mlflowkit.cli.console import say

    say(f"{time.strftime('%H:%M:%S')} {line}")


def _work(home: Path, folders: list[Folder]) -> None:
    """Be the scheduler until somebody stops it; an engine that dies is followed by this one."""
    from mlflowkit.app import foreground_engine
    from mlflowkit.engine.client import EngineClient
    from mlflowkit.errors import HomeBusy

    stop = Stop()
    with stoppable(stop, _SIGNALS):
        while not stop.asked:
            client = EngineClient(home)
            if client.connect():
                _attached(client, folders, stop)
                continue
            try:
                with foreground_engine(home) as engine:
                    stop.wake = engine.loop.wake
                    engine.schedules.plan()
                    with _following(folders, home):
                        engine.serve(lambda: bool(stop.asked))
                    if engine.stopping and not stop.asked:
                        _say_now("stopped by `mlflowkit engine stop`")
                        return
            except HomeBusy:
                time.sleep(0.1)  # one that begins or ends just now
    _say_now("stopped; what was under way goes on with the next scheduler")


def _attached(client: EngineClient, folders: list[Folder], stop: Stop) -> None:
    """Have the engine of another process plan, as long as it lives."""
    from mlflowkit.errors import EngineGone, SchedulerAlive

    try:
        if client.call("ping")["planning"]:
            raise SchedulerAlive(client.home)
        client.call("plan", lease=LEASE_SECONDS)
        _say_now("the engine in the background starts the runs")
        with _following(folders, client.home):
            while not stop.asked:
                time.sleep(RENEW_SECONDS)
                client.call("plan", lease=LEASE_SECONDS)
            client.call("rest")
    except EngineGone:
        _say_now("the engine is gone: this process takes its place")
    finally:
        client.close()


@contextmanager
def _following(folders: list[Folder], home: Path) -> Iterator[None]:
    from mlflowkit.cli.folders import Watch

    watch = Watch(folders, home, _say_now)
    watch.start()
    try:
        yield
    finally:
        watch.stop()
