// The page: what is known, live; what is asked goes to /api/v1. No library, no build step, nothing from elsewhere.
import { $, state } from "/assets/base.js";
import { repositories, search, memories, map, activity, settings } from "/assets/views.js";

// -- views ------------------------------------------------------------------------------------------------------------

const views = { repositories, search, memories, map, activity, settings };
let shown = null;

function show() {
  const [name, ...rest] = location.hash.slice(1).split("/");
  const view = views[name] ? name : "repositories";
  for (const other of Object.keys(views)) $(`view-${other}`).hidden = other !== view;
  for (const link of document.querySelectorAll("header nav a")) {
    if (link.dataset.view === view) link.setAttribute("aria-current", "page"); else link.removeAttribute("aria-current");
  }
  document.title = `${$(`h-${view}`).textContent} – Recollect`;
  if (shown && shown !== view) views[shown].hide?.();
  shown = view;
  views[view].show?.(rest.map(decodeURIComponent));
}

document.addEventListener("keydown", (event) => {
  if (event.target.closest("input, textarea, select, dialog") || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "/") { event.preventDefault(); location.hash = "search"; $("query").focus(); }
  const number = "123456".indexOf(event.key);
  if (number >= 0 && event.key) location.hash = Object.keys(views)[number];
});

// -- live -------------------------------------------------------------------------------------------------------------

function connect() {
  const source = new EventSource("/events");
  const said = (text, how) => { $("connection").textContent = text; $("connection").dataset.state = how; };
  source.addEventListener("open", () => said("live", "live"));
  source.addEventListener("repositories", (event) => {
    const told = JSON.parse(event.data);
    if (told.all) state.rows.clear();
    for (const name of told.gone) state.rows.delete(name);
    for (const row of told.changed) state.rows.set(row.name, row);
    repositories.changed(told.all ? null : new Set([...told.gone, ...told.changed.map((row) => row.name)]));
  });
  source.addEventListener("progress", (event) => {
    for (const one of JSON.parse(event.data)) {
      const row = state.rows.get(one.name);
      if (row) { row.progress = one.progress; if (one.activity) row.activity = one.activity; repositories.progress(row); }
    }
  });
  source.addEventListener("background", (event) => { state.background = JSON.parse(event.data); repositories.background(); });
  source.addEventListener("error", () => {
    said("no connection: trying again (is the daemon running? recollect web)", "lost");
    if (source.readyState === EventSource.CLOSED) setTimeout(connect, 2000);
  });
}

for (const view of Object.values(views)) view.start?.();
addEventListener("hashchange", () => { show(); $("main").focus(); });
show();
connect();
