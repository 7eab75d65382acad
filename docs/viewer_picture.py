"""Runs a small pipeline in JupyterLab and keeps what its cell shows as docs/images/viewer.png.

python -m docs.viewer_picture
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import nbformat

IMAGE = Path(__file__).parent / "images" / "viewer.png"
DEFINE = """
import time
from mlflowkit import dag, notebook, task

@task
def load():
    time.sleep(0.4)
    return [f"s3://images/batch-{i}" for i in range(12)]

@task
def preprocess(uri):
    time.sleep(0.2)
    return uri.replace("images", "clean")

@task
def publish(accuracy):
    return accuracy

@dag
def train(epochs: int = 6):
    clean = preprocess.expand(uri=load())
    fitted = notebook("fine_tune.ipynb", task_id="fine_tune", returns="accuracy", epochs=epochs)
    clean >> fitted
    publish(fitted)

d = train()
"""
CELLS = (
    "epochs = 6",
    "import random, time\nrandom.seed(4)\nlosses = []",
    "for epoch in range(epochs):\n"
    "    time.sleep(0.6)\n"
    "    losses.append(2.2 / (epoch + 1) + random.random() / 9)\n"
    '    print(f"epoch {epoch + 1}/{epochs}  loss {losses[-1]:.3f}", flush=True)',
    "accuracy = 1 - losses[-1] / 9",
)


def main() -> int:
    """Run it in a new folder, and draw it."""
    from playwright.sync_api import sync_playwright

    from tests.browser.conftest import CHROMIUM
    from tests.browser.lab import Notebook, serving
    from tests.homes import fresh_home

    with tempfile.TemporaryDirectory() as place, fresh_home(Path(place)) as home:
        os.environ["MLFLOWKIT_HOME"] = str(home)
        folder = Path(place, "lab")
        folder.mkdir()
        with serving(folder, home) as lab, sync_playwright() as playwright:
            write_notebook(folder / "files" / "fine_tune.ipynb")
            lab.write("train.ipynb", DEFINE.strip(), "run = d.run()")
            browser = playwright.chromium.launch(
                executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
            )
            size = {"width": 1680, "height": 760}
            page = browser.new_page(viewport=size)
            note = Notebook(page, lab, "train.ipynb")
            page.keyboard.press("Control+b")
            note.ran(0)
            cell = note.ran(1)
            cell.locator('.mkv-box[data-id="fine_tune"]').click()
            cell.locator('.mkv-box.mkv-s-running[data-id="fine_tune"]').wait_for()
            cell.get_by_role("tab", name="Notebook").click()
            told = cell.locator(".mkv-content").get_by_text("epoch 3/6")
            told.wait_for()
            told.scroll_into_view_if_needed()
            cell.get_by_role("button", name="Fit").click()
            cell.locator(".mkv").screenshot(path=IMAGE)
            browser.close()
    return 0


def write_notebook(path: Path) -> None:
    made = nbformat.v4.new_notebook()
    made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    made.cells = [nbformat.v4.new_code_cell(text) for text in CELLS]
    made.cells[0].metadata["tags"] = ["parameters"]
    nbformat.write(made, path)


if __name__ == "__main__":
    sys.exit(main())
