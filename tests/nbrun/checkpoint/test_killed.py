"""A checkpoint is there whole or not at all, wherever its writer is killed."""

from __future__ import annotations

import logging
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mlflowkit.nbrun.checkpoint import inside, writing
from mlflowkit.nbrun.checkpoint.keeper import current, keepers
from mlflowkit.nbrun.checkpoint.outside import FOLDER
from mlflowkit.nbrun.checkpoint.store import Store
from tests.nbrun.checkpoint.shells import Run
from tests.nbrun.conftest import code, execute, save

CELLS = [
    "import numpy as np\nx = np.arange(3000.); names = ['a']",
    "x[0] = 5; y = x[10:20]; names.append('b')",
    "x[1] = 7; z = [y, names]; big = bytes(5000)",
]
CHECK = "held = [x[:2].tolist(), names, z[0].base is x, len(big)]"


@contextmanager
def killed_at(monkeypatch: pytest.MonkeyPatch, nth: int) -> Iterator[None]:
    """A fork of this process is killed where it would change its `nth` file."""
    me, seen = os.getpid(), [0]

    def dying(function: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            if os.getpid() != me:
                seen[0] += 1
                if seen[0] == nth:
                    os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **kwargs)

        return call

    with monkeypatch.context() as patch:
        for name in ("open", "write", "close", "replace", "unlink"):
            patch.setattr(os, name, dying(getattr(os, name)))
        yield


def half_written(folder: Path) -> list[str]:
    return [p.name for p in folder.rglob(".*")]


def test_wherever_the_writer_is_killed_there_is_the_step_before_or_the_whole_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "may_fork", lambda: True)
    base = Store(tmp_path / "base")
    Run(CELLS, base.folder, stored={0, 1}).begin()
    inside.settle()
    keeper, outcomes = current(), list[tuple[list[int], list[int]]]()
    for nth in range(1, 200):
        base.keep(1)
        keepers[:] = [keeper]
        with killed_at(monkeypatch, nth):
            inside.after(2, 10.0)
            inside.settle()
        assert base.is_written()
        place = shutil.copytree(base.folder, tmp_path / str(nth))
        steps = [step.at for step in base.steps()]
        outcomes.append((steps, base.unfinished()))
        resumed = Run([*CELLS, CHECK], place, stored=())
        plan = resumed.resume()
        assert resumed.error == ""
        # What was stored is had back whole; what was not is run.
        assert plan.start == len(steps)
        assert resumed.shell.user_ns["held"] == [[5.0, 7.0], ["a", "b"], True, 5000]
        assert half_written(place) == [] and Store(place).unfinished() == []
        if outcomes[-1] == ([0, 1, 2], []):
            break
    assert outcomes[0] == ([0, 1], [])  # before it was even begun
    assert outcomes[-1] == ([0, 1, 2], [])
    middle = [each for each in outcomes if each not in (outcomes[0], outcomes[-1])]
    # One by one: begun and not there; at the very end there, and not yet said to be.
    assert ([0, 1], [2]) in middle and middle[-1] == ([0, 1, 2], [2])
    assert {tuple(steps) for steps, _ in outcomes} == {(0, 1), (0, 1, 2)}
    assert len(outcomes) > 15
    keepers.clear()


def test_a_checkpoint_whose_writer_was_killed_is_said_to_be_unfinished(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dies = (
        "import os, signal\nfrom mlflowkit.nbrun.checkpoint import writing\n"
        "writing._stored = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\nx = [2]"
    )
    cells = [code("x = [1]"), code(dies), code("1 / 0")]
    path = save(tmp_path / "nb.ipynb", *cells)
    caplog.set_level(logging.INFO, "mlflowkit.task.notebook")
    given: dict[str, Any] = {"checkpoint": "always", "state_dir": tmp_path / "state"}
    failed = execute(path, **given)
    said = "the checkpoint after cell 2 of those that run was not finished"
    assert failed.statuses() == ["completed", "completed", "failed"]
    assert failed.notebook.metadata.mlflowkit["checkpoints"] == [said]
    assert f"{said}; the one before it is as it was" in caplog.messages
    assert [s.at for s in Store(tmp_path / "state" / FOLDER).steps()] == [0]

    save(path, *cells[:2], code("print(x)"))
    again = execute(path, resume=True, **given)
    assert again.statuses() == ["restored", "completed", "completed"]
    assert again.printed(2) == "[2]\n"
