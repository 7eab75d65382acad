// @ts-check
/**
 * The run viewer in a notebook: carries requests of `run_view.js` through a comm, and shows lists
 * of runs. All views of a page share one copy of it and of the viewer: see `widget_loader.js`.
 * Rule: what a person or a task wrote is only ever set as text, never as HTML.
 *
 *     to the kernel      {id, kind, run, payload}; the same id again is the same request
 *     from the kernel    {reply: id, ok | error}, {news, run}, {gone, run}
 *
 * @typedef {{[name: string]: any}} Facts
 */

const AGAIN = [300, 900, 2500, 6000, 15000];
const HERE = 20_000;
const BUSY = "The kernel is busy: your click is queued.";
const GONE = "the kernel is gone. Run the cell again to see the run live";

/** @param {any} model @returns {Promise<any>} */
const sharedModel = (model) => model.widget_manager.get_model(model.get("shared"));

/** One view's end of the comm. */
class Line {
  /** @param {any} model */
  constructor(model) {
    this.model = model;
    this.me = Math.random().toString(36).slice(2, 12);
    this.sent = 0;
    /** @type {Map<string, {done: (answer: any) => void, fail: (why: Error) => void, timer: any, kind: string, run: string}>} */
    this.waiting = new Map();
    /** @type {Map<string, Set<(news: any) => void>>} */
    this.takers = new Map();
    this.hear = (/** @type {any} */ said) => this.heard(said);
    model.on("msg:custom", this.hear);
    this.beat = setInterval(() => this.tell("here"), HERE);
    this.watchKernel();
  }

  /** A kernel that is gone answers nothing any more. */
  async watchKernel() {
    const shared = await sharedModel(this.model);
    this.look = () => {
      if (shared.comm_live === false) this.lost(GONE);
    };
    this.shared = shared;
    shared.on("comm_live_update", this.look);
    if (this.closed) shared.off("comm_live_update", this.look);
  }

  /** @param {string} why */
  lost(why) {
    this.dead = why;
    clearInterval(this.beat);
    for (const id of [...this.waiting.keys()]) this.settle(id, null, why);
  }

  /** @param {any} said */
  heard(said) {
    if (said.reply !== undefined) this.settle(said.reply, said.ok, said.error);
    else if (said.news) {
      this.first(said);
      for (const take of this.takers.get(said.run) || []) take(said.news);
    }
  }

  /** A snapshot that was pushed answers those who wait for one. @param {any} said */
  first(said) {
    if (said.news.kind !== "snapshot") return;
    for (const [id, one] of this.waiting) {
      if (one.kind === "snapshot" && one.run === said.run) this.settle(id, said.news);
    }
  }

  /** @param {string} id @param {any} ok @param {string} [error] */
  settle(id, ok, error) {
    const found = this.waiting.get(id);
    if (!found) return;
    this.waiting.delete(id);
    clearTimeout(found.timer);
    if (error) found.fail(new Error(error));
    else found.done(ok);
  }

  /** Ask, and ask again while nothing is heard: a subshell may only be starting.
   * @param {string} run @param {string} kind @param {Facts} payload @returns {Promise<any>} */
  ask(run, kind, payload) {
    if (this.dead) return Promise.reject(new Error(this.dead));
    const id = `${this.me}:${++this.sent}`;
    return new Promise((done, fail) => {
      const one = { done, fail, kind, run, timer: /** @type {any} */ (0) };
      this.waiting.set(id, one);
      const send = (/** @type {number} */ n) => {
        this.model.send({ id, kind, run, payload });
        if (n < AGAIN.length) one.timer = setTimeout(() => send(n + 1), AGAIN[n]);
      };
      send(0);
    });
  }

  /** @param {string} kind @param {string} [run] */
  tell(kind, run = "") {
    if (!this.dead) this.model.send({ id: this.me, kind, run, payload: {} });
  }

  /** @param {string} run */
  source(run) {
    return {
      request: (/** @type {string} */ kind, /** @type {Facts} */ payload) => this.ask(run, kind, payload),
      subscribe: (/** @type {(news: any) => void} */ take) => {
        const takers = this.takers.get(run) || new Set();
        takers.add(take);
        this.takers.set(run, takers);
        this.tell("hello", run);
        return () => {
          takers.delete(take);
          if (!takers.size) this.takers.delete(run);
          this.tell("bye", run);
        };
      },
    };
  }

  close() {
    this.closed = true;
    clearInterval(this.beat);
    this.tell("bye");
    this.model.off("msg:custom", this.hear);
    if (this.shared && this.look) this.shared.off("comm_live_update", this.look);
    for (const one of this.waiting.values()) clearTimeout(one.timer);
    this.waiting.clear();
  }
}

/** Hides the static picture beside a live view, wherever it stands. @param {string} id */
function hideStatic(id) {
  if (!/^[\w-]+$/.test(id)) return () => {};
  const style = document.createElement("style");
  style.textContent = `.mlflowkit-still-${id} { display: none !important; }`;
  document.head.append(style);
  return () => style.remove();
}

// ── lists of runs ───────────────────────────────────────────────────────────

const SIGNS = /** @type {Facts} */ ({
  success: "✓", failed: "✕", running: "▶", queued: "…", interrupted: "▲", cancelled: "■",
});
const ROWS = 15;

/** @param {string} tag @param {Facts} [given] @param {...any} children @returns {any} */
function h(tag, given = {}, ...children) {
  const made = document.createElement(tag);
  if (tag === "button") made.setAttribute("type", "button");
  for (const name in given) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), given[name]);
    else if (given[name] !== false && given[name] !== null) made.setAttribute(name, String(given[name]));
  }
  made.append(...children);
  return made;
}

/** @param {number | null} ms */
const when = (ms) => (ms ? new Date(ms).toLocaleString([], { dateStyle: "medium", timeStyle: "short" }) : "");

/** @param {any} row */
function took(row) {
  if (!row.started) return "";
  const seconds = ((row.ended || Date.now()) - row.started) / 1000;
  if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${Math.round(seconds % 60)} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** A table of runs; the one that is clicked is shown below. */
class RunList {
  /** @param {HTMLElement} element @param {Line} line @param {(run: string, into: HTMLElement) => {destroy: () => void}} show */
  constructor(element, line, show) {
    this.line = line;
    this.show = show;
    this.offset = 0;
    this.picked = "";
    this.states = h("select", { "aria-label": "State", onchange: () => this.turn(0) },
      ...["all states", "running", "success", "failed", "queued"].map((name, n) =>
        h("option", { value: n ? name : "" }, name)));
    this.newer = h("button", { class: "mkv-button", onclick: () => this.turn(this.offset - ROWS) }, "Newer");
    this.older = h("button", { class: "mkv-button", onclick: () => this.turn(this.offset + ROWS) }, "Older");
    this.where = h("span", { class: "mkv-facts", role: "status" });
    this.rows = h("tbody");
    const head = h("header", { class: "mkv-head" }, h("h2", { class: "mkv-title" }, "Runs"), this.where,
      h("span", { class: "mkv-room" }), this.states, this.newer, this.older);
    const names = ["Run", "State", "Started", "Took"].map((name) => h("th", { scope: "col" }, name));
    const table = h("table", {}, h("thead", {}, h("tr", {}, ...names)), this.rows);
    this.root = h("section", { class: "mkv mkv-runs", "aria-label": "DAG runs" }, head,
      h("div", { class: "mkv-runs-table" }, table));
    this.below = h("div", { class: "mkv-below" });
    element.append(this.root, this.below);
    this.timer = setInterval(() => document.visibilityState === "hidden" || this.draw(), 3000);
    this.draw();
  }

  /** @param {number} offset */
  turn(offset) {
    this.offset = Math.max(offset, 0);
    this.draw();
  }

  async draw() {
    if (this.asking) return;
    this.asking = true;
    try {
      const wish = { offset: this.offset, limit: ROWS, state: this.states.value };
      this.take(await this.line.ask("", "runs", wish));
    } catch (error) {
      this.where.textContent = String(/** @type {any} */ (error).message || error);
    } finally {
      this.asking = false;
    }
  }

  /** @param {any} found */
  take(found) {
    this.newer.disabled = !found.offset;
    this.older.disabled = !found.more;
    const n = found.rows.length;
    this.where.textContent = n ? `${found.offset + 1}–${found.offset + n}` : "no runs yet";
    const had = this.root.contains(document.activeElement) && /** @type {any} */ (document.activeElement).dataset.run;
    this.rows.replaceChildren(...found.rows.map((/** @type {any} */ row) => this.row(row)));
    if (had) [...this.rows.querySelectorAll("button")].find((b) => b.dataset.run === had)?.focus();
  }

  /** @param {any} row */
  row(row) {
    const open = h("button", {
      class: "mkv-link", "data-run": row.run_id, "aria-expanded": row.run_id === this.picked,
      onclick: () => this.pick(row.run_id),
    }, row.run_id);
    const made = h("tr", { onclick: (/** @type {Event} */ e) => e.target === open || this.pick(row.run_id) },
      h("td", {}, open),
      h("td", {}, h("span", { class: `mkv-badge mkv-s-${/^\w+$/.test(row.state) ? row.state : "none"}` },
        `${SIGNS[row.state] || "–"} ${row.state}`)),
      h("td", {}, when(row.started || row.created)), h("td", {}, took(row)));
    made.toggleAttribute("data-picked", row.run_id === this.picked);
    return made;
  }

  /** @param {string} run */
  pick(run) {
    this.close();
    this.picked = run === this.picked ? "" : run;
    for (const one of this.rows.querySelectorAll("tr")) {
      const button = one.querySelector("button");
      const on = button.dataset.run === this.picked;
      one.toggleAttribute("data-picked", on);
      button.setAttribute("aria-expanded", String(on));
    }
    if (!this.picked) return;
    const place = h("div");
    this.below.append(place);
    this.view = this.show(run, place);
  }

  close() {
    if (this.view) this.view.destroy();
    this.view = undefined;
    this.below.replaceChildren();
  }

  destroy() {
    clearInterval(this.timer);
    this.close();
    this.root.remove();
    this.below.remove();
  }
}

/** Begin when the place stands in the page: only there are its theme and its width known.
 * @param {HTMLElement} place @param {() => void} begin @returns {() => void} */
function onceSeen(place, begin) {
  const seen = new ResizeObserver(() => {
    if (!place.isConnected) return;
    seen.disconnect();
    begin();
  });
  seen.observe(place);
  return () => seen.disconnect();
}

/** Show a view; gives what ends it.
 * @param {{model: any, el: HTMLElement}} given @param {(...given: any[]) => any} mount */
export function render({ model, el }, mount) {
  const line = new Line(model);
  const unhide = hideStatic(model.get("still"));
  const show = (/** @type {string} */ run, /** @type {HTMLElement} */ into) =>
    mount(into, line.source(run), { busy: BUSY, height: model.get("height") || undefined });
  const run = model.get("run");
  const place = h("div", { class: "mkv-place" });
  el.append(place);
  /** @type {{destroy: () => void} | undefined} */ let view;
  const forget = onceSeen(place, () => {
    view = run ? show(run, place) : new RunList(place, line, show);
  });
  return () => {
    forget();
    if (view) view.destroy();
    line.close();
    unhide();
  };
}
