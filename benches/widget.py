"""A hundred views of a run in one kernel of JupyterLab: what is left of them.

The cell that shows a run is run again 100 times, as a person does. Counted before and after,
with the page's garbage collected: the kernel's memory, comms and threads; the page's heap,
nodes and listeners. The same is done with the smallest widget there can be, and with a line of
HTML: what those leave is JupyterLab's own. Wants JupyterLab, Playwright and Chromium.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Any

TIMES = 100
DEFINE = """
import gc, threading, time, psutil, mlflowkit
from mlflowkit import dag, task

@task
def square(x):
    return x * x

@dag
def squares():
    square.expand(x=list(range(6)))

with mlflowkit.jupyter.shown.no_view():
    run = squares().run(wait=True)
"""
PLAIN = """
import anywidget
for one in globals().setdefault("kept", []):
    one.close()
    one.layout.close()
class Plain(anywidget.AnyWidget):
    _esm = "export default { render({ el }) { el.textContent = 'plain' } }"
kept[:] = [Plain()]
display(kept[0])
"""
HTML = "from IPython.display import HTML\nHTML('<b class=line>a line</b>')"
COUNT = """
import ipywidgets
gc.collect()
print(psutil.Process().memory_info().rss // 1000,
      len(get_ipython().kernel.comm_manager.comms), threading.active_count())
"""


#: Cells that are shown, from the third on, and what is to be seen below each.
SHOWN = {
    "a run": ".mkv-box",
    "the smallest widget": ".jp-OutputArea-output >> text=plain",
    "a line of HTML": "b.line",
}


def run() -> dict[str, float | str]:
    """Everything, as `{what: figure}`."""
    from playwright.sync_api import sync_playwright

    from tests.browser.conftest import CHROMIUM
    from tests.browser.lab import DEADLINE_S, Desk, serving
    from tests.homes import fresh_home

    if CHROMIUM is None:
        return {"widget": "no chromium here"}
    with tempfile.TemporaryDirectory() as place, fresh_home(Path(place)) as home:
        os.environ["MLFLOWKIT_HOME"] = str(home)
        folder = Path(place, "lab")
        folder.mkdir()
        with serving(folder, home) as lab, sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
            )
            define = "import mlflowkit.jupyter.shown" + DEFINE
            lab.write("a.ipynb", define, COUNT, "run", PLAIN, HTML)
            context = browser.new_context()
            context.set_default_timeout(DEADLINE_S * 1000)
            note = Desk(context, lab).open("a.ipynb")
            note.ran(0)
            found: dict[str, float | str] = {}
            for at, (name, seen) in enumerate(SHOWN.items(), start=2):
                said = measured(note, at, seen)
                found |= {f"{name}: {what}": figure for what, figure in said.items()}
            browser.close()
    return found


def measured(note: Any, at: int, seen: str) -> dict[str, float | str]:
    """What 100 runs of a cell leave, in which `seen` is to be seen each time."""
    cdp = note.page.context.new_cdp_session(note.page)
    cdp.send("Performance.enable")
    show(note, 5, at, seen)
    page, kernel = of_page(cdp), of_kernel(note)
    begun = time.perf_counter()
    show(note, TIMES, at, seen)
    took = time.perf_counter() - begun
    later, kernel_later = of_page(cdp), of_kernel(note)
    return {
        "a display, ms (with the click)": took / TIMES * 1000,
        "kernel: kB left by 100 displays": kernel_later[0] - kernel[0],
        "kernel: comms left": kernel_later[1] - kernel[1],
        "kernel: threads left": kernel_later[2] - kernel[2],
        "page: heap left, kB": (later["JSHeapUsedSize"] - page["JSHeapUsedSize"]) / 1000,
        "page: nodes left": later["Nodes"] - page["Nodes"],
        "page: listeners left": later["JSEventListeners"] - page["JSEventListeners"],
    }


def show(note: Any, times: int, at: int, seen: str) -> None:
    for _ in range(times):
        note.ran(at).locator(seen).first.wait_for()


def of_kernel(note: Any) -> list[int]:
    """Memory in kB, comms, threads."""
    said = note.ran(1).locator(".jp-OutputArea-output").inner_text()
    return [int(word) for word in said.split()]


def of_page(cdp: Any) -> dict[str, float]:
    for _ in range(3):
        cdp.send("HeapProfiler.collectGarbage")
    return {m["name"]: m["value"] for m in cdp.send("Performance.getMetrics")["metrics"]}


if __name__ == "__main__":
    for name, figure in run().items():
        print(f"{name}: {figure}")
