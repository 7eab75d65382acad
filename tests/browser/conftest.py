"""A browser, a home with runs in it, and pages that look at them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mlflowkit.handles.run import RunHandle
from mlflowkit.view import RunFeed
from tests.browser.server import ViewServer, serving
from tests.homes import fresh_home
from tests.services import missing

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Not for longer: while Playwright runs, this thread's loop does, for other tests too."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing("playwright")
    if CHROMIUM is None:
        missing("chromium")
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield found
        found.close()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("view")
    with pytest.MonkeyPatch.context() as patch, fresh_home(folder) as made:
        patch.setenv("MLFLOWKIT_HOME", str(made))
        patch.chdir(folder)
        yield made


@pytest.fixture(scope="module")
def server() -> Iterator[ViewServer]:
    with serving() as found:
        yield found


@pytest.fixture
def look(browser: Any, server: ViewServer, home: Path) -> Iterator[Callable[..., Any]]:
    """`look(run)`: a page that shows the run. Whatever the page complains of fails the test."""
    contexts: list[Any] = []
    said: list[str] = []

    def open_page(run: RunHandle | Any, **how: Any) -> Any:
        how = {"viewport": {"width": 1100, "height": 700}, "color_scheme": "light", **how}
        context = browser.new_context(**how)
        context.set_default_timeout(120_000)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("console", lambda m: said.append(m.text) if m.type == "error" else None)
        name = f"feed{len(server.feeds)}"
        is_run = isinstance(run, RunHandle)
        server.feeds[name] = RunFeed(home, run.run_id, run._dag) if is_run else run
        page.goto(server.page(name))
        page.wait_for_selector(".mkv-box")
        return page

    yield open_page
    for context in contexts:
        context.close()
    allowed = ("x - Failed to load", "Content Security Policy", "404")
    assert [line for line in said if not any(a in line for a in allowed)] == []


@pytest.fixture(scope="session")
def shots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pictures go: `MLFLOWKIT_SHOTS`, or a folder of the test run."""
    given = os.environ.get("MLFLOWKIT_SHOTS")
    folder = Path(given) if given else tmp_path_factory.mktemp("shots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder
