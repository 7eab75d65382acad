"""Plant small bugs in the machine, one at a time, and see whether the laws catch each.

    python scripts/mutants.py                 all of them
    python scripts/mutants.py old-mail …      only these
    python scripts/mutants.py --list          their names
    python scripts/mutants.py --check         whether each still fits the code

A law that no bug can break proves nothing. Each bug is a replacement of text that must
match exactly once, made in a copy of the core in a temporary folder. The laws are tried
first (no shrinking, the `mutant` profile), then the stories. Leaves with 1 if a bug survives.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
MACHINE = Path("mlflowkit/core/machine")
#: What a copy needs to run the tests of the core.
PARTS = (
    "mlflowkit/__init__.py",
    "mlflowkit/errors.py",
    "mlflowkit/core",
    "tests/__init__.py",
    "tests/conftest.py",
    "tests/core",
)
SUITES = {"laws": "test_machine_laws.py", "stories": "stories"}
LONGEST_SECONDS = 300


class Mutant(NamedTuple):
    name: str
    file: str
    old: str
    new: str


MUTANTS = (
    Mutant(
        "old-mail-counts",
        "step.py",
        "self.run.attempt_of(instance) != attempt",
        "instance.task_id != attempt.task_id",
    ),
    Mutant(
        "mail-of-another-run-counts",
        "step.py",
        "self.run.attempt_of(instance) != attempt",
        "instance.attempt != attempt.number",
    ),
    Mutant(
        "mail-after-the-end-counts",
        "step.py",
        "return instance if instance.state in HOLDS_PLACE else None",
        "return instance",
    ),
    Mutant(
        "lost-spends-a-try", "finish.py", "instance.lost += 1", "instance.failures += 1"
    ),
    Mutant(
        "lost-for-ever", "finish.py", "instance.lost > LOST_LIMIT", "instance.lost > 99"
    ),
    Mutant(
        "one-retry-too-many",
        "finish.py",
        "instance.failures <= policy.retries",
        "instance.failures <= policy.retries + 1",
    ),
    Mutant(
        "retries-what-cannot-help",
        "finish.py",
        "(retryable or instance.stopping) and ",
        "",
    ),
    Mutant(
        "no-alarm-for-a-retry",
        "finish.py",
        "    step.wake_at(instance, when)\n",
        "    instance.alarm = when\n",
    ),
    Mutant("alarms-ring-early", "wake.py", "instance.alarm <= step.now", "True"),
    Mutant(
        "a-timeout-kills-again",
        "wake.py",
        "        instance.alarm = None\n        instance.stopping = f",
        "        instance.stopping = ''\n        _ = f",
    ),
    Mutant("a-place-too-many", "start.py", "while places > 0", "while places >= 0"),
    Mutant(
        "starts-after-cancel",
        "people.py",
        "    run.row.cancelled = True\n    run.ready.clear()\n",
        "    run.row.cancelled = True\n",
    ),
    Mutant("an-attempt-twice", "start.py", "        instance.attempt += 1\n", ""),
    Mutant(
        "the-rest-is-forgotten",
        "start.py",
        "            if node.unstarted:\n                return\n",
        "",
    ),
    Mutant(
        "failures-do-not-travel",
        "flow.py",
        "            closed.append(instance)\n",
        "",
    ),
    Mutant("met-too-early", "flow.py", "if down.unmet == 0 and", "if down.unmet <= 1 and"),
    Mutant(
        "a-skip-is-a-success",
        "run.py",
        "for state in (*BAD, TaskState.SKIPPED):",
        "for state in BAD:",
    ),
    Mutant(
        "ends-too-early", "run.py", "self.ended_count >= self.size", "self.ended_count > 0"
    ),
    Mutant(
        "an-expansion-is-not-told",
        "flow.py",
        "len(kept)\n    step.node_changed(node)\n",
        "len(kept)\n",
    ),
    Mutant(
        "no-row-for-a-change",
        "people.py",
        "        instance.stopping = CANCELLED\n        step.changed(instance)\n",
        "        instance.stopping = CANCELLED\n",
    ),
    Mutant(
        "the-old-expansion-stays",
        "flow.py",
        "index != UNMAPPED and instance.state is TaskState.NONE",
        "False",
    ),
    Mutant(
        "an-earlier-expansion-is-counted-anew",
        "flow.py",
        "node.row.length, node.row.next_index = length, len(kept)",
        "node.row.length, node.row.next_index = length, 0",
    ),
    Mutant(
        "cancelled-while-queued", "people.py", "        make_rows(step)\n", "        pass\n"
    ),
    Mutant(
        "what-waited-is-forgotten-by-cancel",
        "people.py",
        "    node.counts[TaskState.SKIPPED] += node.unstarted\n",
        "",
    ),
    Mutant(
        "the-rest-stays-skipped-on-retry",
        "people.py",
        "            node.counts[TaskState.SKIPPED] -= node.unstarted\n",
        "            pass\n",
    ),
    Mutant(
        "a-retry-restarts-what-was-not-named",
        "people.py",
        "            _write_skipped(step, node)\n",
        "            pass\n",
    ),
    Mutant(
        "a-retry-below-a-failure-hangs",
        "people.py",
        "        _close_if_blocked(step, node)\n",
        "        pass\n",
    ),
    Mutant(
        "a-retry-keeps-the-old-count",
        "people.py",
        "        node.counts[instance.state] -= 1\n",
        "        pass\n",
    ),
    Mutant(
        "a-retry-keeps-the-tries-spent",
        "people.py",
        "    instance.failures = instance.lost = 0\n",
        "",
    ),
    Mutant(
        "a-retry-of-an-unknown-task",
        "people.py",
        "    _check(run, task_ids)\n    was_cancelled = run.row.cancelled\n"
        '    step.move_run("cleared")\n',
        "    was_cancelled = run.row.cancelled\n"
        '    step.move_run("cleared")\n    _check(run, task_ids)\n',
    ),
    Mutant(
        "loaded-without-alarms",
        "run.py",
        "        if instance.alarm is not None:\n",
        "        if False:\n",
    ),
    Mutant(
        "loaded-in-another-order",
        "run.py",
        "heapq.heappush(self.ready, (node.position, map_index, node.spec.task_id))",
        "heapq.heappush(self.ready, (len(self.ready), map_index, node.spec.task_id))",
    ),
    Mutant(
        "loaded-as-not-cancelled",
        "run.py",
        "        if run.row.cancelled:\n",
        "        if False:\n",
    ),
    Mutant(
        "a-cancelled-run-succeeds",
        "step.py",
        '"failed" if bad or stopped else "succeeded"',
        '"failed" if bad else "succeeded"',
    ),
)


def plant(mutant: Mutant, folder: Path) -> None:
    """A copy of the core and its tests in `folder`, with one bug."""
    for part in PARTS:
        source, target = ROOT / part, folder / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    (folder / MACHINE / mutant.file).write_text(planted(mutant))


def planted(mutant: Mutant) -> str:
    """The text of its file, with the bug."""
    text = (ROOT / MACHINE / mutant.file).read_text()
    found = text.count(mutant.old)
    if found != 1:
        sys.exit(f"{mutant.name}: its text stands {found} times in {mutant.file}, not once")
    return text.replace(mutant.old, mutant.new)


def caught_by(mutant: Mutant) -> str:
    """ "laws", "stories", or "" if nobody noticed."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as name:
        folder = Path(name)
        plant(mutant, folder)
        for suite, file in SUITES.items():
            if not _passes(folder, f"tests/core/{file}"):
                return suite
    return ""


def _passes(folder: Path, tests: str) -> bool:
    command = [sys.executable, "-m", "pytest", "-qx", "-p", "no:cacheprovider", tests]
    settings = {
        "HYPOTHESIS_PROFILE": "mutant",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=os.environ | settings,
            capture_output=True,
            text=True,
            timeout=LONGEST_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return False  # it runs in circles: noticed
    if done.returncode not in (0, 1):
        sys.exit(f"pytest could not run:\n{done.stdout}{done.stderr}")
    return done.returncode == 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="only these")
    parser.add_argument("--list", action="store_true", help="say their names")
    parser.add_argument("--check", action="store_true", help="only see whether they fit")
    parser.add_argument("--jobs", type=int, default=2, help="how many at once")
    options = parser.parse_args()
    if options.list:
        print("\n".join(m.name for m in MUTANTS))
        return 0
    if options.check:
        compiled = [compile(planted(m), m.file, "exec") for m in MUTANTS]
        print("all of them fit" if len(compiled) >= 15 else "too few")
        return 0
    unknown = set(options.names) - {m.name for m in MUTANTS}
    if unknown:
        parser.error(f"no such bug: {', '.join(sorted(unknown))}")
    chosen = [m for m in MUTANTS if not options.names or m.name in options.names]
    return _try_all(chosen, options.jobs)


def _try_all(chosen: list[Mutant], jobs: int) -> int:
    began, survivors = time.monotonic(), list[str]()
    with ThreadPoolExecutor(jobs) as pool:
        for mutant, suite in zip(chosen, pool.map(caught_by, chosen), strict=True):
            print(f"{mutant.name:40} {suite or 'SURVIVED'}", flush=True)
            if not suite:
                survivors.append(mutant.name)
    took = time.monotonic() - began
    print(f"{len(chosen) - len(survivors)} of {len(chosen)} caught in {took:.0f} s")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
