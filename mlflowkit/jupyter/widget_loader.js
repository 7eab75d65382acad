// @ts-check
/**
 * All that each view brings with it. A page never lets go of a module that was loaded, so the rest
 * is loaded once in a page, from the model that all views share: `widget.js` and `run_view.js`.
 */

const LOADED = Symbol.for("mlflowkit.view");

/** @param {any} model @returns {Promise<any>} */
function loaded(model) {
  const page = /** @type {any} */ (globalThis);
  const known = (page[LOADED] = page[LOADED] || new Map());
  const version = model.get("version");
  if (!known.has(version)) {
    const loading = load(model, version);
    known.set(version, loading);
    loading.catch(() => known.delete(version));
  }
  return known.get(version);
}

/** @param {any} model @param {string} version */
async function load(model, version) {
  const shared = await model.widget_manager.get_model(model.get("shared"));
  const texts = [shared.get("module"), shared.get("widget")];
  const [{ mount }, { render }] = await Promise.all(texts.map(module));
  const style = document.createElement("style");
  style.id = `mlflowkit-${version}`;
  style.textContent = shared.get("style");
  document.head.append(style);
  return { mount, render };
}

/** @param {string} text @returns {Promise<any>} */
async function module(text) {
  const url = URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
  try {
    return await import(/* webpackIgnore: true */ /* @vite-ignore */ url);
  } finally {
    URL.revokeObjectURL(url);
  }
}

export default {
  /** @param {{model: any, el: HTMLElement}} given */
  async render(given) {
    const { mount, render } = await loaded(given.model);
    return render(given, mount);
  },
};
