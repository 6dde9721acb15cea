// The views. Each has start() once, show(rest of the address) and hide(); what they draw is made of elements, never of markup.
import { $, state, el, tell, ask, toast, attempt, askFor, ago, count, bytes, late, inEditor } from "/assets/base.js";
import { coloured } from "/assets/code.js";
import { squarified, inside, meaningful } from "/assets/treemap.js";

const named = (name) => `/repositories/${encodeURIComponent(name)}`;
const byName = (a, b) => a.name.localeCompare(b.name);

// -- repositories -----------------------------------------------------------------------------------------------------

const STATES = { ready: "good", known: "quiet", partial: "warn", cloning: "warn", missing: "warn", too_large: "warn", failed: "bad" };
const MENDS = {
  missing: "The folder is gone or cannot be read. The index is kept and answers; bring the folder back, or forget it.",
  partial: "Only a part of it is indexed, and answers. Sync goes on where the first sync stopped.",
  too_large: "It is over the limits and waits to be asked for: Sync does it once, RECOLLECT_MAX_REPOSITORY_FILES lifts the limit.",
  failed: "Nothing of it is indexed yet. Sync tries again (a clone begins anew); recollect doctor looks for the cause.",
};
const drawn = new Map(); // name → { node, text }
const open = new Set(); // rows whose reasons are shown

function row(one) {
  const last = one.last_sync, errors = last?.errors ?? [];
  const busy = one.activity !== "idle", troubled = errors.length > 0 || MENDS[one.state];
  const node = el("li.row", { "data-name": one.name });
  const button = (text, doing, extra = {}) => el("button.plain", { type: "button", onclick: doing, "aria-label": `${text} ${one.name}`, ...extra }, text);
  node.append(
    el("div.who", {}, el("span.name", {}, one.name), el("span.path", {}, one.path)),
    el("div", {}, el(`span.badge.${STATES[one.state] ?? "quiet"}`, {}, one.state), " ",
      el("span.small.quiet", {}, `${one.language ?? "no code"}, ${count(one.files)} files`)),
    el("div.doing", {}, busy ? doing(one) : fresh(one)),
    el("div.small.quiet", { title: last ? `${last.status}, ${last.duration_s.toFixed(2)} s` : "" }, `synced ${ago(last ? last.started_at + last.duration_s : null)}`),
    el("div.actions", {},
      troubled && button(open.has(one.name) ? "Hide" : "Why", () => { open.has(one.name) ? open.delete(one.name) : open.add(one.name); draw(one.name); }, { "aria-expanded": String(open.has(one.name)) }),
      busy ? button("Cancel", () => attempt(() => ask("POST", `${named(one.name)}/cancel`), `${one.name}: cancelled`))
        : isClone(one) && one.state === "failed" ? button("Clone again", () => attempt(() => ask("POST", "/clones", { url: one.url })))
        : button("Sync", () => attempt(() => ask("POST", `${named(one.name)}/sync`, { background: true }))),
      button("Configure", () => configure(one)),
      button("Forget", () => forget(one), { class: "plain danger" })),
  );
  if (troubled && open.has(one.name)) node.append(reasons(one, errors));
  return node;
}

function reasons(one, errors) {
  return el("div.why", {},
    one.clone_status.error && el("p", {}, el("strong", {}, "clone: "), one.clone_status.error),
    MENDS[one.state] && el("p", {}, MENDS[one.state]),
    errors.map((error) => el("div", {}, el("strong", {}, error.kind), ` ${error.path} ${error.message}`)),
    errors.length > 0 && el("p.quiet", {}, "What became of each file: ", el("code", {}, `recollect status ${one.name} --files`)),
    one.attempts > 0 && el("p.quiet", {}, `${one.attempts} attempts failed; the next one ${one.next_sync_at ? `at ${new Date(one.next_sync_at * 1000).toLocaleTimeString()}` : "when asked for"}.`));
}

function doing(one) {
  const p = one.progress, known = p.total_known;
  const eta = p.eta_s === null ? "" : `, ${Math.round(p.eta_s)} s left`;
  const text = `${one.activity}${known ? ` ${p.percentage.toFixed(0)} %, ${count(p.files_done)} of ${count(p.files_total)} files${eta}` : p.files_done ? `, ${count(p.files_done)} files` : ""}`;
  return [el("progress", { max: 100, value: known ? p.percentage : null, "aria-label": `progress of ${one.name}` }), el("div.small.quiet", {}, text)];
}

const seconds = (s) => s < 120 ? `${s} s` : s < 7200 ? `${Math.round(s / 60)} min` : `${Math.round(s / 3600)} h`;

function fresh(one) {
  const f = one.freshness;
  const how = one.tracked ? `${one.watching ? "watched, " : ""}checked every ${seconds(one.sync_interval)}` : one.excluded_by ? `left alone, excluded by ${one.excluded_by}` : "left alone";
  if (!f.fresh && !one.tracked && one.state === "ready") return [el("span.quiet", {}, `○ ${how}`), el("span.small.quiet", {}, ": checked when it is asked about")];
  return f.fresh ? [el("span.good", {}, "● up to date"), el("span.small.quiet", {}, `, ${how}`)] : [el("span.warn", {}, "○ "), el("span.small", {}, f.reason)];
}

async function configure(one) {
  const answer = await askFor(`Configure ${one.name}`, [{ name: "sync_interval", label: "Seconds between checks (empty: as all others)", value: one.own_sync_interval ?? "", hint: "300" },
    { name: "enabled", label: "Keep it in step with its files (yes or no)", value: one.tracked ? "yes" : "no", required: true }], "Save");
  if (!answer) return;
  const given = { enabled: !/^n/i.test(answer.enabled) };
  given.sync_interval = Number(answer.sync_interval) || 0;
  await attempt(() => ask("PATCH", named(one.name), given), `${one.name} is configured`);
}

async function forget(one) {
  const sure = await askFor(`Forget ${one.name}? Its index is deleted; ${isClone(one) ? "so is the clone" : "its files are not touched"}.`, [], "Forget", true);
  if (sure) await attempt(() => ask("DELETE", named(one.name)), `${one.name} is forgotten`);
}

async function addOne() {
  const answer = await askFor("Add a repository", [{ name: "what", label: "Path of a folder, or URL to clone", hint: "~/src/api or https://github.com/pallets/click", required: true }], "Add");
  if (!answer) return;
  const what = answer.what.trim();
  if (/^[a-z+]+:\/\/|^git@/.test(what)) await attempt(() => ask("POST", "/clones", { url: what }), `${what} is being cloned`);
  else {
    const added = await attempt(() => ask("POST", "/repositories", { path: what }));
    if (added) await attempt(() => ask("POST", `${named(added.name)}/sync`, { background: true }), `${added.name} is added`);
  }
}

const isClone = (one) => one.clone_status.status !== "not_started";
const wanted = (one) => {
  const words = $("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  const text = `${one.name} ${one.path} ${one.language} ${one.state} ${one.activity} ${one.freshness.fresh ? "fresh" : "stale"}`.toLowerCase();
  return words.every((word) => text.includes(word));
};

function draw(name) {
  const one = state.rows.get(name), known = drawn.get(name);
  if (!one || !wanted(one)) { known?.remove(); drawn.delete(name); return; }
  if (known?.contains(document.activeElement)) { // the button that has the focus keeps it
    const label = document.activeElement.getAttribute("aria-label"), node = row(one);
    known.replaceWith(node); drawn.set(name, node);
    [...node.querySelectorAll("button")].find((other) => other.getAttribute("aria-label") === label)?.focus();
    return;
  }
  const node = row(one);
  if (known) known.replaceWith(node);
  else {
    const after = [...drawn.keys()].filter((other) => other.localeCompare(name) > 0).sort((a, b) => a.localeCompare(b))[0];
    $("rows").insertBefore(node, after ? drawn.get(after) : null);
  }
  drawn.set(name, node);
}

export const repositories = {
  start() {
    $("filter").addEventListener("input", late(80, () => repositories.changed(null)));
    $("pause").addEventListener("click", () => attempt(() => ask("POST", `/auto-sync/${state.background?.paused ? "resume" : "pause"}`)));
    $("sync-all").addEventListener("click", () => attempt(() => ask("POST", "/sync", { background: true }), "all tracked repositories are being synced"));
    $("scan").addEventListener("click", () => attempt(() => ask("POST", "/auto-sync/scan")).then((found) => found && toast(found.message || `${found.found} repositories found`)));
    $("add").addEventListener("click", addOne);
    setInterval(() => { for (const name of drawn.keys()) if (!document.hidden && !drawn.get(name).contains(document.activeElement)) times(name); }, 20000);
  },
  changed(names) {
    if (names === null) {
      for (const node of drawn.values()) node.remove();
      drawn.clear();
      const box = document.createDocumentFragment();
      for (const one of [...state.rows.values()].sort(byName)) if (wanted(one)) { const node = row(one); drawn.set(one.name, node); box.append(node); }
      $("rows").append(box);
    } else for (const name of names) draw(name);
    $("empty").hidden = state.rows.size > 0;
    $("rows").hidden = state.rows.size === 0;
    repositories.background();
    fillChoices();
  },
  progress(one) {
    const cell = drawn.get(one.name)?.querySelector(".doing");
    if (!cell) return;
    const bar = cell.querySelector("progress"), [made, text] = doing(one);
    if (!bar) { cell.replaceChildren(made, text); return; }
    if (made.hasAttribute("value")) bar.value = made.value; // the bar stays, for it is announced
    cell.querySelector("div").textContent = text.textContent;
  },
  background() {
    const all = [...state.rows.values()], b = state.background;
    const freshOnes = all.filter((one) => one.freshness.fresh).length, files = all.reduce((sum, one) => sum + one.files, 0);
    const doing = b ? `; auto-sync is ${b.paused ? "paused" : b.running ? "on" : "off"}${b.held_back ? ` (${b.held_back})` : ""}, ${b.active_syncs} syncs run, ${b.queued_repos} wait` : "";
    tell("summary", `${count(all.length)} repositories, ${count(files)} files, ${freshOnes} up to date${doing}`);
    if (b) { tell("pause", b.paused ? "Resume" : "Pause"); $("pause").setAttribute("aria-pressed", String(b.paused)); }
  },
};

function times(name) {
  const one = state.rows.get(name), cell = drawn.get(name)?.children[3];
  if (one?.last_sync && cell) cell.textContent = `synced ${ago(one.last_sync.started_at + one.last_sync.duration_s)}`;
}

function fillChoices() {
  const names = [...state.rows.values()].filter((one) => one.state === "ready" || one.files).map((one) => one.name).sort((a, b) => a.localeCompare(b));
  for (const [id, first] of [["where", [["*", "all repositories"]]], ["map-of", []]]) {
    const select = $(id), options = [...first, ...names.map((name) => [name, name])];
    const same = options.length === select.options.length && options.every(([value], i) => select.options[i].value === value);
    const chosen = select.dataset.wanted ?? select.value;
    if (!same) select.replaceChildren(...options.map(([value, text]) => el("option", { value }, text)));
    if (options.some(([value]) => value === chosen)) { select.value = chosen; delete select.dataset.wanted; }
  }
  if (!$("view-map").hidden && $("map-of").value !== mapped.name) map.show([]);
}

// -- search -----------------------------------------------------------------------------------------------------------

const COMMON = new Set("the is are was a an of in on to for from by with and or not how what where when which who why does do did be it this that".split(" "));
let searching = null;

async function find() {
  const query = $("query").value.trim();
  searching?.abort();
  if (!query) { $("hits").replaceChildren(); tell("search-said", ""); return; }
  searching = new AbortController();
  const given = { query, repository: $("where").value, content: $("content").value, mode: $("mode").value, limit: 15,
    language: $("language").value.trim(), path_glob: $("glob").value.trim(), explain: $("mode").value === "hybrid" };
  try {
    const answer = await ask("GET", "/search", given, searching.signal);
    tell("search-said", `${answer.hits.length} hits in ${answer.took_ms.toFixed(1)} ms${answer.freshness.fresh ? ", up to date" : ` – not all up to date: ${answer.freshness.reason}`}${answer.vectors ? ` (vectors: ${answer.vectors})` : ""}`);
    const words = (query.toLowerCase().match(/[\p{L}\p{N}_]{2,}/gu) ?? []).filter((word) => !COMMON.has(word));
    $("hits").replaceChildren(...answer.hits.map((hit) => hitNode(hit, words)));
  } catch (error) {
    if (error.name === "AbortError") return;
    tell("search-said", error.hint ? `${error.message} (${error.hint})` : error.message);
    $("hits").replaceChildren();
  }
}

function hitNode(hit, words) {
  const lines = `${hit.start_line}–${hit.end_line}`;
  const box = el("li.hit", {},
    el("header", {},
      el("span.place", {}, inEditor(hit.absolute_path, hit.start_line, `${hit.path}:${lines}`)),
      hit.symbol && el("span", {}, `${hit.symbol} `, el("span.quiet.small", {}, hit.kind)),
      el("span.quiet.small", {}, hit.repository, hit.also_in.length ? `, the same in ${hit.also_in.join(", ")}` : ""),
      el("span.quiet.small", {}, `score ${hit.score.toFixed(2)}`)),
    coloured(hit.snippet, hit.snippet_line, hit.language, words));
  if (hit.more.length) box.append(el("p.small.quiet", {}, `also lines ${hit.more.map(([a, b]) => `${a}–${b}`).join(", ")}`));
  if (hit.explain) {
    const rows = Object.entries(hit.explain).sort((a, b) => Math.abs(b[1]) - Math.abs(a[1]));
    const most = Math.max(...rows.map(([, value]) => Math.abs(value)), 0.001);
    const grid = el("div.addends", {}, rows.flatMap(([name, value]) => {
      const bar = el(value < 0 ? "div.bar.minus" : "div.bar");
      bar.style.width = `${(100 * Math.abs(value)) / most}%`;
      return [el("span", {}, name), bar, el("span", {}, value.toFixed(3))];
    }));
    box.append(el("details.small", {}, el("summary", {}, "Why here: every addend of its score"), grid));
  }
  return box;
}

export const search = {
  start() {
    const soon = late(140, find);
    $("search-form").addEventListener("submit", (event) => { event.preventDefault(); find(); });
    for (const id of ["query", "language", "glob"]) $(id).addEventListener("input", soon);
    for (const id of ["where", "content", "mode"]) $(id).addEventListener("change", find);
    $("query").addEventListener("keydown", (event) => { if (event.key === "ArrowDown") { event.preventDefault(); $("hits").querySelector("a")?.focus(); } });
    $("hits").addEventListener("keydown", (event) => {
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (!step || event.target.tagName !== "A") return;
      event.preventDefault();
      const links = [...$("hits").querySelectorAll(".place a")], next = links[links.indexOf(event.target) + step];
      (next ?? (step < 0 ? $("query") : event.target)).focus();
    });
  },
  show([query, where]) {
    if (query) { $("query").value = query; if (where) { $("where").dataset.wanted = where; fillChoices(); } find(); }
    if (matchMedia("(pointer: fine)").matches) setTimeout(() => $("query").focus(), 0);
  },
};

// -- memories ---------------------------------------------------------------------------------------------------------

let page = 1;

async function recall(more = false) {
  const query = $("recall").value.trim(), tag = $("tag").value.trim();
  page = more ? page + 1 : 1;
  try {
    const found = query ? await ask("GET", "/memories/search", { query, n_results: 30, tags: tag, max_tokens: 30000 })
      : await ask("GET", "/memories", { page, page_size: 30, tags: tag });
    tell("recall-said", query ? `${found.count} memories${found.time_range ? ` from ${found.time_range.after ?? "ever"} to ${found.time_range.before ?? "now"}` : ""}` : `${found.total} memories`);
    const nodes = found.memories.map(memoryNode);
    if (more) $("memory-rows").append(...nodes); else $("memory-rows").replaceChildren(...nodes);
    $("more-memories").hidden = !found.has_more;
    if (!nodes.length && !more) $("memory-rows").replaceChildren(el("li.empty", {}, query || tag ? "Nothing is remembered of that." : "Nothing is remembered yet. Agents keep decisions here with store_memory; so can you."));
  } catch (error) { tell("recall-said", error.message); }
}

function memoryNode(one) {
  const button = (text, doing, extra = {}) => el("button.plain", { type: "button", onclick: doing, "aria-label": `${text}: ${one.content.slice(0, 60)}`, ...extra }, text);
  return el("li", {},
    el("div.small.quiet", {}, `${one.created_at_iso.slice(0, 16).replace("T", " ")} · ${one.memory_type}${one.repository ? ` · ${one.repository}` : ""}`),
    el("p.block", {}, one.content),
    el("div", {}, one.tags.map((tag) => el("span.tag", {}, `#${tag}`)),
      one.refers_to.map((ref) => el("span.small.quiet", {}, `${ref.path}${ref.symbol ? ` (${ref.symbol})` : ""}${ref.changed ? " – changed since" : ""} `))),
    el("div.actions", {}, button("Edit", () => edit(one)), button("Delete", () => remove(one), { class: "plain danger" })));
}

async function edit(one) {
  const answer = await askFor(one ? "Edit a memory" : "Remember", [{ name: "content", label: "What to remember, complete in itself", kind: "text", value: one?.content, required: true },
    { name: "tags", label: "Tags, with commas", value: one?.tags.join(", ") }, { name: "memory_type", label: "Type", value: one?.memory_type ?? "note" },
    ...(one ? [] : [{ name: "repository", label: "Repository it belongs to (may be empty)", value: "" }])], one ? "Save" : "Remember");
  if (!answer) return;
  const given = { content: answer.content, tags: answer.tags.split(",").map((tag) => tag.trim()).filter(Boolean), memory_type: answer.memory_type || "note" };
  if (!one && answer.repository) given.repository = answer.repository;
  const done = await attempt(() => one ? ask("PATCH", `/memories/${encodeURIComponent(one.id)}`, given) : ask("POST", "/memories", given));
  if (done) { toast(done.message ?? "saved"); recall(); }
}

async function remove(one) {
  if (!(await attempt(() => ask("DELETE", `/memories/${encodeURIComponent(one.id)}`)))) return;
  toast("deleted", async () => { await attempt(() => ask("PATCH", `/memories/${encodeURIComponent(one.id)}`, { restore: true }), "it is back"); recall(); });
  recall();
}

export const memories = {
  start() {
    const soon = late(180, () => recall());
    for (const id of ["recall", "tag"]) $(id).addEventListener("input", soon);
    $("recall-form").addEventListener("submit", (event) => { event.preventDefault(); recall(); });
    $("remember").addEventListener("click", () => edit(null));
    $("more-memories").addEventListener("click", () => recall(true));
  },
  show() { recall(); },
};

// -- map --------------------------------------------------------------------------------------------------------------

const mapped = { name: null, files: [], folder: "", file: null };

async function load(name) {
  tell("map-said", `the map of ${name} is being made …`);
  try {
    const found = await ask("GET", "/importance", { repository: name, limit: 10000 });
    Object.assign(mapped, { name, files: found.files, folder: meaningful(found.files, ""), file: null });
    tell("map-said", `${count(found.files_total)} files${found.files.length < found.files_total ? `, the ${count(found.files.length)} most important ones shown` : ""}`);
    tiles();
  } catch (error) {
    tell("map-said", error.hint ? `${error.message}. ${error.hint}` : error.message);
    $("treemap").replaceChildren();
    if (error.retry) setTimeout(() => { if ($("map-of").value === name && !$("view-map").hidden) load(name); }, 1500);
  }
}

async function tiles() {
  const box = $("treemap"), { width, height } = box.getBoundingClientRect();
  let items;
  if (mapped.file) {
    const found = await attempt(() => ask("GET", "/outline", { path: mapped.file.path, repository: mapped.name }));
    if (!found) return;
    let end = 0; // the outermost definitions; what is inside them is in their area
    items = found.definitions.filter((one) => { if (one.start_line <= end) return false; end = one.end_line; return true; })
      .map((one) => ({ name: one.qualified_name, detail: `${one.kind}, lines ${one.start_line}–${one.end_line}`, weight: one.end_line - one.start_line + 1, importance: 1,
        act: () => { location.hash = `search/${encodeURIComponent(one.qualified_name)}/${encodeURIComponent(mapped.name)}`; } }));
    tell("map-said", items.length ? `${items.length} outermost definitions of ${mapped.file.path} by their lines` : `${mapped.file.path} defines nothing by name`);
  } else {
    items = contents(mapped.folder);
  }
  const most = Math.max(...items.map((item) => item.importance), 1);
  box.replaceChildren(...laid(items, { x: 0, y: 0, w: width, h: height }, most, mapped.file ? 0 : 2));
}

/** What lies directly in a folder of the map, as items of tiles. */
function contents(folder) {
  return inside(mapped.files, folder).map((one) => ({ ...one,
      detail: one.folder ? `${count(one.files)} files, ${bytes(one.weight)}` : `${bytes(one.weight)}, ${count(one.file.lines)} lines, complexity ${one.file.complexity}, importance ${one.importance.toFixed(1)}`,
      act: async () => {
        if (one.folder) mapped.folder = meaningful(mapped.files, one.path); else mapped.file = one.file;
        crumbs();
        await tiles();
        $("treemap").querySelector("button")?.focus();
      } }));
}

/** Tiles in a rectangle; large folders show what is in them, `deep` levels more. */
function laid(items, { x: left, y: top, w: width, h: height }, most, deep) {
  return squarified(items, left, top, width, height).filter((tile) => tile.w > 3 && tile.h > 3).flatMap(({ item, x, y, w, h }) => {
    const opened = item.folder && deep > 0 && w > 70 && h > 48;
    const step = mapped.file ? 1 : opened ? 0 : Math.min(5, Math.floor((5.99 * Math.log1p(item.importance)) / Math.log1p(most)));
    const node = el(`button.tile.i${step}${item.folder ? ".folder" : ""}`, { type: "button", onclick: item.act, title: `${item.path ?? item.name}: ${item.detail}`, "aria-label": `${item.folder ? "folder " : ""}${item.path ?? item.name}, ${item.detail}` },
      w > 34 && h > 15 ? `${item.name}${item.folder ? "/" : ""}` : "");
    Object.assign(node.style, { left: `${x}px`, top: `${y}px`, width: `${w}px`, height: `${h}px` });
    if (!opened) return [node];
    return [node, ...laid(contents(item.path), { x: x + 3, y: y + 18, w: w - 6, h: h - 21 }, most, deep - 1)];
  });
}

function crumbs() {
  const parts = (mapped.file?.path ?? mapped.folder).split("/").filter(Boolean);
  const to = (depth) => () => { mapped.file = null; mapped.folder = parts.slice(0, depth).join("/"); tell("map-said", ""); crumbs(); tiles(); };
  $("crumbs").replaceChildren(...[mapped.name ?? "", ...parts].flatMap((part, depth) => [depth ? "/" : "",
    depth === parts.length ? el("strong", {}, part) : el("button", { type: "button", onclick: to(depth) }, part)]));
  if (mapped.file) $("crumbs").append(" ", inEditor(`${state.rows.get(mapped.name)?.path}/${mapped.file.path}`, 1, "open"));
}

export const map = {
  start() {
    $("map-of").addEventListener("change", () => map.show([]));
    addEventListener("resize", late(150, () => { if (!$("view-map").hidden && mapped.name) tiles(); }));
    document.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" && event.key !== "Backspace") return;
      if ($("view-map").hidden || event.target.closest("input, select, dialog")) return;
      if (!mapped.file && !mapped.folder) return;
      event.preventDefault();
      if (mapped.file) mapped.file = null; else mapped.folder = mapped.folder.split("/").slice(0, -1).join("/");
      crumbs(); tiles();
    });
  },
  show([name]) {
    if (name) { $("map-of").dataset.wanted = name; fillChoices(); }
    const chosen = $("map-of").value;
    if (!chosen) { tell("map-said", "no repository is indexed yet"); return; }
    if (chosen !== mapped.name) load(chosen).then(crumbs);
    else tiles();
  },
};

// -- activity ---------------------------------------------------------------------------------------------------------

const svg = (name, attributes, ...children) => {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
};

function spark(values, label) {
  const most = Math.max(...values, 0.001), step = 300 / Math.max(values.length - 1, 1);
  const path = values.map((value, i) => `${i ? "L" : "M"}${(i * step).toFixed(1)} ${(54 - (50 * value) / most).toFixed(1)}`).join("");
  return svg("svg", { class: "spark", viewBox: "0 0 300 60", preserveAspectRatio: "none", role: "img", "aria-label": label }, svg("path", { d: path }));
}

function bars(values, label, failed = () => false) {
  const most = Math.max(...values, 0.001), step = 300 / Math.max(values.length, 1);
  return svg("svg", { class: "spark", viewBox: "0 0 300 60", preserveAspectRatio: "none", role: "img", "aria-label": label },
    ...values.map((value, i) => svg("rect", { x: i * step + 0.5, width: Math.max(step - 1, 0.5), y: 58 - (56 * value) / most, height: (56 * value) / most + 1, class: failed(i) ? "failed" : "" })));
}

const table = (heads, rows) => el("div.scroll", { tabindex: "0", role: "region", "aria-label": heads.join(", ") }, el("table", {},
  el("thead", {}, el("tr", {}, heads.map((head, i) => el(i ? "th.n" : "th", { scope: "col" }, head)))),
  el("tbody", {}, rows.map((cells) => el("tr", {}, cells.map((cell, i) => el(i ? "td.n" : "td", {}, cell)))))));

let every = null;

async function draws() {
  let now;
  try { now = await ask("GET", "/activity", { limit: 200 }); } catch (error) { toast(error.message); return; }
  const asked = now.latencies.filter((one) => !one.tool.startsWith("cli:about"));
  const recent = asked.flatMap((one) => /search/.test(one.tool) ? one.recent_ms : []).slice(-120);
  $("latencies").replaceChildren(recent.length ? spark(recent, "latency of the last searches") : "",
    asked.length ? table(["call", "count", "p50 ms", "p99 ms"], asked.slice(0, 12).map((one) => [one.tool, count(one.count), one.p50_ms.toFixed(1), one.p99_ms.toFixed(1)])) : "nothing was asked yet");
  const s = now.savings;
  $("savings").replaceChildren(el("p.big", {}, count(s.saved_tokens)), s.days.length ? bars(s.days.map((day) => day.saved_tokens), "tokens not read, by day") : "",
    el("p.small.quiet", {}, `${count(s.calls)} answers with ${count(s.returned_tokens)} tokens; the files they came from have ${count(s.whole_tokens)}.`), el("p.small.quiet", {}, s.basis));
  $("processes").replaceChildren(table(["process", "memory", "processor s"], now.processes.map((one) => [`${one.name} ${one.pid}`, bytes(one.rss_bytes), one.cpu_s.toFixed(1)])),
    el("p.small.quiet", {}, `up ${(now.uptime_s / 3600).toFixed(1)} h`));
  const runs = [...now.syncs].reverse();
  $("syncs").replaceChildren(runs.length ? bars(runs.map((run) => run.duration_s), "duration of the last syncs", (i) => runs[i].status === "failed") : "",
    runs.length ? table(["repository", "when", "status", "new", "changed", "deleted", "chunks", "s"], now.syncs.slice(0, 25).map((run) => [run.repository, ago(run.started_at), run.status, count(run.new_files), count(run.modified_files), count(run.deleted_files), count(run.chunks_new), run.duration_s.toFixed(2)])) : "no sync has changed anything yet");
}

export const activity = {
  show() { draws(); every = setInterval(() => { if (!document.hidden) draws(); }, 3000); },
  hide() { clearInterval(every); },
};

// -- settings ---------------------------------------------------------------------------------------------------------

const FIELDS = [["scan_paths", "Folders to find repositories in, with commas"], ["exclude_patterns", "Folders left out, with commas"], ["sync_interval", "Seconds between checks"],
  ["scan_interval", "Seconds between scans"], ["max_concurrent", "Syncs at once"], ["priority_languages", "Languages synced first, with commas"]];

async function configuring() {
  const [now, all] = await Promise.all([ask("GET", "/auto-sync"), ask("GET", "/settings")]);
  const form = $("auto-sync");
  const inputs = FIELDS.map(([name, label]) => {
    const value = now.config[name], input = el("input", { id: `s-${name}`, name, autocomplete: "off", spellcheck: "false" });
    input.value = Array.isArray(value) ? value.join(", ") : value;
    return el("div.setting", {}, el("label", { for: `s-${name}` }, label), input);
  });
  const enabled = el("input", { type: "checkbox", id: "s-enabled" });
  enabled.checked = now.enabled;
  form.replaceChildren(el("h3", {}, "Background work"), el("div.setting", {}, el("label", { for: "s-enabled" }, "Keep tracked repositories in step"), el("span", {}, enabled)), ...inputs,
    ...[...now.problems, ...now.client_settings.map((one) => one.message)].map((said) => el("p.small.warn", {}, said)), el("button.main", { type: "submit" }, "Save"));
  form.onsubmit = async (event) => {
    event.preventDefault();
    const changes = { enabled: enabled.checked };
    for (const [name] of FIELDS) {
      const was = now.config[name], text = $(`s-${name}`).value.trim();
      const is = Array.isArray(was) ? text.split(",").map((one) => one.trim()).filter(Boolean) : Number(text);
      if (JSON.stringify(is) !== JSON.stringify(was)) changes[name] = is;
    }
    if (await attempt(() => ask("PATCH", "/auto-sync", changes), "saved")) configuring();
  };
  $("all-settings").replaceChildren(el("thead", {}, el("tr", {}, ["name", "value", "from", "meaning"].map((head) => el("th", { scope: "col" }, head)))),
    el("tbody", {}, all.settings.map((one) => el("tr", {}, el("td", {}, one.name), el("td", {}, String(Array.isArray(one.value) ? one.value.join(", ") : one.value)), el("td", {}, one.origin), el("td", {}, one.allowed ? `${one.description} (${one.allowed})` : one.description)))));
}

export const settings = {
  start() {
    $("editor").value = localStorage.getItem("editor") ?? "vscode";
    $("editor").addEventListener("change", () => localStorage.setItem("editor", $("editor").value));
  },
  show() { attempt(configuring); },
};
