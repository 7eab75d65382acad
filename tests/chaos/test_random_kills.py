"""Engines, templates, supervisors and children die at random moments, three of them a run.

Three, since a task instance may be lost three times: more would be a failure by design.
The seed is printed with a failure; CHAOS_SEED sets it, CHAOS_KILLS how many there are.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest

from mlflowkit.worker import processes
from tests.chaos.conftest import Arena
from tests.homes import alive, fresh_home

KILLS = int(os.environ.get("CHAOS_KILLS", "54"))
KILLS_PER_RUN = 3
KINDS = ("engine", "template", "supervisor", "child")


class Hunt:
    """One run that is shot at until it has ended."""

    def __init__(self, arena: Arena, dice: random.Random) -> None:
        self.arena, self.dice = arena, dice
        self.hits: list[str] = []

    def go(self, kinds: list[str]) -> None:
        """Kill one of each kind, in this order, at random moments; then let it end."""
        engine = self.arena.start("run")
        try:
            for kind in kinds:
                engine = self._shoot(engine, kind)
            assert engine.wait(120) == 0, self.arena.said()
        finally:
            engine.kill()
            engine.wait()

    def _shoot(self, engine: subprocess.Popen[bytes], kind: str) -> subprocess.Popen[bytes]:
        self._wait_for_work(engine)
        time.sleep(self.dice.uniform(0, 0.4))  # the random moment itself
        victims = below_by_kind(engine.pid)
        if kind != "engine":
            if victims[kind]:
                processes.send(self.dice.choice(victims[kind]), signal.SIGKILL)
                self.hits.append(kind)
            return engine
        if engine.poll() is not None:
            return engine
        engine.kill()
        engine.wait()
        self.hits.append(kind)
        return self.arena.start("resume")

    def _wait_for_work(self, engine: subprocess.Popen[bytes]) -> None:
        """Until some attempt of this engine has started, or it has ended."""
        before = self.arena.marks.stat().st_size if self.arena.marks.exists() else 0
        while engine.poll() is None:
            if self.arena.marks.exists() and self.arena.marks.stat().st_size > before:
                return
            time.sleep(0.005)


def below_by_kind(engine: int) -> dict[str, list[int]]:
    """Processes that an engine has, by what they are for."""
    found: dict[str, list[int]] = {kind: [] for kind in KINDS}
    found["template"] = processes.children(engine)
    for template in found["template"]:
        found["supervisor"] += processes.children(template)
    for supervisor in found["supervisor"]:
        found["child"] += processes.children(supervisor)
    return {kind: [p for p in pids if alive(p)] for kind, pids in found.items()}


def test_nothing_is_lost_when_processes_die_at_random(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seed = int(os.environ.get("CHAOS_SEED", random.randrange(1 << 32)))
    dice = random.Random(seed)
    hits: Counter[str] = Counter()
    number = 0
    while hits.total() < KILLS:
        number += 1
        folder = tmp_path / str(number)
        folder.mkdir()
        kinds = [dice.choice(KINDS) for _ in range(KILLS_PER_RUN)]
        with fresh_home(folder) as home:
            hunt = Hunt(Arena(home), dice)
            try:
                hunt.go(kinds)
                hunt.arena.check()
            except AssertionError:
                print(f"CHAOS_SEED={seed}, run {number}, killed {hunt.hits}")
                raise
        hits.update(hunt.hits)
    with capsys.disabled():
        print(f"\n{number} runs, killed: {dict(hits)} (CHAOS_SEED={seed})")
    assert all(hits[kind] for kind in KINDS)
