// @ts-check
/**
 * The picture of one DAG run: graph, time line, table, and a panel for the task that is picked.
 *
 *     const view = mount(element, { request: (kind, payload) => … });   … view.destroy()
 *
 * It draws what `mlflowkit.view.RunFeed` says, and works out no state by itself. It knows
 * nothing of Jupyter or HTTP: `source` carries requests there and answers back.
 * Rule: text that a person or a task wrote is only ever set as text, never as HTML. HTML outputs
 * of notebooks stand in frames without an origin.
 *
 * @typedef {{[name: string]: any}} Facts
 * @typedef {{
 *   id: string, label: string, operator: string, kind: string, group: string,
 *   upstream: string[], mapped: boolean, doc: string, retries: number,
 *   state: string, reason: string, attempt: number, failures: number, alarm: number | null,
 *   queued: number | null, started: number | null, ended: number | null, actions: string[],
 *   total?: number | null, counts?: {[state: string]: number}, strip?: string,
 *   progress: {text: string, share?: number, cell?: number} | null,
 *   rule: string, pool: string, owner: string,
 * }} Task  Times are milliseconds since 1970. `counts`, `total`, `strip`: of mapped tasks.
 * @typedef {{id: string, label: string, parent: string, tooltip: string, mapped: boolean,
 *   state: string, counts: {[state: string]: number}, total: number}} Group
 * @typedef {{
 *   run_id: string, dag_id: string, run_type: string, state: string, reason: string,
 *   interrupted: boolean, cancelled: boolean, over: boolean, notes: string[],
 *   description: string, params: {[name: string]: string}, actions: string[],
 *   logical_date: number | null, created: number, started: number | null, ended: number | null,
 * }} Run
 * @typedef {{x: number, y: number, w: number, h: number}} Place
 * @typedef {{
 *   direction: "right" | "down", width: number, height: number, folded: string[],
 *   boxes: (Place & {id: string, kind: "task" | "group"})[],
 *   frames: (Place & {id: string})[],
 *   arrows: {from: string, to: string, path: string, label?: string, at?: [number, number]}[],
 * }} Layout  A folded group's end of an arrow is `group:ID`.
 * @typedef {{kind: "snapshot", cursor: string, now: number, run: Run, tasks: Task[],
 *   groups: Group[], layout: Layout}} Snapshot
 * @typedef {{kind: "patch", since: string, cursor: string, now: number, run: Facts,
 *   tasks: {[id: string]: Facts}, groups: {[id: string]: Facts}}} Patch
 *   Only the fields that changed.
 * @typedef {{
 *   request: (kind: string, payload: Facts) => Promise<any>,
 *   subscribe?: (take: (news: Snapshot | Patch) => void) => (() => void),
 * }} Source
 *   `request` reaches `RunFeed.request`; it rejects with an Error whose message is for people.
 *   With `subscribe` patches are pushed (each `since` the cursor before; a gap is asked for);
 *   without it the view asks for them.
 * @typedef {{
 *   every?: number, height?: number, open?: (path: string) => void, tab?: string,
 *   busy?: string,
 * }} Options
 *   `every`: milliseconds between two questions for patches. `height`: in pixels. `open`: opens
 *   an executed notebook. `busy`: what to say when a click is not answered at once.
 */

const SVG = "http://www.w3.org/2000/svg";
const WARNING = "M8 2.5L14 13.2H2zM8 6.5v3M8 11.4v.01";
/** Word and icon (strokes in 16×16) of each state: never colour alone.
 * @type {{[state: string]: [string, string]}} */
const LOOK = {
  none: ["waiting", "M8 3.5a4.5 4.5 0 1 0 0 9a4.5 4.5 0 1 0 0-9"],
  scheduled: ["scheduled", "M8 2.5a5.5 5.5 0 1 0 0 11a5.5 5.5 0 1 0 0-11M8 5v3l2.2 1.6"],
  queued: ["queued", "M3 8h.01M8 8h.01M13 8h.01"],
  running: ["running", "M8 2.5a5.5 5.5 0 1 1-5.5 5.5"],
  success: ["success", "M3 8.5l3.2 3.2L13 4.8"],
  failed: ["failed", "M4 4l8 8M12 4l-8 8"],
  up_for_retry: ["waits for retry", "M12.8 6A5.2 5.2 0 1 0 13 9.5M13 2.8V6h-3.2"],
  up_for_reschedule: ["rescheduled", "M5 3v10M11 3v10"],
  skipped: ["skipped", "M3.5 4l4 4l-4 4M8.5 4l4 4l-4 4"],
  upstream_failed: ["upstream failed", WARNING],
  removed: ["removed", "M3.5 8h9"],
  interrupted: ["interrupted", WARNING],
};
/** @type {{[letter: string]: string}} */
const LETTERS = {
  n: "none", c: "scheduled", q: "queued", r: "running", s: "success", f: "failed",
  t: "up_for_retry", w: "up_for_reschedule", k: "skipped", u: "upstream_failed", x: "removed",
};
const ORDER = Object.keys(LOOK);
/** Label, what is asked first where something is lost, and what is said at once.
 * @type {{[action: string]: [string, string, string]}} */
const ACTIONS = {
  cancel: ["Cancel run", "Stop the run? What is running is lost.", "Cancelling…"],
  retry: ["Retry failed", "", "Asked to retry…"],
  resume: ["Resume", "", "Asked…"],
  clear: ["Run again", "", "Asked…"],
  clear_only: ["Only this again", "", "Asked…"],
  retry_cell: ["Retry from failed cell", "", "Asked…"],
  stop: ["Stop", "Stop this attempt? What it has done is lost.", "Stopping…"],
  retry_now: ["Try now", "", "Asked…"],
  give_up: ["Give up", "", "Giving up…"],
  mark_success: ["Mark success", "Stop it, and mark it a success with no result?", "Asked…"],
  mark_failed: ["Mark failed", "Mark failed, result lost?", "Asked…"],
};
/** Of these is told what they would do, before they do it. */
const AGAIN = /^(retry|clear|clear_only|retry_cell)$/;
const BUSY_AFTER = 700;
const FAR = 0.42;
/** No smaller at first: what does not fit is reached by panning. */
const NEAR = 0.72;
const KEPT_LOG = 2_000_000;

/**
 * Draw a run in an element, until `destroy`.
 * @param {HTMLElement} element
 * @param {Source} source
 * @param {Options} [options]
 * @returns {{destroy: () => void}}
 */
export function mount(element, source, options = {}) {
  const view = new View(element, source, options);
  view.start();
  return { destroy: () => view.destroy() };
}

// ── small things ────────────────────────────────────────────────────────────

/**
 * An element. `on…` are listeners, all else attributes (the classes are ours: `mkv-…`); children
 * are text or elements.
 * @param {string} tag
 * @param {Facts} [given]
 * @param {...(Node | string | number | null | undefined | false)} children
 * @returns {any}
 */
function h(tag, given, ...children) {
  const made = document.createElement(tag);
  if (tag === "button") made.setAttribute("type", "button");
  return filled(made, given, children);
}

/** Small quiet text. @param {...any} children @returns {HTMLElement} */
const quiet = (...children) => h("span", { class: "facts" }, ...children);

/** @param {string} label @param {(event: Event) => any} onclick @param {Facts} [more] @returns {any} */
const press = (label, onclick, more) => h("button", { class: "button", onclick, ...more }, label);

const room = () => h("span", { class: "room" });

/** What has the focus is called so. @param {string} name @returns {string | undefined} */
const focused = (name) => /** @type {any} */ (document.activeElement)?.dataset?.[name];

/** A note in place of what cannot be shown. @param {string} text @param {string} [how] */
const note = (text, how = "") => h("p", { class: `note ${how}` }, text);

/** @param {any} error */
const why = (error) => String((error && error.message) || error);

/**
 * An SVG element.
 * @param {string} tag
 * @param {Facts} [given]
 * @param {...(Node | string | null | false)} children
 * @returns {any}
 */
function s(tag, given, ...children) {
  return filled(document.createElementNS(SVG, tag), given, children);
}

/** @param {Element} made @param {Facts | undefined} given @param {any[]} children */
function filled(made, given, children) {
  for (const name in given) {
    const value = given[name];
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name === "class") made.setAttribute(name, String(value).trim().replace(/\S+/g, "mkv-$&"));
    else made.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children) {
    if (child !== null && child !== undefined && child !== false) made.append(child);
  }
  return made;
}

/** @param {Element} node @param {string} text */
function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** @param {Element} node @param {string} name @param {string | number} value */
function put(node, name, value) {
  if (node.getAttribute(name) !== String(value)) node.setAttribute(name, String(value));
}

/** @param {string} state */
const word = (state) => (LOOK[state] ? LOOK[state][0] : state);

/** @param {string} state @param {number} [size] */
function icon(state, size = 14) {
  const d = (LOOK[state] || LOOK.none)[1];
  const made = s("svg", { viewBox: "0 0 16 16", width: size, height: size, "aria-hidden": "true" });
  made.append(s("path", { d, class: `i s-${state}` }));
  return made;
}

/** @param {string} state */
function badge(state) {
  return h("span", { class: `badge s-${state}` }, icon(state), word(state));
}

/** `0.8 s`, `42 s`, `3 min 05 s`, `2 h 07 min`. @param {number} ms */
function took(ms) {
  const seconds = Math.max(ms, 0) / 1000;
  if (seconds < 0.1) return `${Math.max(Math.round(ms), 0)} ms`;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  const two = (/** @type {number} */ n) => String(n).padStart(2, "0");
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
  return `${Math.floor(whole / 3600)} h ${two(Math.floor((whole % 3600) / 60))} min`;
}

/** @param {number | null | undefined} ms */
function clock(ms) {
  return ms ? new Date(ms).toLocaleTimeString([], { hour12: false }) : "";
}

/** @param {string} text @param {number} room */
function cut(text, room) {
  return text.length <= room ? text : `${text.slice(0, Math.max(room - 1, 1))}…`;
}

/** @param {number} n */
const many = (n) => n.toLocaleString("en");

/** `s12f1` → [["success", 12], ["failed", 1]]. @param {string} strip
 * @returns {[string, number][]} */
function runs(strip) {
  return [...strip.matchAll(/([a-z])(\d+)/g)].map((m) => [LETTERS[m[1]] || "none", Number(m[2])]);
}

/** @param {{[state: string]: number}} counts */
function countWords(counts) {
  const found = ORDER.filter((state) => counts[state]);
  return found.map((state) => `${many(counts[state])} ${word(state)}`).join(", ");
}

/**
 * A bar of parts by state, as one row of rectangles.
 * @param {Element} into @param {[string, number][]} parts
 * @param {number} x @param {number} y @param {number} w @param {number} tall
 */
function bars(into, parts, x, y, w, tall) {
  const total = parts.reduce((n, part) => n + part[1], 0) || 1;
  let at = 0;
  const made = parts.map(([state, n]) => {
    const from = x + (w * at) / total;
    at += n;
    return s("rect", {
      x: from.toFixed(1), y, height: tall, class: `fill s-${state}`,
      width: Math.max((w * n) / total - (parts.length < 80 ? 0.6 : 0), 0.4).toFixed(1),
    });
  });
  into.replaceChildren(...made);
}

// ── ANSI ────────────────────────────────────────────────────────────────────

const ESCAPES = /\x1b\[([0-9;:]*)m|\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[@-_]/g;

/** Text with ANSI colours as nodes. `style` goes on from call to call.
 * @param {string} text @param {Facts} style */
export function ansi(text, style = {}) {
  const made = document.createDocumentFragment();
  let from = 0;
  const add = (/** @type {string} */ piece) => {
    if (!piece) return;
    const names = ["bold", "dim", "italic", "under"].filter((name) => style[name]);
    if (!names.length && !style.fg && !style.bg) {
      made.append(piece);
      return;
    }
    const span = h("span", { class: names.join(" ") || null });
    for (const [side, property] of [["fg", "color"], ["bg", "backgroundColor"]]) {
      if (style[side]) span.style[property] = style[side];
    }
    span.append(piece);
    made.append(span);
  };
  for (const found of text.matchAll(ESCAPES)) {
    add(text.slice(from, found.index));
    from = found.index + found[0].length;
    if (found[1] !== undefined) restyle(style, found[1].split(/[;:]/).map(Number));
  }
  add(text.slice(from));
  return made;
}

/** @param {Facts} style @param {number[]} codes */
function restyle(style, codes) {
  for (let i = 0; i < codes.length; i++) {
    const code = codes[i];
    if (!code) for (const name in style) delete style[name];
    else if (code <= 4) style[["", "bold", "dim", "italic", "under"][code]] = true;
    else if (code === 22) style.bold = style.dim = false;
    else if (code === 23) style.italic = false;
    else if (code === 24) style.under = false;
    else if (code === 39) style.fg = "";
    else if (code === 49) style.bg = "";
    else if (code === 38 || code === 48) {
      const rgb = codes[i + 1] === 2;
      const colour = rgb
        ? `rgb(${codes.slice(i + 2, i + 5).map((n) => Math.min(n || 0, 255)).join(",")})`
        : colour256(codes[i + 2] || 0);
      style[code === 38 ? "fg" : "bg"] = colour;
      i += rgb ? 4 : 2;
    } else {
      const side = code >= 100 ? "bg" : code >= 90 ? "fg" : code >= 40 ? "bg" : "fg";
      const n = code % 10;
      if (code >= 30 && n < 8) style[side] = `var(--mkv-ansi-${n})`;
    }
  }
}

/** @param {number} n */
function colour256(n) {
  if (n < 16) return `var(--mkv-ansi-${n % 8})`;
  if (n > 231) return `rgb(${Array(3).fill(8 + (Math.min(n, 255) - 232) * 10).join(",")})`;
  const level = (/** @type {number} */ v) => (v ? 55 + v * 40 : 0);
  const m = n - 16;
  return `rgb(${level(Math.floor(m / 36))},${level(Math.floor(m / 6) % 6)},${level(m % 6)})`;
}

/** What a terminal would show of a line that was drawn again. @param {string} text */
function redrawn(text) {
  return text.includes("\r") ? text.replace(/\r\n/g, "\n").replace(/[^\n]*\r(?!$)/gm, "") : text;
}

// ── the view ────────────────────────────────────────────────────────────────

class View {
  /** @param {HTMLElement} element @param {Source} source @param {Options} options */
  constructor(element, source, options) {
    this.element = element;
    this.source = source;
    this.options = options;
    /** @type {Map<string, Task>} */ this.tasks = new Map();
    /** @type {Map<string, Group>} */ this.groups = new Map();
    /** @type {Facts} */ this.run = {};
    /** @type {Set<string>} */ this.dirty = new Set();
    /** @type {string[] | undefined} */ this.folded = undefined;
    /** @type {(() => void)[]} */ this.ends = [];
    /** @type {"right" | "down" | ""} */ this.direction = "";
    this.cursor = "";
    this.ahead = 0;
    this.frame = 0;
    this.failures = 0;
    this.dead = false;
    this.tab = options.tab || "graph";
    /** @type {{id: string, index: number} | null} */ this.picked = null;
    this.build();
    this.graph = new Graph(this);
    this.gantt = new Gantt(this);
    this.table = new Table(this);
    this.side = new Side(this);
    this.main.append(this.graph.root, this.gantt.root, this.table.root);
    this.body.append(this.side.root);
    this.showTab(this.tab);
  }

  build() {
    this.state = h("span", { class: "badge" });
    this.title = h("h2", { class: "title" });
    this.facts = h("span", { class: "facts" });
    this.buttons = h("span", { class: "buttons" });
    /** @type {{[name: string]: any}} */ this.tabs = {};
    const bar = h("div", { class: "tabs", role: "tablist", "aria-label": "How the run is shown" });
    for (const [name, label] of [["graph", "Graph"], ["gantt", "Gantt"], ["table", "Table"]]) {
      this.tabs[name] = h("button", {
        role: "tab", class: "tab", onclick: () => this.showTab(name),
      }, label);
    }
    bar.append(...Object.values(this.tabs));
    roving(bar);
    this.word = h("div", { class: "say", role: "status", "aria-live": "polite" });
    this.ask = h("div", { class: "ask", role: "alertdialog", hidden: true });
    this.main = h("div", { class: "main" });
    this.body = h("div", { class: "body" }, this.main);
    const head = h("header", { class: "head" }, this.state, this.title, this.facts,
      room(), bar, this.buttons);
    this.root = h("section", { "aria-label": "DAG run" }, head, this.ask, this.body, this.word);
    this.root.className = "mkv";
    if (this.options.height) this.root.style.setProperty("--mkv-height", `${this.options.height}px`);
    this.element.append(this.root);
    this.root.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
      if (event.key === "Escape" && !this.ask.hidden) this.answerAsk(false);
      else if (event.key === "Escape" && this.picked) this.pick(null);
      else return;
      event.stopPropagation();
    });
  }

  start() {
    this.watchTheme();
    const size = new ResizeObserver(() => this.resized());
    size.observe(this.root);
    this.ends.push(() => size.disconnect());
    const framed = (/** @type {MessageEvent} */ event) => this.framed(event);
    addEventListener("message", framed);
    this.ends.push(() => removeEventListener("message", framed));
    const tick = setInterval(() => this.tick(), 1000);
    this.ends.push(() => clearInterval(tick));
    this.resized();
    this.load();
  }

  destroy() {
    this.dead = true;
    cancelAnimationFrame(this.frame);
    clearTimeout(this.timer);
    for (const end of this.ends) end();
    this.side.close();
    this.root.remove();
  }

  /** A frame of ours says how tall its content is. @param {MessageEvent} event */
  framed(event) {
    const tall = Number(event.data && event.data.mkvHeight);
    if (!(tall > 0)) return;
    for (const frame of this.root.querySelectorAll("iframe.mkv-html")) {
      if (frame.contentWindow === event.source) frame.style.height = `${Math.min(Math.max(tall, 24), 640)}px`;
    }
  }

  /** Dark or light is what the page's background is, whoever chose it. */
  watchTheme() {
    const look = () => {
      const parts = (getComputedStyle(this.root).backgroundColor.match(/[\d.]+/g) || []).map(Number);
      const [r = 255, g = 255, b = 255] = parts;
      this.root.toggleAttribute("data-dark", r * 0.3 + g * 0.59 + b * 0.11 < 128);
    };
    look();
    const body = new MutationObserver(() => requestAnimationFrame(look));
    for (const one of [document.body, document.documentElement]) {
      body.observe(one, { attributes: true, attributeFilter: ["class", "style", "data-jp-theme-light", "data-jp-theme-name"] });
    }
    const media = matchMedia("(prefers-color-scheme: dark)");
    media.addEventListener("change", look);
    this.ends.push(() => body.disconnect(), () => media.removeEventListener("change", look));
  }

  resized() {
    const narrow = this.root.clientWidth < 720;
    this.root.toggleAttribute("data-narrow", narrow);
    /** @type {"right" | "down"} */
    const direction = this.root.clientWidth && this.root.clientWidth < 480 ? "down" : "right";
    if (this.direction && this.direction !== direction && this.graph.layout) {
      this.direction = direction;
      this.refold(this.graph.layout.folded);
    }
    this.direction = direction;
    this.graph.resized();
    if (this.tab === "table") this.table.draw();
  }

  now() {
    return Date.now() + this.ahead;
  }

  // ── data ──

  /** @param {string} kind @param {Facts} payload @returns {Promise<any>} */
  request(kind, payload) {
    return this.source.request(kind, payload);
  }

  async load() {
    try {
      this.take(await this.request("snapshot", { direction: this.direction, folded: this.folded }));
      this.failures = 0;
    } catch (error) {
      this.lost(error);
      return;
    }
    if (this.dead) return;
    if (this.source.subscribe && !this.subscribed) {
      this.subscribed = true;
      this.ends.push(this.source.subscribe((news) => this.heard(news)));
    }
    if (!this.source.subscribe) this.later();
  }

  /** Ask for patches again in a while; a run that has ended may be retried by somebody else. */
  later() {
    const every = this.options.every || 300;
    const wait = (this.run.over ? Math.max(every, 2000) : every) * 2 ** Math.min(this.failures, 5);
    clearTimeout(this.timer);
    if (!this.dead) this.timer = setTimeout(() => this.poll(), wait);
  }

  async poll() {
    try {
      if (document.visibilityState !== "hidden") await this.catchUp();
    } catch (error) {
      this.lost(error);
      return;
    }
    this.later();
  }

  async catchUp() {
    const payload = { cursor: this.cursor, direction: this.direction, folded: this.folded };
    this.take(await this.request("patch", payload));
    if (this.failures) this.say("");
    this.failures = 0;
  }

  /** @param {any} error */
  lost(error) {
    if (this.dead) return;
    this.failures += 1;
    this.say(`no answer: ${why(error)}. Trying again…`, "bad");
    if (this.cursor) this.later();
    else this.timer = setTimeout(() => this.load(), 1000 * 2 ** Math.min(this.failures, 5));
  }

  /** News that was pushed. @param {any} news */
  heard(news) {
    if (news.kind === "snapshot" || news.since === this.cursor) this.take(news);
    else this.catchUp().catch((error) => this.lost(error));
  }

  /** @param {any} news */
  take(news) {
    if (this.dead) return;
    this.cursor = news.cursor;
    this.ahead = news.now - Date.now();
    if (news.kind === "snapshot") {
      this.run = news.run;
      this.tasks = new Map(news.tasks.map((/** @type {Task} */ t) => [t.id, t]));
      this.groups = new Map(news.groups.map((/** @type {Group} */ g) => [g.id, g]));
      this.graph.take(news.layout);
      this.table.changed(true);
      if (this.picked && !this.tasks.has(this.picked.id)) this.pick(null);
      else this.side.changed();
    } else {
      Object.assign(this.run, news.run);
      for (const id in news.tasks) {
        const task = this.tasks.get(id);
        if (task) this.dirty.add(id) && Object.assign(task, news.tasks[id]);
      }
      for (const id in news.groups) {
        const group = this.groups.get(id);
        if (group) this.dirty.add(`group:${id}`) && Object.assign(group, news.groups[id]);
      }
    }
    this.drawSoon();
  }

  drawSoon() {
    if (!this.frame) this.frame = requestAnimationFrame(() => this.draw());
  }

  draw() {
    this.frame = 0;
    this.drawHead();
    const dirty = this.dirty;
    this.dirty = new Set();
    if (!dirty.size) return;
    this.graph.update(dirty);
    this.table.changed(false);
    this.gantt.stale = true;
    if (this.picked && dirty.has(this.picked.id)) this.side.changed();
  }

  drawHead() {
    const run = this.run;
    const state = run.interrupted ? "interrupted" : run.state;
    if (this.state.dataset.state !== state) {
      this.state.dataset.state = state;
      this.state.className = `mkv-badge mkv-s-${state}`;
      this.state.replaceChildren(icon(state), word(state));
    }
    write(this.title, run.run_id || "");
    if (!this.said) write(this.word, this.summary());
    this.root.setAttribute("aria-label", `DAG run ${run.run_id}, ${word(state)}`);
    this.drawFacts();
    const wanted = (run.actions || []).join();
    if (this.buttons.dataset.actions !== wanted) {
      this.buttons.dataset.actions = wanted;
      this.buttons.replaceChildren(...(run.actions || []).map((/** @type {string} */ a) => this.button(a, {})));
    }
  }

  drawFacts() {
    const run = this.run;
    const parts = [];
    if (run.started) parts.push(took((run.ended || this.now()) - run.started));
    if (run.reason) parts.push(run.reason);
    else if (run.cancelled && !run.over) parts.push("cancelling");
    write(this.facts, parts.join(" · "));
  }

  tick() {
    if (this.dead || document.visibilityState === "hidden") return;
    if (this.run.state) this.drawFacts();
    this.graph.tick();
    if (this.tab === "gantt") this.gantt.tick();
    if (this.tab === "table") this.table.tick();
    this.side.tick();
  }

  // ── what a person does ──

  /** @param {string} name */
  showTab(name) {
    this.tab = name;
    for (const one in this.tabs) {
      this.tabs[one].setAttribute("aria-selected", String(one === name));
      this.tabs[one].tabIndex = one === name ? 0 : -1;
    }
    for (const part of [this.graph, this.gantt, this.table]) part.root.hidden = part.name !== name;
    if (name === "graph") this.graph.resized();
    if (name === "gantt") this.gantt.tick();
    if (name === "table") this.table.draw();
  }

  /** @param {string | null} id @param {number} [index] */
  pick(id, index = -1) {
    const before = this.picked;
    this.picked = id === null ? null : { id, index };
    this.graph.mark(before && before.id, id);
    this.table.draw();
    if (this.picked) this.side.open(this.picked);
    else {
      const inside = this.side.root.contains(document.activeElement);
      this.side.close();
      if (inside && before) this.graph.focus(before.id);
    }
  }

  /** @param {string[]} folded */
  async refold(folded) {
    this.folded = folded;
    try {
      const layout = await this.request("layout", { folded, direction: this.direction });
      if (!this.dead) this.graph.take(layout);
    } catch (error) {
      this.say(why(error), "bad");
    }
  }

  /** A button for an action; it says what it would do when it is pointed at.
   * @param {string} action @param {Facts} on */
  button(action, on) {
    const [label] = ACTIONS[action] || [action];
    const kind = /cancel|stop|give_up/.test(action) ? " danger" : "";
    let told = "";
    const look = () => AGAIN.test(action) && this.request("foresee", { action, ...on }).then(({ line }) => {
      if (made.matches(":hover, :focus") && !made.disabled) this.say((told = `${label}: ${line}`));
    }, () => {});
    const leave = () => told && this.word.textContent === told && this.say("");
    const made = press(label, () => this.act(action, on, made), { class: `button${kind}`, onpointerenter: look, onfocus: look, onpointerleave: leave, onblur: leave });
    return made;
  }

  /** @param {string} action @param {Facts} on @param {HTMLButtonElement} button */
  async act(action, on, button) {
    const [label, question, heard] = ACTIONS[action] || [action, "", "Asked…"];
    try {
      let ask = action === "mark_success" && on.ended ? "" : question;
      if (AGAIN.test(action)) {
        const plan = await this.slow("foresee", { action, ...on }, button, "Looking…");
        this.say(`${label}: ${plan.line}`);
        ask = plan.ask;
      }
      if (ask && !(await this.confirm(ask, label, button))) return this.say("");
      const answer = await this.slow("act", { action, ...on }, button, heard);
      this.say(answer.said || "heard");
      if (!this.source.subscribe) this.later();
    } catch (error) {
      this.say(why(error), "bad");
    }
  }

  /** Ask for a click: it is heard at once, and said where the answer takes long.
   * @param {string} kind @param {Facts} payload @param {HTMLButtonElement} button @param {string} heard */
  async slow(kind, payload, button, heard, late = this.options.busy || "busy: your click is queued") {
    button.disabled = true;
    this.say(heard);
    const busy = setTimeout(() => this.say(late), BUSY_AFTER);
    try {
      return await this.request(kind, payload);
    } finally {
      clearTimeout(busy);
      button.disabled = false;
    }
  }

  /** @param {string} question @param {string} label @param {HTMLElement} from
   * @returns {Promise<boolean>} */
  confirm(question, label, from) {
    this.answerAsk(false);
    const no = press("Keep", () => this.answerAsk(false));
    const yes = press(label, () => this.answerAsk(true), { class: "button danger" });
    this.ask.replaceChildren(h("span", {}, question), yes, no);
    this.ask.setAttribute("aria-label", question);
    this.ask.hidden = false;
    no.focus();
    return new Promise((done) => {
      this.asked = (/** @type {boolean} */ answer) => {
        this.ask.hidden = true;
        if (from.isConnected) from.focus();
        done(answer);
      };
    });
  }

  /** @param {boolean} answer */
  answerAsk(answer) {
    const asked = this.asked;
    this.asked = undefined;
    if (asked) asked(answer);
  }

  /** @param {string} text @param {string} [how] */
  say(text, how = "") {
    this.said = Boolean(text);
    this.word.className = `mkv-say${how ? ` mkv-${how}` : ""}`;
    write(this.word, text || this.summary());
  }

  /** What is said when nothing else is: how many tasks are in which state. */
  summary() {
    /** @type {{[state: string]: number}} */ const counts = {};
    for (const task of this.tasks.values()) counts[task.state] = (counts[task.state] || 0) + 1;
    const n = this.tasks.size;
    return n ? `${many(n)} ${n > 1 ? "tasks" : "task"}: ${countWords(counts)}` : "";
  }
}

/** One stop of the tab key, arrow keys between the rest. @param {HTMLElement} bar */
function roving(bar) {
  bar.addEventListener("keydown", (event) => {
    const all = /** @type {HTMLElement[]} */ ([...bar.querySelectorAll("[role=tab]")]);
    const at = all.indexOf(/** @type {HTMLElement} */ (document.activeElement));
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (at < 0 || !step) return;
    event.preventDefault();
    const next = all[(at + step + all.length) % all.length];
    next.focus();
    next.click();
  });
}

// ── graph ───────────────────────────────────────────────────────────────────

class Graph {
  /** @param {View} view */
  constructor(view) {
    this.view = view;
    this.name = "graph";
    /** @type {Map<string, any>} */ this.boxes = new Map();
    /** @type {Set<string>} */ this.live = new Set();
    /** @type {Layout | null} */ this.layout = null;
    this.x = this.y = 0;
    this.k = 1;
    this.touched = false;
    this.at = "";
    this.litId = "";
    this.world = s("g");
    this.under = s("g");
    this.back = s("svg", { class: "back", "aria-hidden": "true" }, this.under);
    this.canvas = s("svg", { class: "canvas", role: "group", "aria-label": "Graph. Arrow keys go from task to task, Enter opens one." }, this.world);
    const tools = h("div", { class: "tools" });
    for (const [label, text, run] of /** @type {[string, string, () => void][]} */ ([
      ["Zoom in", "+", () => this.zoom(1.3)], ["Zoom out", "−", () => this.zoom(1 / 1.3)], ["Fit the whole graph", "⤢", () => this.fit(0)],
    ])) tools.append(h("button", { class: "tool", title: label, "aria-label": label, onclick: run }, text));
    this.root = h("div", { class: "graph", role: "tabpanel", "aria-label": "Graph" }, this.back, this.canvas, tools);
    this.listen();
  }

  listen() {
    /** @type {{x: number, y: number, moved: boolean} | null} */ let drag = null;
    this.canvas.addEventListener("pointerdown", (/** @type {PointerEvent} */ event) => {
      if (event.button === 0) drag = { x: event.clientX, y: event.clientY, moved: false };
    });
    this.canvas.addEventListener("pointermove", (/** @type {PointerEvent} */ event) => {
      if (!drag) return;
      const dx = event.clientX - drag.x;
      const dy = event.clientY - drag.y;
      if (!drag.moved && Math.abs(dx) + Math.abs(dy) < 5) return;
      if (!drag.moved) this.canvas.setPointerCapture(event.pointerId);
      drag = { x: event.clientX, y: event.clientY, moved: true };
      this.move(this.x + dx, this.y + dy, this.k);
    });
    const stop = () => setTimeout(() => (drag = null));
    this.canvas.addEventListener("pointerup", stop);
    this.canvas.addEventListener("pointercancel", stop);
    this.canvas.addEventListener("click", (/** @type {MouseEvent} */ event) => {
      if (drag && drag.moved) return;
      const id = this.idAt(event.target);
      if (id) this.enter(id);
    });
    this.canvas.addEventListener("wheel", (/** @type {WheelEvent} */ event) => {
      // The page scrolls on: only with Ctrl (a pinch) it zooms, and sideways it pans.
      if (event.ctrlKey || event.metaKey) {
        event.preventDefault();
        const at = this.canvas.getBoundingClientRect();
        this.zoom(Math.exp(-event.deltaY * 0.008), event.clientX - at.left, event.clientY - at.top);
      } else if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
        event.preventDefault();
        this.move(this.x - event.deltaX, this.y, this.k);
      }
    }, { passive: false });
    this.canvas.addEventListener("pointerover", (/** @type {PointerEvent} */ event) => this.light(this.idAt(event.target)));
    this.canvas.addEventListener("pointerleave", () => this.light(""));
    this.canvas.addEventListener("focusin", (/** @type {FocusEvent} */ event) => {
      const id = this.idAt(event.target);
      if (!id) return;
      this.rove(id);
      this.light(id);
      this.reveal(id);
    });
    this.canvas.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => this.key(event));
  }

  /** @param {any} target @returns {string} */
  idAt(target) {
    const found = target && target.closest ? target.closest("[data-id]") : null;
    return found ? found.dataset.id : "";
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    const step = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] }[event.key];
    const id = this.idAt(event.target);
    if (step && id) this.focus(this.neighbour(id, step[0], step[1]));
    else if ((event.key === "Enter" || event.key === " ") && id) this.enter(id);
    else if (event.key === "+" || event.key === "=") this.zoom(1.3);
    else if (event.key === "-") this.zoom(1 / 1.3);
    else if (event.key === "0") this.fit(0);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  /** The nearest box in a direction. @param {string} id @param {number} dx @param {number} dy */
  neighbour(id, dx, dy) {
    const from = this.middle(id);
    let best = id;
    let least = Infinity;
    for (const other of this.boxes.keys()) {
      const to = this.middle(other);
      const along = (to[0] - from[0]) * dx + (to[1] - from[1]) * dy;
      const across = Math.abs((to[0] - from[0]) * dy) + Math.abs((to[1] - from[1]) * dx);
      const far = along + across * 2.5;
      if (other !== id && along > 1 && far < least) {
        least = far;
        best = other;
      }
    }
    return best;
  }

  /** @param {string} id */
  middle(id) {
    const place = this.boxes.get(id).place;
    return [place.x + place.w / 2, place.y + place.h / 2];
  }

  /** Open a task's panel, or fold or open a group. @param {string} id */
  enter(id) {
    const folded = this.layout ? this.layout.folded : [];
    if (id.startsWith("group:")) {
      const name = id.slice(6);
      this.after = id;
      const isFolded = folded.includes(name);
      this.view.refold(isFolded ? folded.filter((one) => one !== name) : [...folded, name]);
    } else this.view.pick(id);
  }

  /** @param {Layout} layout */
  take(layout) {
    const first = !this.layout;
    const had = this.root.contains(document.activeElement);
    this.layout = layout;
    this.boxes.clear();
    this.live.clear();
    this.folded = new Set(layout.folded);
    const frames = layout.frames.map((frame) => this.frame(frame));
    this.arrows = s("path", { class: "arrows", d: layout.arrows.map((a) => a.path).join("") });
    this.heads = s("path", { class: "heads", d: layout.arrows.map((a) => this.head(a.path)).join("") });
    this.lit = s("path", { class: "lit" });
    this.litHeads = s("path", { class: "lit-heads" });
    const labels = layout.arrows.filter((a) => a.label && a.at).map((a) =>
      s("text", { class: "label", x: a.at?.[0] ?? 0, y: (a.at?.[1] ?? 0) - 4 }, a.label || ""));
    // Arrows lie in a layer of their own: they are not drawn again when a box changes.
    this.under.replaceChildren(...frames.map((one) => one[0]), this.arrows, this.heads, ...labels);
    this.world.replaceChildren(this.lit, this.litHeads, ...frames.map((one) => one[1]));
    for (const place of layout.boxes) {
      this.boxes.set(place.kind === "group" ? `group:${place.id}` : place.id, { place, made: null, parts: null, picked: false });
    }
    this.see();
    this.rove(this.boxes.has(this.at) ? this.at : this.boxes.keys().next().value || "");
    if (this.view.picked) this.mark(null, this.view.picked.id);
    if (first) this.view.root.style.setProperty("--mkv-wanted", `${Math.ceil(layout.height + 20)}px`);
    if (first || !this.touched) this.fit(NEAR);
    this.see();
    if (this.after && had) {
      const group = this.after.slice(6);
      const inside = layout.frames.some((frame) => frame.id === group);
      if (!inside) this.focus(this.after);
      else this.world.querySelector(".mkv-fold")?.focus();
    }
    this.after = "";
  }

  /** An arrow's head, at the end of its path. @param {string} path */
  head(path) {
    const end = path.match(/(-?[\d.]+),(-?[\d.]+)$/);
    if (!end) return "";
    const [x, y] = [Number(end[1]), Number(end[2])];
    return this.layout?.direction === "down" ? `M${x},${y}l-4,-7h8z` : `M${x},${y}l-7,-4v8z`;
  }

  /** @param {Place & {id: string}} frame */
  frame(frame) {
    const group = this.view.groups.get(frame.id);
    const label = group ? group.label : frame.id;
    const title = s("g", {
      class: "fold", role: "button", tabindex: 0, "data-id": `group:${frame.id}`,
      "aria-label": `Fold task group ${label}`,
    }, s("title", {}, group && group.tooltip ? group.tooltip : `Fold ${label}`),
    s("rect", { x: 6, y: 5, width: Math.min(cut(label, 40).length * 7 + 30, frame.w - 12), height: 20, rx: 4, class: "fold-back" }),
    s("path", { d: "M12 12.5l4 4l4-4", class: "chevron" }),
    s("text", { x: 26, y: 19.5, class: "frame-name" }, cut(label, 40)));
    const at = `translate(${frame.x},${frame.y})`;
    return [s("rect", { transform: at, width: frame.w, height: frame.h, rx: 10, class: "frame" }), s("g", { transform: at }, title)];
  }

  /** A box as an element, made when it is first needed. @param {string} id @param {any} box */
  make(id, box) {
    const { place } = box;
    const task = this.view.tasks.get(id);
    const stacked = place.kind === "group" || (task && task.mapped);
    const body = s("rect", { width: place.w, height: place.h, rx: 8, class: "body-rect" });
    const made = s("g", {
      transform: `translate(${place.x},${place.y})`, "data-id": id, role: "button", tabindex: this.at === id ? 0 : -1,
    }, stacked && s("rect", { x: 4, y: 4, width: place.w, height: place.h, rx: 8, class: "behind" }), body);
    box.made = made;
    this.world.append(made);
    this.draw(id, box);
  }

  /** Make what has come near. */
  see() {
    for (const [id, box] of this.boxes) {
      if (!this.near(box)) continue;
      if (!box.made) this.make(id, box);
      else if (!box.parts && this.k >= FAR) this.draw(id, box);
    }
  }

  /** What is inside of a box, made when it is first seen from near. @param {any} box */
  detail(box) {
    const { w, h: tall } = box.place;
    const parts = {
      band: s("path", { class: "fill", d: `M8,0v${tall}a8,8 0 0 1 -8,-8v-${tall - 16}a8,8 0 0 1 8,-8z` }),
      icon: s("g", { transform: "translate(17,11)" }),
      name: s("text", { x: 39, y: 22, class: "name" }),
      sub: s("text", { x: 39, y: 39, class: "sub" }),
      time: s("text", { x: w - 10, y: 39, class: "sub time" }),
      bar: s("rect", { x: 8, y: tall - 4, height: 4, width: 0, class: "bar" }),
      strip: s("g"),
    };
    box.parts = parts;
    box.made.append(parts.band, parts.icon, parts.name, parts.sub, parts.time, parts.strip, parts.bar);
  }

  /** @param {Iterable<string>} ids */
  update(ids) {
    for (const id of ids) {
      const box = this.boxes.get(id);
      if (box && box.made) this.draw(id, box);
    }
  }

  /** @param {string} id @param {any} box */
  draw(id, box) {
    const group = id.startsWith("group:");
    const facts = /** @type {any} */ (group ? this.view.groups.get(id.slice(6)) : this.view.tasks.get(id));
    if (!facts) return;
    put(box.made, "class", `mkv-box mkv-s-${facts.state}${box.picked ? " mkv-picked" : ""}${group ? " mkv-group" : ""}`);
    const sub = group || facts.counts ? countWords(facts.counts || {}) : word(facts.state);
    put(box.made, "aria-label", `${group ? "task group " : ""}${facts.label}: ${word(facts.state)}${facts.counts ? `, ${sub}` : ""}${facts.progress ? `, ${facts.progress.text}` : ""}`);
    if (!group && !facts.ended && facts.started) this.live.add(id);
    else this.live.delete(id);
    if (!box.parts) {
      if (this.k < FAR || !this.near(box)) return;
      this.detail(box);
    }
    const parts = box.parts;
    if (parts.state !== facts.state) {
      parts.state = facts.state;
      parts.icon.replaceChildren(icon(facts.state));
    }
    write(parts.name, cut(facts.label, Math.floor((box.place.w - 48) / 8)));
    if (!parts.title) box.made.prepend((parts.title = s("title")));
    write(parts.title, [facts.id, word(facts.state), facts.reason, facts.doc || facts.tooltip].filter(Boolean).join("\n"));
    this.times(id, box, facts, group);
    if (facts.counts && parts.strips !== (facts.strip || sub)) {
      parts.strips = facts.strip || sub;
      const rows = facts.strip ? runs(facts.strip) : ORDER.filter((st) => facts.counts[st]).map((st) => /** @type {[string, number]} */ ([st, facts.counts[st]]));
      bars(parts.strip, rows, 17, box.place.h - 17, box.place.w - 27, 8);
    }
    const share = facts.progress && facts.progress.share;
    put(parts.bar, "width", share ? ((box.place.w - 12) * share).toFixed(1) : 0);
  }

  /** @param {string} id @param {any} box @param {any} facts @param {boolean} group */
  times(id, box, facts, group) {
    const now = this.view.now();
    let sub = facts.progress ? facts.progress.text : word(facts.state);
    let time = facts.started ? took((facts.ended || now) - facts.started) : "";
    if (group) {
      const done = facts.counts.success || 0;
      [sub, time] = [`${many(done)} of ${many(facts.total)} done`, facts.counts.failed ? `${many(facts.counts.failed)} failed` : ""];
    } else if (facts.counts) {
      const counts = facts.counts;
      const bad = (counts.failed || 0) + (counts.upstream_failed || 0);
      sub = facts.total === null ? "not expanded yet" : `${many(counts.success || 0)}/${many(facts.total)}`;
      if (bad) sub += ` · ${many(bad)} failed`;
      else if (counts.running) sub += ` · ${many(counts.running)} running`;
    } else if (facts.alarm) {
      sub = facts.failures ? `retry ${facts.failures}/${facts.retries}` : "looks";
      time = facts.alarm > now ? `in ${took(facts.alarm - now)}` : "due";
    } else if (facts.state === "queued" && facts.queued) time = took(now - facts.queued);
    const room = Math.floor((box.place.w - 50 - time.length * 6.4) / 6.4);
    write(box.parts.sub, cut(sub, room));
    write(box.parts.time, time);
  }

  tick() {
    if (this.root.hidden || this.k < FAR) return;
    for (const [id, box] of this.boxes) {
      if (!box.parts) continue;
      const task = this.view.tasks.get(id);
      if (task && (this.live.has(id) || task.alarm || task.state === "queued")) this.times(id, box, task, false);
    }
  }

  // ── where one looks ──

  /** @param {any} box */
  near(box) {
    if (!this.wide) return false;
    const { x, y, w, h: tall } = box.place;
    const left = x * this.k + this.x;
    const top = y * this.k + this.y;
    return left < this.wide + 300 && top < this.tall + 300 && left + w * this.k > -300 && top + tall * this.k > -300;
  }

  /** @param {number} x @param {number} y @param {number} k */
  move(x, y, k) {
    this.touched = true;
    this.place(x, y, k);
  }

  /** @param {number} x @param {number} y @param {number} k */
  place(x, y, k) {
    if (!this.layout) return;
    const edge = 60;
    this.k = Math.min(Math.max(k, 0.03), 2.5);
    this.x = Math.min(Math.max(x, edge - this.layout.width * this.k), Math.max(this.wide || 0, edge) - edge);
    this.y = Math.min(Math.max(y, edge - this.layout.height * this.k), Math.max(this.tall || 0, edge) - edge);
    for (const one of [this.world, this.under]) one.setAttribute("transform", `translate(${this.x.toFixed(1)},${this.y.toFixed(1)}) scale(${this.k.toFixed(4)})`);
    this.root.classList.toggle("mkv-far", this.k < FAR);
    if (!this.seeing) {
      this.seeing = requestAnimationFrame(() => {
        this.seeing = 0;
        this.see();
      });
    }
  }

  /** @param {number} factor @param {number} [x] @param {number} [y] */
  zoom(factor, x = this.wide / 2, y = this.tall / 2) {
    const k = Math.min(Math.max(this.k * factor, 0.03), 2.5);
    const by = k / this.k;
    this.move(x - (x - this.x) * by, y - (y - this.y) * by, k);
  }

  /** The whole graph, no smaller than `least`; then from its beginning. @param {number} least */
  fit(least) {
    if (!this.layout || !this.wide || !this.tall) return;
    const { width, height } = this.layout;
    const k = Math.max(Math.min(this.wide / width, this.tall / height, 1), least);
    const x = width * k <= this.wide ? (this.wide - width * k) / 2 : 0;
    const y = height * k <= this.tall ? (this.tall - height * k) / 2 : 0;
    this.touched = false;
    this.place(x, y, k);
  }

  resized() {
    this.wide = this.root.clientWidth;
    this.tall = this.root.clientHeight;
    if (!this.touched) this.fit(this.view.picked ? Math.max(this.k, NEAR) : NEAR);
    else this.place(this.x, this.y, this.k);
    if (this.view.picked && this.boxes.has(this.view.picked.id)) this.reveal(this.view.picked.id);
  }

  /** Move so that a box can be seen. @param {string} id */
  reveal(id) {
    const box = this.boxes.get(id);
    if (!box || !this.wide) return;
    const k = Math.max(this.k, FAR);
    const { x, y, w, h: tall } = box.place;
    const into = (/** @type {number} */ from, /** @type {number} */ size, /** @type {number} */ room, /** @type {number} */ at) =>
      Math.min(Math.max(at, 12 - from * k), room - 12 - (from + size) * k);
    if (k !== this.k) this.place(this.wide / 2 - (x + w / 2) * k, this.tall / 2 - (y + tall / 2) * k, k);
    else this.place(into(x, w, this.wide, this.x), into(y, tall, this.tall, this.y), k);
  }

  /** @param {string} id */
  rove(id) {
    const before = this.boxes.get(this.at);
    if (before && before.made) before.made.setAttribute("tabindex", "-1");
    const box = this.boxes.get(id);
    if (!box) return;
    this.at = id;
    if (box.made) box.made.setAttribute("tabindex", "0");
    else this.make(id, box);
  }

  /** @param {string} id */
  focus(id) {
    const box = this.boxes.get(id);
    if (!box) return;
    if (!box.made) this.make(id, box);
    box.made.focus({ preventScroll: true });
  }

  /** @param {string} id */
  light(id) {
    if (!this.layout || this.litId === id) return;
    this.litId = id;
    const found = id ? this.layout.arrows.filter((a) => a.from === id || a.to === id) : [];
    this.lit.setAttribute("d", found.map((a) => a.path).join(""));
    this.litHeads.setAttribute("d", found.map((a) => this.head(a.path)).join(""));
  }

  /** @param {string | null} before @param {string | null} id */
  mark(before, id) {
    for (const [one, picked] of /** @type {[string | null, boolean][]} */ ([[before, false], [id, true]])) {
      const box = one === null ? undefined : this.boxes.get(one);
      if (box && one !== null) {
        box.picked = picked;
        if (box.made) this.draw(one, box);
      }
    }
  }
}

// ── Gantt ───────────────────────────────────────────────────────────────────

class Gantt {
  /** @param {View} view */
  constructor(view) {
    this.view = view;
    this.name = "gantt";
    this.stale = true;
    /** @type {any[]} */ this.open = [];
    this.axis = h("div", { class: "axis", "aria-hidden": "true" });
    this.rows = h("div", { class: "rows", role: "list" });
    this.line = h("div", { class: "now", "aria-hidden": "true" });
    this.note = h("p", { class: "note" });
    this.root = h("div", { class: "gantt", role: "tabpanel", "aria-label": "Gantt", tabindex: 0 },
      this.axis, this.rows, this.line, this.note);
  }

  async tick() {
    if (this.busy) return;
    if (!this.stale) {
      if (!this.view.run.over) this.scale();
      return;
    }
    this.busy = true;
    this.stale = false;
    try {
      this.draw(await this.view.request("gantt", {}));
    } catch (error) {
      this.stale = true;
      this.note.textContent = why(error);
    } finally {
      this.busy = false;
    }
  }

  /** @param {Facts} answer */
  draw(answer) {
    const kept = this.root.scrollTop;
    this.open = [];
    this.from = Math.min(this.view.run.started || Infinity, ...answer.rows.flatMap((/** @type {any} */ r) =>
      r.bars.map((/** @type {any} */ b) => b.queued || b.started || Infinity)));
    this.until = this.view.run.ended || 0;
    this.rows.replaceChildren(...answer.rows.map((/** @type {any} */ row) => this.row(row)));
    write(this.note, answer.rows.length ? (answer.more ? "More task instances are not shown here: see the table." : "") : "Nothing has started yet.");
    this.scale();
    this.root.scrollTop = kept;
  }

  /** @param {Facts} row */
  row(row) {
    const task = this.view.tasks.get(row.task_id);
    const index = row.map_index < 0 ? "" : `[${row.map_index}]`;
    const name = row.task_id + index;
    const lane = h("div", { class: "lane" });
    for (const bar of row.bars) {
      const begin = bar.started || bar.ended || Infinity;
      if (bar.queued && bar.queued < begin) {
        const to = bar.started || bar.ended;
        lane.append(this.span(bar.queued, to, "wait", `attempt ${bar.attempt}: queued ${clock(bar.queued)}${to ? `, for ${took(to - bar.queued)}` : ""}`));
      }
      if (!bar.started) continue;
      const text = `attempt ${bar.attempt}: ${word(bar.state)}, ${clock(bar.started)}${bar.ended ? `, ${took(bar.ended - bar.started)}` : ""}${bar.reason ? `\n${bar.reason}` : ""}`;
      const made = this.span(bar.started, bar.ended, `span s-${bar.state}`, text);
      made.append(icon(bar.state, 12));
      lane.append(made);
    }
    const open = () => this.view.pick(row.task_id, row.map_index);
    return h("div", { class: "row", role: "listitem" },
      h("button", { class: "row-name", title: name, onclick: open }, icon(row.state, 12), h("span", {}, (task ? task.label : row.task_id) + index)), lane);
  }

  /** @param {number} from @param {number | null} to @param {string} kind @param {string} title */
  span(from, to, kind, title) {
    const made = h("div", { class: kind, title });
    this.open.push({ made, from, to });
    return made;
  }

  /** Everything on the axis, which ends now while the run goes on. */
  scale() {
    const from = this.from;
    if (from === undefined || !isFinite(from)) return;
    const until = Math.max(this.until || this.view.now(), from + 1000);
    const percent = (/** @type {number} */ at) => ((at - from) / (until - from)) * 100;
    for (const { made, from: begin, to } of this.open) {
      made.style.left = `${percent(begin).toFixed(3)}%`;
      made.style.width = `${Math.max(percent(to || until) - percent(begin), 0).toFixed(3)}%`;
    }
    const steps = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 86400];
    const seconds = (until - from) / 1000;
    const room = Math.max(this.axis.clientWidth / 80, 3);
    const step = steps.find((one) => seconds / one <= room) || seconds / 4;
    const marks = [];
    for (let at = 0; at <= seconds * 0.97; at += step) {
      marks.push(h("span", { style: `left:${(at / seconds) * 100}%` }, at === 0 ? clock(from) : `+${step < 1 ? at.toFixed(1) : Math.round(at)} s`.replace(/^\+(\d{2,}) s$/, (_, n) => `+${took(Number(n) * 1000)}`)));
    }
    this.axis.replaceChildren(...marks);
    this.line.hidden = Boolean(this.until);
  }
}

// ── table ───────────────────────────────────────────────────────────────────

const ROW = 30;
/** @type {[string, string, (t: Task) => any][]} */
const COLUMNS = [
  ["label", "Task", (t) => t.id],
  ["state", "State", (t) => ORDER.indexOf(t.state)],
  ["started", "Started", (t) => t.started || Infinity],
  ["took", "Took", (t) => (t.started ? (t.ended || Date.now()) - t.started : -1)],
  ["attempt", "Tries", (t) => t.attempt],
  ["reason", "What it says", (t) => t.reason],
];

class Table {
  /** @param {View} view */
  constructor(view) {
    this.view = view;
    this.name = "table";
    this.by = "";
    this.up = true;
    /** @type {Set<string>} */ this.only = new Set();
    /** @type {Task[]} */ this.shown = [];
    this.chips = h("div", { class: "chips", role: "group", "aria-label": "Show only tasks in these states" });
    this.head = h("div", { class: "tr th", role: "row" });
    for (const [name, label] of COLUMNS) {
      this.head.append(h("div", { role: "columnheader", "data-by": name, class: `td c-${name}` },
        h("button", { class: "sort", onclick: () => this.sort(name) }, label)));
    }
    this.space = h("div", { class: "space" });
    this.scroll = h("div", { class: "scroll", tabindex: 0, "aria-label": "Tasks", onscroll: () => this.drawSoon() }, this.space);
    this.root = h("div", { class: "table", role: "tabpanel", "aria-label": "Table" }, this.chips,
      h("div", { role: "table", class: "tbl", "aria-label": "Tasks of the run" }, this.head, this.scroll));
  }

  /** @param {string} name */
  sort(name) {
    this.up = this.by === name ? !this.up : true;
    this.by = name;
    for (const one of this.head.children) {
      const mine = one.dataset.by === name;
      one.setAttribute("aria-sort", mine ? (this.up ? "ascending" : "descending") : "none");
    }
    this.arrange();
  }

  /** @param {boolean} whole */
  changed(whole) {
    if (whole) this.shown = [...this.view.tasks.values()];
    if (this.view.tab !== "table") return;
    if (whole) this.arrange();
    else this.drawSoon();
  }

  tick() {
    this.arrange();
  }

  arrange() {
    const column = COLUMNS.find((one) => one[0] === this.by);
    this.counts();
    this.shown = [...this.view.tasks.values()].filter((t) => !this.only.size || this.states(t).some((st) => this.only.has(st)));
    if (column) {
      const sign = this.up ? 1 : -1;
      const keys = new Map(this.shown.map((t) => [t, column[2](t)]));
      this.shown.sort((a, b) => {
        const [x, y] = [keys.get(a), keys.get(b)];
        return x < y ? -sign : x > y ? sign : 0;
      });
    }
    this.draw();
  }

  /** @param {Task} task */
  states(task) {
    return task.counts ? Object.keys(task.counts) : [task.state];
  }

  counts() {
    /** @type {{[state: string]: number}} */ const found = {};
    for (const task of this.view.tasks.values()) for (const state of this.states(task)) found[state] = (found[state] || 0) + 1;
    const states = ORDER.filter((st) => found[st] || this.only.has(st));
    const wanted = states.map((st) => `${st}${found[st]}${this.only.has(st)}`).join();
    if (this.chips.dataset.of === wanted) return;
    this.chips.dataset.of = wanted;
    const had = focused("chip");
    this.chips.replaceChildren(...states.map((st) => h("button", {
      class: `chip s-${st}`, "data-chip": st, "aria-pressed": String(this.only.has(st)),
      onclick: () => {
        if (!this.only.delete(st)) this.only.add(st);
        this.arrange();
      },
    }, icon(st, 12), `${word(st)} ${many(found[st] || 0)}`)));
    if (had) this.chips.querySelector(`[data-chip="${had}"]`)?.focus();
  }

  drawSoon() {
    if (!this.frame) this.frame = requestAnimationFrame(() => ((this.frame = 0), this.draw()));
  }

  /** Only the rows that can be seen. */
  draw() {
    if (this.root.hidden) return;
    if (!this.chips.dataset.of && this.view.tasks.size) return void this.arrange();
    const first = Math.max(Math.floor(this.scroll.scrollTop / ROW) - 5, 0);
    const last = Math.min(first + Math.ceil(this.scroll.clientHeight / ROW) + 10, this.shown.length);
    this.space.style.height = `${this.shown.length * ROW}px`;
    const had = focused("row");
    this.space.replaceChildren(...this.shown.slice(first, last).map((t, i) => this.row(t, first + i)));
    if (had) this.space.querySelector(`[data-row="${CSS.escape(had)}"]`)?.focus({ preventScroll: true });
  }

  /** @param {Task} t @param {number} at */
  row(t, at) {
    const now = this.view.now();
    const said = t.progress ? t.progress.text : t.counts ? countWords(t.counts) : t.reason;
    const cells = [
      h("button", { class: "link", "data-row": t.id, title: t.id, onclick: () => this.view.pick(t.id) }, t.id),
      badge(t.state), clock(t.started), t.started ? took((t.ended || now) - t.started) : "", t.attempt || "", h("span", { title: said }, said),
    ];
    const picked = this.view.picked && this.view.picked.id === t.id;
    return h("div", { class: `tr${picked ? " picked" : ""}`, role: "row", "aria-rowindex": at + 2, style: `top:${at * ROW}px` },
      ...cells.map((cell, i) => h("div", { role: "cell", class: `td c-${COLUMNS[i][0]}` }, cell)));
  }
}

// ── side panel ──────────────────────────────────────────────────────────────

/** @type {{[name: string]: string}} */
const PARTS = { error: "Error", notebook: "Notebook", instances: "Instances", log: "Log", attempts: "Attempts", values: "Values" };

class Side {
  /** @param {View} view */
  constructor(view) {
    this.view = view;
    this.part = "";
    this.round = 0;
    /** @type {{offset: number, states: string[]} | null} */ this.page = null;
    this.root = h("aside", { class: "side", hidden: true, "aria-label": "Task" });
  }

  /** @param {{id: string, index: number}} picked */
  open(picked) {
    const was = this.picked;
    const task = this.view.tasks.get(picked.id);
    if (!task) return;
    this.picked = picked;
    this.one = null;
    const name = picked.index < 0 ? task.id : `${task.id}[${picked.index}]`;
    this.state = h("span");
    this.line = h("p", { class: "line" });
    this.buttons = h("span", { class: "buttons" });
    this.tabs = h("div", { class: "tabs", role: "tablist", "aria-label": "Details" });
    roving(this.tabs);
    this.content = h("div", { class: "content", role: "tabpanel", tabindex: 0 });
    const back = picked.index >= 0 && h("button", { class: "link", onclick: () => this.view.pick(task.id) }, "all instances");
    const close = h("button", { class: "tool", "aria-label": "Close the panel", title: "Close (Esc)", onclick: () => this.view.pick(null) }, "×");
    this.root.setAttribute("aria-label", `Task ${name}`);
    this.root.replaceChildren(
      h("div", { class: "side-head" }, this.state, h("h3", { title: name }, name), back, close),
      this.line, h("div", { class: "side-bar" }, this.tabs, this.buttons), this.content);
    const hidden = this.root.hidden;
    this.root.hidden = false;
    this.view.root.toggleAttribute("data-side", true);
    this.part = "";
    this.changed();
    if (hidden) this.view.resized();
    if (!was) this.content.focus({ preventScroll: true });
  }

  close() {
    this.round += 1;
    this.part = "";
    this.picked = null;
    clearTimeout(this.timer);
    if (this.root.hidden) return;
    this.root.hidden = true;
    this.root.replaceChildren();
    this.view.root.toggleAttribute("data-side", false);
    if (!this.view.dead) this.view.resized();
  }

  /** What is shown: a task, or one instance of a mapped one. @returns {any} */
  facts() {
    const task = this.picked && this.view.tasks.get(this.picked.id);
    return task && this.picked && this.picked.index >= 0 ? this.one : task;
  }

  /** The picked task changed. */
  async changed() {
    const picked = this.picked;
    const task = picked && this.view.tasks.get(picked.id);
    if (!picked || !task) return;
    if (picked.index >= 0 && !this.fetching) {
      this.fetching = true;
      const page = await this.view.request("page", { task_id: task.id, index: picked.index }).catch(() => null);
      this.fetching = false;
      if (this.picked !== picked) return;
      this.one = (page && page.rows[0]) || { state: "none", actions: [], reason: "" };
    }
    this.head(task);
    const last = this.mark;
    const facts = this.facts();
    this.mark = facts ? `${facts.state}${facts.attempt}` : "";
    if (!this.part) this.show(this.first(task, facts));
    else if (last !== this.mark || (this.part === "instances")) this.show(this.part, last === this.mark);
  }

  /** @param {Task} task */
  head(task) {
    const facts = this.facts();
    if (!facts) return;
    this.state.replaceChildren(badge(facts.state));
    this.tick();
    const parts = this.parts(task);
    const wanted = parts.join();
    if (this.tabs.dataset.of !== wanted) {
      this.tabs.dataset.of = wanted;
      this.tabs.replaceChildren(...parts.map((part) => h("button", {
        role: "tab", class: "tab", "data-part": part, onclick: () => this.show(part),
      }, PARTS[part])));
      this.select();
    }
    const on = { ...this.where(), ended: Boolean(facts.ended) };
    const actions = (facts.actions || []).join();
    if (this.buttons.dataset.of !== actions) {
      this.buttons.dataset.of = actions;
      this.buttons.replaceChildren(...(facts.actions || []).map((/** @type {string} */ a) => this.view.button(a, on)));
    }
  }

  /** @param {Task} task @returns {string[]} */
  parts(task) {
    const facts = this.facts();
    if (task.counts && this.picked && this.picked.index < 0) return ["instances"];
    const bad = facts.state === "failed" || facts.failures > 0;
    return [...(bad ? ["error"] : []), ...(task.kind === "notebook" ? ["notebook"] : []), "log", "attempts", "values"];
  }

  /** @param {Task} task @param {any} facts */
  first(task, facts) {
    const parts = this.parts(task);
    return facts && facts.state !== "failed" && parts[0] === "error" ? parts[1] : parts[0];
  }

  tick() {
    const facts = this.facts();
    const task = this.picked && this.view.tasks.get(this.picked.id);
    if (!facts || !task) return;
    const now = this.view.now();
    const time = facts.started ? took((facts.ended || now) - facts.started) : "";
    const due = facts.alarm ? `next try ${facts.alarm > now ? `in ${took(facts.alarm - now)}` : "is due"}` : "";
    const said = facts.progress ? facts.progress.text : facts.reason;
    write(this.line, [task.operator, time, due, facts.attempt > 1 ? `attempt ${facts.attempt}` : "", said].filter(Boolean).join(" · "));
  }

  select() {
    for (const tab of this.tabs.children) {
      const mine = tab.dataset.part === this.part;
      tab.setAttribute("aria-selected", String(mine));
      tab.tabIndex = mine ? 0 : -1;
    }
  }

  /** @param {string} part @param {boolean} [again] */
  show(part, again = false) {
    const same = this.part === part;
    this.part = part;
    this.select();
    clearTimeout(this.timer);
    const round = ++this.round;
    this.content.setAttribute("aria-label", PARTS[part] || "");
    if (!same) {
      this.content.replaceChildren(note("…"));
      this.content.scrollTop = 0;
    }
    const run = /** @type {any} */ (this)[part];
    Promise.resolve(run.call(this, round, same || again)).catch((error) => {
      if (round === this.round) this.content.replaceChildren(note(why(error), "bad"));
    });
  }

  /** @param {string} what @param {Facts} [more] */
  ask(what, more = {}) {
    return this.view.request("details", { ...this.where(), what, ...more });
  }

  where() {
    const { id, index } = this.picked || { id: "", index: -1 };
    return { task_id: id, map_index: index };
  }

  /** A button that opens a failed notebook: in its kernel, if that is held. @param {HTMLElement} bar */
  opener(bar) {
    const view = this.view;
    const made = press("Open failed notebook", async () => {
      const round = this.round;
      try {
        const found = await view.slow("open", this.where(), made, "Opening…", "Opening… JupyterLab takes a few seconds");
        view.say(found.said);
        if (round !== this.round) return;
        const url = /^http:\/\/(127\.0\.0\.1|localhost):/.test(found.url) && found.url;
        if (url) window.open(url, "_blank", "noopener");
        this.ways?.remove();
        if (found.command) bar.after((this.ways = h("div", { class: "ways" },
          url && h("a", { href: url, target: "_blank", rel: "noopener noreferrer" }, "Open JupyterLab"),
          h("code", { title: found.command }, found.command), copier(() => found.command))));
        else if (view.options.open) view.options.open(found.path);
        else this.show("notebook");
      } catch (error) {
        view.say(why(error), "bad");
      }
    });
    return made;
  }

  /** Look again in a while, as long as this is what is shown. @param {number} round @param {() => any} run */
  again(round, run, wait = 700) {
    if (round !== this.round) return;
    this.timer = setTimeout(() => {
      if (round !== this.round) return;
      Promise.resolve(run()).catch(() => this.again(round, run, 2000));
    }, wait);
  }

  // ── the log ──

  /** @param {number} round @param {boolean} same */
  async log(round, same) {
    const pre = h("pre", { class: "log", tabindex: 0, "aria-label": "Log" });
    /** @type {Facts} */ const style = {};
    let follow = true;
    let size = 0;
    const find = h("input", { type: "search", class: "find", placeholder: "Search", "aria-label": "Search the log" });
    const hits = h("span", { class: "facts", role: "status" });
    const followed = press("Follow", () => toggle(!follow), { "aria-pressed": "true" });
    const earlier = h("button", { class: "link", hidden: true }, "earlier lines…");
    const toggle = (/** @type {boolean} */ on) => {
      follow = on;
      followed.setAttribute("aria-pressed", String(on));
      if (on) pre.scrollTop = pre.scrollHeight;
    };
    pre.addEventListener("scroll", () => {
      const end = pre.scrollHeight - pre.scrollTop - pre.clientHeight < 24;
      if (end !== follow && pre.scrollHeight > pre.clientHeight) toggle(end);
    });
    const look = searcher(pre, find, hits, () => toggle(false));
    const bar = h("div", { class: "bar-row" }, find, hits, room(), earlier, followed, copier(() => pre.textContent || ""));
    let answer = await this.ask("log");
    if (round !== this.round) return;
    let start = answer.start;
    earlier.addEventListener("click", async () => {
      const before = await this.ask("log", { attempt: answer.attempt, offset: Math.max(start - 131072, 0), until: start });
      pre.prepend(h("span", {}, ansi(redrawn(before.text))));
      start = before.start;
      earlier.hidden = !start;
    });
    const add = () => {
      earlier.hidden = !start;
      if (answer.text) {
        pre.append(h("span", {}, ansi(redrawn(answer.text), style)));
        size += answer.text.length;
        while (size > KEPT_LOG && pre.children.length > 1) {
          size -= pre.firstChild.textContent.length;
          pre.firstChild.remove();
        }
        if (follow) pre.scrollTop = pre.scrollHeight;
        look();
      }
      pre.classList.toggle("mkv-empty", !pre.textContent);
      if (answer.more || !answer.over) this.again(round, next, answer.more ? 0 : 500);
    };
    const next = async () => {
      answer = await this.ask("log", { attempt: answer.attempt, offset: answer.next });
      if (round === this.round) add();
    };
    this.content.replaceChildren(bar, pre);
    add();
    return same;
  }

  // ── attempts ──

  /** @param {number} round */
  async attempts(round) {
    const answer = await this.ask("attempts");
    if (round !== this.round) return;
    const rows = answer.attempts.map((/** @type {any} */ one) => h("div", { class: "attempt" },
      h("div", {}, h("b", {}, `Attempt ${one.attempt}`), " ", badge(OUTCOMES[one.outcome] || one.outcome), " ",
        quiet([clock(one.started || one.queued), one.started && one.queued ? `queued ${took(one.started - one.queued)}` : "", one.started ? `ran ${took((one.ended || this.view.now()) - one.started)}` : ""].filter(Boolean).join(", "))),
      one.reason && h("p", { class: "line" }, one.reason), pairs(one.facts)));
    this.content.replaceChildren(...(rows.length ? rows : [note("No attempt yet.")]),
      ...answer.curves.map(curve));
    const facts = this.facts();
    if (facts && facts.state === "running") this.again(round, () => this.attempts(round), 2000);
  }

  // ── values ──

  /** @param {number} round */
  async values(round) {
    const answer = await this.ask("values");
    if (round !== this.round) return;
    /** @type {any[]} */ const made = [];
    const section = (/** @type {string} */ title, /** @type {any} */ body) => made.push(h("h4", {}, title), body);
    if (Object.keys(this.view.run.params || {}).length) section("Parameters of the run", pairs(this.view.run.params));
    if (Object.keys(answer.rendered).length) section("Templates as rendered", pairs(answer.rendered));
    section("XComs", answer.xcoms.length ? h("div", {}, ...answer.xcoms.map((/** @type {any} */ x) => this.xcom(x)))
      : note("It has pushed none."));
    this.content.replaceChildren(...made);
  }

  /** @param {Facts} x */
  xcom(x) {
    const body = h("div", { class: "xcom" });
    const made = h("details", {}, h("summary", {}, h("b", {}, x.key), " ", quiet(`${x.codec}, ${bytes(x.size)}`), h("span", { class: "preview" }, x.preview)), body);
    made.addEventListener("toggle", async () => {
      if (!made.open || body.childNodes.length) return;
      try {
        body.replaceChildren(value(await this.ask("xcom", { key: x.key })));
      } catch (error) {
        body.replaceChildren(note(why(error), "bad"));
      }
    });
    return made;
  }

  // ── notebook and error ──

  /** @param {number} round @param {boolean} same */
  async notebook(round, same) {
    const list = h("div", { class: "cells" });
    const top = h("div", { class: "bar-row" });
    /** @type {any[]} */ const cells = [];
    let cursor = "";
    let asked = false;
    const look = async () => {
      const answer = await this.ask("notebook", { cursor });
      if (round !== this.round) return;
      if (!asked) this.content.replaceChildren(top, list);
      asked = true;
      cursor = answer.cursor;
      this.notebookTop(top, answer);
      const end = this.content.scrollHeight - this.content.scrollTop - this.content.clientHeight < 60;
      for (const cell of answer.cells) {
        const made = notebookCell(cell);
        if (cells[cell.index]) cells[cell.index].replaceWith(made);
        else list.append(made);
        cells[cell.index] = made;
        if (cell.status === "running" && end && answer.live && !same) made.scrollIntoView({ block: "nearest" });
      }
      while (cells.length > answer.count) cells.pop()?.remove();
      const facts = this.facts();
      const goes = answer.live || (facts && (facts.state === "running" || facts.state === "queued"));
      if (answer.more || goes) this.again(round, look, answer.more ? 0 : 600);
    };
    await look();
  }

  /** @param {HTMLElement} top @param {Facts} answer */
  notebookTop(top, answer) {
    const text = answer.there ? `${answer.live ? "running" : answer.status} · ${answer.name}` : `No notebook: ${answer.problem}.`;
    if (top.dataset.of === text) return;
    top.dataset.of = text;
    const open = this.view.options.open;
    top.replaceChildren(h("span", { class: "facts path", title: text }, text), room(),
      !answer.there || answer.live ? "" : answer.status !== "completed" ? this.opener(top) : open ? press("Open", () => open(answer.path)) : "",
      answer.there ? copier(() => answer.path, "Copy path") : "");
  }

  /** @param {number} round */
  async error(round) {
    const answer = await this.ask("error");
    if (round !== this.round) return;
    if (!answer.text) return void this.content.replaceChildren(note("No error."));
    const bar = h("div", { class: "bar-row" }, h("b", {}, answer.cell ? `Cell ${answer.cell.index + 1} failed` : answer.reason),
      room());
    bar.append(answer.path ? this.opener(bar) : "", copier(() => answer.text));
    const parts = answer.cell ? [notebookCell(answer.cell)] : [h("pre", { class: "log error", tabindex: 0 }, ansi(answer.text))];
    if (answer.cell) parts.push(h("details", {}, h("summary", {}, "The whole message"), h("pre", { class: "log" }, ansi(answer.text))));
    this.content.replaceChildren(bar, ...parts);
  }

  // ── instances of a mapped task ──

  /** @param {number} round @param {boolean} same */
  async instances(round, same) {
    if (!same || !this.page) this.page = { offset: 0, states: [] };
    const page = this.page;
    const task = this.picked && this.view.tasks.get(this.picked.id);
    if (!task) return;
    const answer = await this.view.request("page", { task_id: task.id, offset: page.offset, states: page.states });
    if (round !== this.round) return;
    const counts = task.counts || {};
    const chips = h("div", { class: "chips", role: "group", "aria-label": "Show only these states" }, ...ORDER.filter((st) => counts[st]).map((st) =>
      h("button", { class: `chip s-${st}`, "data-chip": st, "aria-pressed": String(page.states.includes(st)), onclick: () => {
        this.page = { offset: 0, states: page.states.includes(st) ? page.states.filter((/** @type {string} */ one) => one !== st) : [...page.states, st] };
        this.show("instances", true);
      } }, icon(st, 12), `${word(st)} ${many(counts[st])}`)));
    const go = (/** @type {number} */ by, /** @type {string} */ label) => {
      const offset = page.offset + by;
      const off = offset < 0 || offset >= answer.total;
      return press(label, () => {
        this.page = { ...page, offset };
        this.show("instances", true);
        this.content.scrollTop = 0;
      }, { "data-chip": label, disabled: off });
    };
    const now = this.view.now();
    const rows = answer.rows.map((/** @type {any} */ one) => h("div", { class: "instance" },
      h("button", { class: "link", "data-chip": `i${one.map_index}`, onclick: () => this.view.pick(task.id, one.map_index) }, one.map_index < 0 ? task.label : `[${one.map_index}]`),
      badge(one.state), quiet(one.started ? took((one.ended || now) - one.started) : ""),
      h("span", { class: "preview", title: one.reason }, one.progress ? one.progress.text : one.reason)));
    const shown = answer.rows.length ? `${many(page.offset + 1)}–${many(page.offset + answer.rows.length)} of ${many(answer.total)} that were started` : "none that were started";
    const had = focused("chip");
    const strip = s("svg", { class: "strip", viewBox: "0 0 600 14", preserveAspectRatio: "none", "aria-hidden": "true" });
    bars(strip, runs(task.strip || ""), 0, 0, 600, 14);
    this.content.replaceChildren(strip, chips, h("div", { class: "bar-row" }, quiet(shown), room(), go(-100, "Back"), go(100, "Next")), ...rows);
    if (had) this.content.querySelector(`[data-chip="${had}"]`)?.focus({ preventScroll: true });
  }
}

/** @type {{[name: string]: string}} */
const OUTCOMES = { succeeded: "success", lost: "removed" };

/** @param {number} n */
function bytes(n) {
  return n < 1024 ? `${n} B` : n < 1048576 ? `${(n / 1024).toFixed(1)} kB` : `${(n / 1048576).toFixed(1)} MB`;
}

/** Names and values. @param {{[name: string]: string}} facts */
function pairs(facts) {
  const made = h("dl", { class: "pairs" });
  for (const name in facts) made.append(h("dt", {}, name), h("dd", {}, facts[name]));
  return made;
}

/** @param {() => string} text @param {string} [label] */
function copier(text, label = "Copy") {
  const made = press(label, async () => {
    try {
      await navigator.clipboard.writeText(text());
      made.textContent = "Copied";
    } catch {
      made.textContent = "Not allowed here";
    }
    setTimeout(() => (made.textContent = label), 1500);
  });
  return made;
}

/** Search in an element: what is found is lit, Enter goes on. Gives a function to look again.
 * @param {HTMLElement} pre @param {HTMLInputElement} input @param {HTMLElement} hits @param {() => void} found */
function searcher(pre, input, hits, found) {
  let at = -1;
  /** @type {Range[]} */ let ranges = [];
  const lights = /** @type {any} */ (CSS).highlights;
  const look = () => {
    const wanted = input.value.toLowerCase();
    ranges = [];
    const walk = document.createTreeWalker(pre, NodeFilter.SHOW_TEXT);
    while (wanted && ranges.length < 5000 && walk.nextNode()) {
      const text = (walk.currentNode.textContent || "").toLowerCase();
      for (let i = text.indexOf(wanted); i >= 0; i = text.indexOf(wanted, i + wanted.length)) {
        const range = document.createRange();
        range.setStart(walk.currentNode, i);
        range.setEnd(walk.currentNode, i + wanted.length);
        ranges.push(range);
      }
    }
    if (lights) lights.set("mkv-found", new /** @type {any} */ (window).Highlight(...ranges));
    write(hits, wanted ? `${ranges.length ? `${at < 0 ? 1 : at + 1} of ` : ""}${ranges.length}` : "");
  };
  const go = (/** @type {number} */ to) => {
    if (!ranges.length) return;
    at = (to + ranges.length) % ranges.length;
    found();
    const box = ranges[at].getBoundingClientRect();
    pre.scrollTop += box.top - pre.getBoundingClientRect().top - pre.clientHeight / 2;
    if (lights) lights.set("mkv-here", new /** @type {any} */ (window).Highlight(ranges[at]));
    write(hits, `${at + 1} of ${ranges.length}`);
  };
  input.addEventListener("input", () => {
    at = -1;
    look();
    go(0);
  });
  input.addEventListener("keydown", (event) => {
    if (event.key === "Enter") go(at + (event.shiftKey ? -1 : 1));
  });
  return () => input.value && look();
}

/** A metric over its reports. @param {{name: string, x: number[], y: number[]}} given */
function curve(given) {
  const { x, y } = given;
  const [low, high] = [Math.min(...y), Math.max(...y)];
  const wide = x[x.length - 1] - x[0] || 1;
  const d = x.map((at, i) => `${i ? "L" : "M"}${(((at - x[0]) / wide) * 300).toFixed(1)},${(64 - ((y[i] - low) / (high - low || 1)) * 58).toFixed(1)}`).join("");
  const number = (/** @type {number} */ n) => String(Number(n.toPrecision(4)));
  return h("figure", { class: "curve" },
    h("figcaption", {}, h("b", {}, given.name), ` ${number(y[y.length - 1])} `, quiet(`from ${number(low)} to ${number(high)}, ${many(y.length)} reports`)),
    s("svg", { viewBox: "-2 0 304 70", preserveAspectRatio: "none", role: "img", "aria-label": `${given.name}: last ${number(y[y.length - 1])}` }, s("path", { d, class: "curve-line" })));
}

/** An XCom. @param {Facts} x */
function value(x) {
  switch (x.kind) {
    case "table": return table(x);
    case "image": return h("figure", {}, picture(x.mime, x.data, "XCom"), h("figcaption", { class: "facts" }, `${x.width} × ${x.height}`));
    case "array": return h("div", {}, h("p", { class: "facts" }, `${x.type}, shape (${x.shape.join(", ")}), ${x.dtype}`),
      x.line_of ? curve({ name: "values", x: x.line_of.map((/** @type {any} */ _, /** @type {number} */ i) => i), y: x.line_of }) : "", h("pre", { class: "log" }, x.values.join("  ")));
    case "json": return tree(x.value);
    case "text": return h("pre", { class: "log" }, x.text, x.cut ? " …" : "");
    default: return h("p", { class: "line" }, x.line, x.why ? ` (${x.why})` : "");
  }
}

/** @param {Facts} x */
function table(x) {
  const head = h("tr", {}, x.index ? h("th") : "", ...x.columns.map((/** @type {string} */ c, /** @type {number} */ i) => h("th", { scope: "col", title: x.types[i] }, c)));
  const rows = x.rows.map((/** @type {string[]} */ row, /** @type {number} */ i) => h("tr", {}, x.index ? h("th", { scope: "row" }, x.index[i]) : "", ...row.map((cell) => h("td", {}, cell))));
  return h("div", { class: "frame-table" }, h("table", {}, h("thead", {}, head), h("tbody", {}, ...rows)),
    h("p", { class: "facts" }, `${many(x.shape[0])} rows × ${many(x.shape[1])} columns`));
}

/** @param {any} of @param {string} [name] @returns {any} */
function tree(of, name = "") {
  const label = name === "" ? "" : h("b", {}, `${name}: `);
  if (of === null || typeof of !== "object") return h("div", { class: "leaf" }, label, h("code", {}, JSON.stringify(of)));
  const names = Object.keys(of);
  const made = h("details", { class: "tree", open: name === "" || names.length < 6 }, h("summary", {}, label, quiet(Array.isArray(of) ? `[${names.length}]` : `{${names.length}}`)));
  made.append(...names.map((one) => tree(of[one], one)));
  return made;
}

/** Pictures are data, and only ever drawn by an <img>: scripts in an SVG do not run there.
 * @param {string} mime @param {string} data @param {string} alt */
function picture(mime, data, alt) {
  const svg = mime === "image/svg+xml";
  return h("img", { class: "picture", alt, src: svg ? `data:${mime};charset=utf-8,${encodeURIComponent(data)}` : `data:${mime};base64,${data.replace(/\s/g, "")}` });
}

/** @param {Facts} cell */
function notebookCell(cell) {
  const looks = { completed: "success", "not run": "none", timeout: "failed", killed: "failed", interrupted: "failed", restored: "skipped", kept: "skipped" };
  const state = /** @type {any} */ (looks)[cell.status] || cell.status || "none";
  const side = h("div", { class: "cell-side" }, cell.type === "code" ? icon(state, 13) : "", quiet(cell.count ? `[${cell.count}]` : ""));
  const time = cell.seconds ? took(cell.seconds * 1000) : "";
  const says = cell.type !== "code" ? "" : [cell.status === "completed" ? "" : cell.status, time, cell.injected ? "injected parameters" : ""].filter(Boolean).join(" · ");
  return h("div", { class: `cell cell-${cell.type} s-${state}`, role: "group", "aria-label": `Cell ${cell.index + 1}${cell.status ? `, ${cell.status}` : ""}` }, side,
    h("div", { class: "cell-main" }, h("pre", { class: "source" }, cell.source), says && h("div", { class: "facts cell-says" }, says), ...cell.outputs.map(output)));
}

/** @param {Facts} out */
function output(out) {
  switch (out.kind) {
    case "html": return sandbox(out.html, out.text);
    case "image": return picture(out.mime, out.data, out.text);
    case "note": return note(out.text);
    default: return h("pre", { class: `out${out.kind === "error" ? " error" : out.name === "stderr" ? " stderr" : ""}` }, ansi(redrawn(out.text)));
  }
}

/** HTML of a notebook in a frame without an origin: its scripts run there and reach nothing.
 * @param {string} html @param {string} text */
function sandbox(html, text) {
  const frame = h("iframe", { class: "html", sandbox: "allow-scripts", loading: "lazy", referrerpolicy: "no-referrer", title: text || "output" });
  const policy = "default-src 'none'; img-src data: blob:; font-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline' 'unsafe-eval'";
  const size = "new ResizeObserver(()=>parent.postMessage({mkvHeight:document.documentElement.offsetHeight},'*')).observe(document.documentElement)";
  const look = "body{margin:4px;font:13px system-ui,sans-serif;color:#222;background:#fff}table{border-collapse:collapse;font-size:12px}td,th{padding:3px 8px;border-bottom:1px solid #ddd;text-align:right}";
  frame.srcdoc = `<!doctype html><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="${policy}"><style>${look}</style><script>${size}<\/script>${html}`;
  return frame;
}
