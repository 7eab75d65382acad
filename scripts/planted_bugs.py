"""Small bugs for `mutants.py` to plant: each replaces a text of the machine that stands there once."""

from __future__ import annotations

from typing import NamedTuple


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
