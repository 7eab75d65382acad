"""The run viewer in headless Chromium: how fast it draws, keeps up, and lets go.

Draw time is from `mount` to the second frame after the picture stands. Frames are counted
while 20 patches a second come in, each about 20 tasks. Memory is that of the page, after 100
views were shown and closed. The store's side is measured on a run of 100,000 instances.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from mlflowkit.core import screen
from mlflowkit.core.machine import NodeRow
from mlflowkit.core.screen import TaskRows
from mlflowkit.core.spec import Axis, DagId, DagSpec, Expansion, TaskId, TaskSpec
from mlflowkit.core.states import TaskState
from mlflowkit.view import module_text, places, style_text

TASKS = 1000
WIDE = 40
PAGE = """<!doctype html><meta charset="utf-8"><style>{css}</style>
<div id="view" style="width:1100px"></div><script type="module">
{module}
window.mountView = mount;
</script>"""
DRAW = """async (snapshot) => {
  const source = { request: async () => structuredClone(snapshot), subscribe: () => () => {} };
  const at = performance.now();
  const view = mountView(document.getElementById('view'), source);
  const frame = () => new Promise(requestAnimationFrame);
  while (!document.querySelector('.mkv-box')) await frame();
  await frame(); await frame();
  const took = performance.now() - at;
  view.destroy();
  return took;
}"""
FRAMES = """async ({ snapshot, seconds }) => {
  let push;
  let cursor = snapshot.cursor;
  const source = {
    request: async () => structuredClone(snapshot),
    subscribe: (take) => { push = take; return () => {}; },
  };
  const view = mountView(document.getElementById('view'), source);
  while (!push) await new Promise(requestAnimationFrame);
  const states = ['running', 'success', 'queued', 'failed'];
  let n = 0;
  const beat = setInterval(() => {
    const tasks = {};
    for (let i = 0; i < 20; i++) {
      const task = snapshot.tasks[(n * 7 + i * 13) % snapshot.tasks.length];
      tasks[task.id] = { state: states[(n + i) % 4], started: Date.now() - 5000 };
    }
    const next = `bench:${++n}`;
    push({ kind: 'patch', since: cursor, cursor: next, now: Date.now(), run: {}, tasks, groups: {} });
    cursor = next;
  }, 50);
  const gaps = [];
  let last = performance.now();
  const end = last + seconds * 1000;
  while (last < end) {
    await new Promise(requestAnimationFrame);
    const now = performance.now();
    gaps.push(now - last);
    last = now;
  }
  clearInterval(beat);
  view.destroy();
  gaps.sort((a, b) => a - b);
  return { frames: gaps.length / seconds, worst: gaps.at(-1), late: gaps.filter((g) => g > 34).length, patches: n };
}"""
IDLE = """async () => {
  let n = 0;
  const end = performance.now() + 2000;
  for (; performance.now() < end; n++) await new Promise(requestAnimationFrame);
  return n / 2;
}"""
SHOW = """async ({ snapshot, times }) => {
  const source = { request: async () => structuredClone(snapshot), subscribe: () => () => {} };
  for (let i = 0; i < times; i++) {
    const view = mountView(document.getElementById('view'), source);
    while (!document.querySelector('.mkv-box')) await new Promise(requestAnimationFrame);
    view.destroy();
  }
}"""


def wide_spec(tasks: int) -> DagSpec:
    """Layers of tasks, each waiting for two of the layer before."""
    found: dict[TaskId, TaskSpec] = {}
    for at in range(tasks):
        above = range(max(at - WIDE - 1, 0), at - WIDE + 1) if at >= WIDE else range(0)
        name = TaskId(f"task_{at}")
        upstream = tuple(TaskId(f"task_{i}") for i in above if i // WIDE < at // WIDE)
        found[name] = TaskSpec(task_id=name, upstream=upstream)
    return DagSpec(dag_id=DagId("wide"), tasks=found)


def snapshot_of(spec: DagSpec, rows: Mapping[TaskId, TaskRows]) -> dict[str, Any]:
    """A snapshot as the feed makes it."""
    tasks = [
        facts
        | screen.task_state(
            spec.tasks[TaskId(facts["id"])],
            rows[TaskId(facts["id"])],
            cancelled=False,
            over=False,
        )
        | {"progress": None}
        for facts in screen.task_facts(spec, {})
    ]
    run = {"run_id": "wide/1", "state": "running", "actions": ["cancel"], "over": False}
    return {
        "kind": "snapshot",
        "cursor": "bench:0",
        "now": round(time.time() * 1000),
        "run": run,
        "tasks": tasks,
        "groups": [],
        "layout": places.layout(spec, ()),
    }


def run() -> dict[str, float | str]:
    """Everything, as `{what: figure}`."""
    spec = wide_spec(TASKS)
    rows = {name: TaskRows(node=NodeRow(task_id=name)) for name in spec.tasks}
    begun = time.perf_counter()
    snapshot = snapshot_of(spec, rows)
    found: dict[str, float | str] = {
        f"snapshot of {TASKS} tasks made, ms": (time.perf_counter() - begun) * 1000,
        f"snapshot of {TASKS} tasks, kB": len(json.dumps(snapshot)) / 1000,
    }
    return found | in_browser(snapshot) | of_store()


def in_browser(snapshot: dict[str, Any]) -> dict[str, float | str]:
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        return {"viewer": "no chromium here"}
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox"]
        )
        page = browser.new_page(viewport={"width": 1200, "height": 800})
        file = Path(folder, "page.html")
        file.write_text(PAGE.format(css=style_text(), module=module_text()))
        page.goto(file.as_uri())
        page.wait_for_function("() => window.mountView")
        idle = page.evaluate(IDLE)
        draws = sorted(page.evaluate(DRAW, snapshot) for _ in range(7))
        frames = page.evaluate(FRAMES, {"snapshot": snapshot, "seconds": 5})
        kept = memory(page, snapshot)
        browser.close()
    return {
        f"drawing {TASKS} tasks, ms (median of 7)": draws[3],
        f"drawing {TASKS} tasks, ms (worst)": draws[-1],
        "frames per second of an empty page": idle,
        "frames per second at 20 patches/s": frames["frames"],
        "longest frame, ms": frames["worst"],
        "frames later than 34 ms in 5 s": frames["late"],
        **kept,
    }


def memory(page: Any, snapshot: dict[str, Any]) -> dict[str, float | str]:
    """What 100 views leave behind in the page."""
    few = {**snapshot, "tasks": snapshot["tasks"][:100]}
    names = {t["id"] for t in few["tasks"]}
    layout = snapshot["layout"]
    few["layout"] = {
        **layout,
        "boxes": [b for b in layout["boxes"] if b["id"] in names],
        "arrows": [a for a in layout["arrows"] if {a["from"], a["to"]} <= names],
    }
    cdp = page.context.new_cdp_session(page)
    cdp.send("Performance.enable")

    def used() -> dict[str, float]:
        for _ in range(3):
            cdp.send("HeapProfiler.collectGarbage")
        return {
            m["name"]: m["value"] for m in cdp.send("Performance.getMetrics")["metrics"]
        }

    page.evaluate(SHOW, {"snapshot": few, "times": 10})
    before = used()
    page.evaluate(SHOW, {"snapshot": few, "times": 100})
    after = used()
    return {
        "heap left by 100 views, kB": (after["JSHeapUsedSize"] - before["JSHeapUsedSize"])
        / 1e3,
        "nodes left by 100 views": after["Nodes"] - before["Nodes"],
        "listeners left by 100 views": after["JSEventListeners"]
        - before["JSEventListeners"],
    }


def of_store() -> dict[str, float | str]:
    """Counts and a strip of 100,000 instances, from rows in a store."""
    from sqlalchemy import insert

    from mlflowkit.store import screen as rows_of
    from mlflowkit.store.database import open_database
    from mlflowkit.store.tables import dags, runs, task_instances, texts

    many, name = 100_000, TaskId("fit")
    axis = Axis(name="x", length=many)
    task = TaskSpec(task_id=name, expansion=Expansion(axes=(axis,)))
    spec = replace(wide_spec(1), tasks={name: task})
    with tempfile.TemporaryDirectory() as folder:
        database = open_database(Path(folder))
        with database.writing() as tx:
            fill(tx, insert, (dags, texts, runs, task_instances), many)
        begun = time.perf_counter()
        with database.reading() as tx:
            found = rows_of.rows_of_tasks(tx, 1, spec)
            tallied = time.perf_counter()
            found[name].node.length = found[name].node.next_index = many
            found[name].places = rows_of.strip_places(tx, 1, name, many)
        seen = time.perf_counter()
        facts = screen.task_state(task, found[name], cancelled=False, over=False)
        database.close()
    assert facts["total"] == many
    return {
        "100,000 instances: counts, ms": (tallied - begun) * 1000,
        "100,000 instances: strip, ms": (seen - tallied) * 1000,
        "100,000 instances: bytes of a patch": len(json.dumps(facts)),
    }


def fill(tx: Any, insert: Any, tables: tuple[Any, ...], many: int) -> None:
    dags, texts, runs, instances = tables
    from datetime import UTC, datetime

    at = datetime.now(UTC)
    tx.execute(
        insert(dags), {"dag_id": "d", "last_number": 1, "origin": "", "created_at": at}
    )
    tx.execute(insert(texts), {"sha256": "0" * 64, "body": b""})
    row = {"run_key": 1, "run_id": "d/1", "dag_id": "d", "number": 1, "run_type": "manual"}
    row |= {"state": "running", "spec": "0" * 64, "surroundings": "0" * 64, "bundle": ""}
    row |= {"params": b"{}", "notes": b"[]", "created_at": at}
    tx.execute(insert(runs), row)
    states = [TaskState.SUCCESS, TaskState.FAILED, TaskState.RUNNING]
    rows = [
        {
            "run_key": 1,
            "task_id": "fit",
            "map_index": i,
            "state": states[0 if i % 50 else (i // 50) % 3],
            "reason": "",
            "attempt": 1,
            "failures": 0,
            "lost": 0,
            "stopping": "",
            "started_at": at,
        }
        for i in range(many)
    ]
    tx.execute(insert(instances), rows)
