"""The run viewer in a browser, on runs that go on while it looks."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlflowkit.handles.run import RunHandle
from tests.browser import dags
from tests.browser.server import ViewServer
from tests.homes import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
Look = Callable[..., Any]


def box(page: Any, task_id: str) -> Any:
    return page.locator(f'.mkv-box[data-id="{task_id}"]')


def state_of(page: Any, task_id: str) -> str:
    found = re.search(r"mkv-s-(\w+)", box(page, task_id).get_attribute("class"))
    return found[1] if found else ""


def states(page: Any) -> dict[str, str]:
    ids = [b.get_attribute("data-id") for b in page.locator(".mkv-box").all()]
    return {name: state_of(page, name) for name in ids}


def run_state(page: Any) -> str:
    return str(page.locator(".mkv-head .mkv-badge").get_attribute("data-state"))


def pick(page: Any, task_id: str) -> None:
    box(page, task_id).focus()
    page.keyboard.press("Enter")


@pytest.fixture(scope="module")
def finished(home: Path, tmp_path_factory: pytest.TempPathFactory) -> RunHandle:
    """A run of the pipeline that succeeded."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "gate").touch()
    dags.write_notebook(folder / "fit.ipynb", folder / "gate")
    return dags.pipeline(folder / "fit.ipynb").run(wait=False).wait(timeout=120)


def test_cells_advance_a_failed_notebook_shows_its_cell_and_a_retry_brings_success(
    home: Path, look: Look, tmp_path: Path, shots: Path
) -> None:
    gate = tmp_path / "gate"
    dags.write_notebook(tmp_path / "fit.ipynb", gate)
    run = dags.pipeline(tmp_path / "fit.ipynb").run(wait=False)
    page = look(run)
    page.wait_for_function(
        """() => document.querySelector('[data-id="fit"] .mkv-sub')?.textContent
            .match(/cell \\d of 5/)"""
    )
    assert state_of(page, "fit") == "running"
    page.screenshot(path=shots / "running.png")
    page.wait_for_selector('.mkv-box.mkv-s-failed[data-id="fit"]')
    page.wait_for_function(
        "() => document.querySelector('.mkv-head .mkv-badge').dataset.state == 'failed'"
    )
    assert states(page) == {
        "load": "success",
        "shape.square": "success",
        "shape.total": "success",
        "fit": "failed",
        "table": "upstream_failed",
    }
    pick(page, "fit")
    page.get_by_text("Cell 6 failed").wait_for()
    cell = page.locator(".mkv-content .mkv-cell")
    assert "if not Path" in cell.locator(".mkv-source").text_content()
    assert "no gate <img" in cell.locator(".mkv-error").text_content()
    page.screenshot(path=shots / "failed.png")
    page.get_by_role("button", name="Open failed notebook").click()
    page.get_by_text("its kernel is not held").wait_for()
    assert page.evaluate("window.opened") == [str(run["fit"].notebook().path)]
    gate.touch()
    retry = page.get_by_role("button", name="Retry failed")
    retry.hover()
    page.get_by_text("Retry failed: fit, table (with the same code)").wait_for()
    page.screenshot(path=shots / "foreseen.png")
    assert run.view().ended, "it was only pointed at"
    retry.click()
    page.wait_for_function(
        "() => document.querySelector('.mkv-head .mkv-badge').dataset.state == 'success'"
    )
    assert set(states(page).values()) == {"success"}
    before = {t.task_id: t.instances[0].attempt for t in run.view().tasks}
    pick(page, "load")
    page.get_by_role("button", name="Only this again").click()
    page.get_by_text("Run load again, with the same code? Results of load are").wait_for()
    page.locator(".mkv-ask").get_by_role("button", name="Only this again").click()
    page.get_by_text("it runs again, with the same code").wait_for()
    wait_until(lambda: run.view().ended and run["load"].attempts()[1:])
    after = {t.task_id: t.instances[0].attempt for t in run.view().tasks}
    assert after == before | {"load": before["load"] + 1}
    assert run.view().as_states()["fit"] == "success"


def test_cancel_is_asked_about_heard_while_all_is_busy_and_done(
    home: Path, look: Look, server: ViewServer, tmp_path: Path
) -> None:
    run = dags.waiting(tmp_path / "mark").run(wait=False)
    page = look(run)
    page.wait_for_selector('.mkv-box.mkv-s-running[data-id="sleeps"]')
    page.wait_for_selector('.mkv-box.mkv-s-up_for_retry[data-id="fails"]')
    cancel = page.get_by_role("button", name="Cancel run")
    cancel.click()
    page.keyboard.press("Escape")  # the safe answer
    assert page.locator(".mkv-ask").is_hidden()
    server.busy.set()
    cancel.click()
    page.locator(".mkv-ask").get_by_role("button", name="Cancel run").click()
    say = page.locator(".mkv-say")
    page.get_by_text("Cancelling…").wait_for()
    page.get_by_text("busy: your click is queued").wait_for()
    server.busy.clear()
    page.wait_for_function(
        "() => document.querySelector('.mkv-head .mkv-badge').dataset.state == 'failed'"
    )
    assert say.text_content()
    assert run.view().as_states() == {
        "sleeps": "failed",
        "fails_once": "failed",
        "fails": "failed",
    }
    assert "cancelled" in page.locator(".mkv-head .mkv-facts").text_content()


def test_a_wait_for_a_retry_ends_now_or_is_given_up_and_an_attempt_is_stopped(
    home: Path, look: Look, tmp_path: Path
) -> None:
    run = dags.waiting(tmp_path / "mark").run(wait=False)
    page = look(run)
    page.wait_for_selector('.mkv-box.mkv-s-up_for_retry[data-id="fails_once"]')
    waits = box(page, "fails_once").locator(".mkv-time").text_content()
    assert re.fullmatch("in (59 min .*|1 h 00 min)", waits)
    pick(page, "fails_once")
    page.get_by_role("button", name="Try now").click()
    page.wait_for_selector('.mkv-box.mkv-s-success[data-id="fails_once"]')
    page.wait_for_selector('.mkv-box.mkv-s-up_for_retry[data-id="fails"]')
    pick(page, "fails")
    page.get_by_role("button", name="Give up").click()
    page.wait_for_selector('.mkv-box.mkv-s-failed[data-id="fails"]')
    pick(page, "sleeps")
    page.locator(".mkv-log").get_by_text("asleep").wait_for()  # its log follows
    page.get_by_role("button", name="Stop", exact=True).click()
    page.locator(".mkv-ask").get_by_role("button", name="Stop").click()
    page.wait_for_selector('.mkv-box.mkv-s-failed[data-id="sleeps"]')
    wait_until(lambda: run.view().ended)
    found = {t.task_id: (str(t.state), t.reason) for t in run.view().tasks}
    assert found == {
        "sleeps": ("failed", "cancelled"),
        "fails_once": ("success", ""),
        "fails": ("failed", "RuntimeError: never (given up)"),
    }


def test_everything_of_a_task_can_be_looked_at(
    finished: RunHandle, look: Look, shots: Path
) -> None:
    page = look(finished)
    side = page.locator(".mkv-side")
    pick(page, "fit")
    page.locator(".mkv-cell").nth(4).wait_for()
    frame = page.frame_locator("iframe.mkv-html").first
    assert frame.locator("#rich").text_content() == "rich"
    sandbox = page.locator("iframe.mkv-html").first.get_attribute("sandbox")
    assert sandbox == "allow-scripts"
    assert (
        page.locator(".mkv-cell img")
        .first.get_attribute("src")
        .startswith("data:image/svg+xml")
    )
    red = page.locator(".mkv-out span", has_text="red").first
    assert red.evaluate("e => getComputedStyle(e).color") == "rgb(179, 38, 30)"
    page.screenshot(path=shots / "notebook.png")
    page.get_by_role("button", name="Open", exact=True).click()
    assert page.evaluate("window.opened")[0].endswith("fit.ipynb")
    pick(page, "table")
    side.get_by_role("tab", name="Values").click()
    side.locator("summary").first.click()
    side.locator("td").nth(3).wait_for()
    assert side.locator("td").all_text_contents() == ["1", "x", "2", dags.payload("cell")]
    page.screenshot(path=shots / "values.png")
    pick(page, "load")
    side.locator(".mkv-log").get_by_text("loading").wait_for()
    side.get_by_role("searchbox").fill("LOADING")
    side.get_by_text("1 of 1").wait_for()
    side.get_by_role("tab", name="Attempts").click()
    side.get_by_text("Attempt 1").wait_for()
    page.get_by_role("tab", name="Gantt").click()
    page.locator(".mkv-span").first.wait_for()
    assert page.locator(".mkv-row").count() == 4 + 6
    page.screenshot(path=shots / "gantt.png")
    page.get_by_role("tab", name="Table").click()
    page.get_by_role("button", name="Task", exact=True).click()
    names = page.locator(".mkv-space .mkv-link").all_text_contents()
    assert names == ["fit", "load", "shape.square", "shape.total", "table"]
    page.screenshot(path=shots / "table.png")


def test_the_keyboard_goes_everywhere(finished: RunHandle, look: Look) -> None:
    page = look(finished)
    page.locator(".mkv-tab[aria-selected=true]").first.focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.textContent") == "Gantt"
    page.keyboard.press("ArrowLeft")
    box(page, "load").focus()
    walked = []
    for _ in range(4):
        page.keyboard.press("ArrowRight")
        walked.append(page.evaluate("document.activeElement.dataset.id"))
    assert walked == ["shape.square", "shape.total", "fit", "table"]
    stops = page.locator('.mkv-box[tabindex="0"]')
    assert [b.get_attribute("data-id") for b in stops.all()] == ["table"]
    page.keyboard.press("Enter")
    page.locator(".mkv-side").wait_for()
    page.keyboard.press("Escape")
    assert page.locator(".mkv-side").is_hidden()
    assert page.evaluate("document.activeElement.dataset.id") == "table"
    page.locator(".mkv-fold").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector('.mkv-box[data-id="group:shape"]')
    assert page.locator(".mkv-box").count() == 4
    assert page.evaluate("document.activeElement.dataset.id") == "group:shape"
    page.keyboard.press("Enter")
    page.wait_for_selector('.mkv-box[data-id="shape.total"]')
    unlabelled = page.evaluate(
        """() => [...document.querySelectorAll('.mkv button, .mkv input, .mkv [role=button]')]
            .filter(e => !(e.getAttribute('aria-label') || e.textContent.trim())).length"""
    )
    assert unlabelled == 0


def test_it_fits_narrow_cells_and_dark_pages(
    finished: RunHandle, look: Look, shots: Path
) -> None:
    for scheme in ("light", "dark"):
        for width in (400, 1100):
            size = {"width": width, "height": 660}
            page = look(finished, viewport=size, color_scheme=scheme)
            dark = page.locator(".mkv").get_attribute("data-dark")
            assert (dark is not None) == (scheme == "dark")
            page.screenshot(path=shots / f"graph-{scheme}-{width}.png")
            before = page.locator(".mkv").bounding_box()
            pick(page, "fit")
            page.locator(".mkv-cell").nth(4).wait_for()
            page.screenshot(path=shots / f"panel-{scheme}-{width}.png")
            assert page.locator(".mkv").bounding_box() == before, "the layout jumped"
            graph = page.locator(".mkv-graph").bounding_box()
            side = page.locator(".mkv-side").bounding_box()
            below = side["y"] >= graph["y"] + graph["height"] - 1
            assert below == (width == 400)
            assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_mapped_task_of_five_thousand_is_counts_and_pages(
    home: Path, look: Look, shots: Path
) -> None:
    run = dags.mapped(5000).run(wait=False)
    page = look(run)
    run.wait(timeout=120)
    page.get_by_text("5,000/5,000").wait_for()
    pick(page, "square")
    page.get_by_text("1–100 of 5,000 that were started").wait_for()
    assert page.locator(".mkv-instance").count() == 100
    page.get_by_role("button", name="Next").click()
    page.get_by_text("101–200 of 5,000").wait_for()
    page.screenshot(path=shots / "mapped.png")
    page.get_by_role("button", name="[150]", exact=True).click()
    page.get_by_role("tab", name="Values").click()
    page.locator(".mkv-preview", has_text="22500").wait_for()
    page.get_by_role("button", name="Run again").click()
    page.get_by_text("Run square[150] again").wait_for()
    page.screenshot(path=shots / "instance.png")
    page.locator(".mkv-ask").get_by_role("button", name="Run again").click()
    wait_until(lambda: run["square"][150].attempts()[1:])
    page.get_by_role("tab", name="Attempts").click()
    page.get_by_text("Attempt 2").wait_for()
    page.screenshot(path=shots / "attempts.png")
    assert page.locator(".mkv-box rect").count() < 20


PUSHED = """async () => {
  const asked = [];
  let push, gone = false;
  const snapshot = await window.source.request('snapshot', {});
  const source = {
    request: async (kind, payload) => {
      asked.push([kind, payload.cursor || '']);
      if (gone) throw new Error('the kernel is gone');
      if (kind == 'patch') return { ...patch('?', 'x:9', 'queued'), since: payload.cursor };
      return structuredClone(snapshot);
    },
    subscribe: (take) => { push = take; return () => { push = null; }; },
  };
  const patch = (since, cursor, state) => ({
    kind: 'patch', since, cursor, now: Date.now(), run: {}, groups: {}, tasks: { fit: { state } },
  });
  const place = document.createElement('div');
  document.body.append(place);
  const until = async (what) => { while (!what()) await new Promise(requestAnimationFrame); };
  const shown = () => place.querySelector('[data-id="fit"]')?.getAttribute('aria-label') || '';
  const view = window.mountView(place, source);
  await until(() => push);
  push(patch(snapshot.cursor, 'x:1', 'running'));
  await until(() => shown().includes('running'));
  push(patch('x:7', 'x:8', 'failed'));  // something is missing before it
  await until(() => shown().includes('queued'));
  gone = true;
  push(patch('x:12', 'x:13', 'failed'));
  await until(() => place.textContent.includes('the kernel is gone'));
  view.destroy();
  const count = asked.length;
  await new Promise((done) => setTimeout(done, 1200));
  return { asked: asked.slice(0, 3), left: place.childNodes.length, push, later: asked.length - count };
}"""


def test_news_is_pushed_a_gap_is_asked_for_and_a_closed_view_asks_no_more(
    finished: RunHandle, look: Look
) -> None:
    page = look(finished)
    found = page.evaluate(PUSHED)
    assert found == {
        "asked": [["snapshot", ""], ["patch", "x:1"], ["patch", "x:9"]],
        "left": 0,
        "push": None,
        "later": 0,
    }
