// What every view needs: elements, the API, toasts, dialogs, how numbers are written.

export const $ = (id) => document.getElementById(id);
export const state = { rows: new Map(), background: null };

// Controls, format characters, separators, halves of characters and letters without a glyph; joiners of emoji and of scripts
// that need them stay. As in escape.py.
const HIDDEN = /(?![\u200c\u200d\ufe0e\ufe0f])[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\uffa0\ufe00-\ufe0f\u{e0100}-\u{e01ef}]|(?<![^\0-\x7f])[\u200c\u200d]|[\u200c\u200d](?![^\0-\x7f])|(?<![^\0-\x7f])[\ufe0e\ufe0f](?!\u20e3)/gu;

/** Text that others wrote, shown so that it is one line (or keeps its own, as a block) and hides nothing. */
export function visible(text, block = false) {
  return String(text).replace(HIDDEN, (sign) => {
    const code = sign.codePointAt(0);
    if (block && (sign === "\n" || sign === "\t")) return sign;
    if (code < 0x20) return String.fromCodePoint(0x2400 + code);
    if (code === 0x7f) return "\u2421";
    const [letter, digits] = code < 0x100 ? ["x", 2] : code < 0x10000 ? ["u", 4] : ["U", 8];
    return `\\${letter}${code.toString(16).padStart(digits, "0")}`;
  });
}

/** Show a text in the element of an id. */
export const tell = (id, text) => { $(id).textContent = visible(text); };

const SHOWN = new Set(["title", "aria-label"]); // other attributes are for programs: exact

/** An element: el("a.place", {href}, "text", child, …). Texts are never markup; those of a `.block` keep their lines. */
export function el(what, attributes = {}, ...children) {
  const [tag, ...classes] = what.split(".");
  const node = document.createElement(tag || "div");
  if (classes.length) node.className = classes.join(" ");
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else node.setAttribute(name, SHOWN.has(name) ? visible(value) : value);
  }
  const block = classes.includes("block");
  const given = children.flat().filter((child) => child !== null && child !== undefined && child !== false);
  node.append(...given.map((child) => (child instanceof Node ? child : visible(child, block))));
  return node;
}

/** Ask the API. Throws what it answers where that is an error. */
export async function ask(verb, path, given = null, signal = undefined) {
  const options = { method: verb, signal, headers: {} };
  let url = `/api/v1${path}`;
  if (given && verb === "GET") {
    const query = new URLSearchParams();
    for (const [name, value] of Object.entries(given)) {
      if (Array.isArray(value)) value.forEach((one) => query.append(name, one));
      else if (value !== null && value !== undefined && value !== "") query.set(name, value);
    }
    url += `?${query}`;
  } else if (verb === "POST" || verb === "PATCH") {
    options.body = JSON.stringify(given ?? {});
    options.headers["content-type"] = "application/json";
  }
  const answer = await fetch(url, options);
  const said = await answer.json().catch(() => ({ error: { message: `HTTP ${answer.status}`, hint: "" } }));
  if (!answer.ok) throw Object.assign(new Error(said.error.message), said.error);
  return said;
}

/** Say something in passing; `undo` offers to take it back. */
export function toast(text, undo = null) {
  const box = el("div.toast", {}, text);
  if (undo) box.append(el("button", { type: "button", onclick: () => { box.remove(); undo(); } }, "Undo"));
  $("toasts").append(box);
  setTimeout(() => box.remove(), undo ? 12000 : 5000);
}

export async function attempt(doing, done = null) {
  try {
    const answer = await doing();
    if (done) toast(done);
    return answer;
  } catch (error) {
    toast(error.hint ? `${error.message}. ${error.hint}` : error.message);
    return null;
  }
}

/** A form in a dialog: fields [{name, label, kind, value, hint}] → values, or null where it is closed. */
export function askFor(title, fields, button, danger = false) {
  const dialog = $("dialog");
  return new Promise((resolve) => {
    const inputs = fields.map((field) => {
      const attributes = { name: field.name, id: `f-${field.name}`, autocomplete: "off", spellcheck: "false", required: field.required };
      const input = field.kind === "text" ? el("textarea", attributes) : el("input", { ...attributes, placeholder: field.hint });
      input.value = field.value ?? "";
      return el("label", { for: `f-${field.name}` }, field.label, input);
    });
    const close = () => dialog.close();
    const form = el("form", { method: "dialog" }, el("h2", { id: "dialog-title" }, title), inputs,
      el("div.tools", {}, el("button", { type: "button", onclick: close }, "Close"),
        el(danger ? "button.danger" : "button.main", { type: "submit", value: "go" }, button)));
    let answer = null;
    form.addEventListener("submit", (event) => { event.preventDefault(); answer = Object.fromEntries(new FormData(form)); close(); });
    dialog.replaceChildren(form);
    dialog.addEventListener("close", () => resolve(answer), { once: true });
    dialog.showModal();
  });
}

export const ago = (at) => {
  if (!at) return "never";
  const s = Math.max(0, Date.now() / 1000 - at);
  for (const [limit, each, unit] of [[90, 1, "s"], [5400, 60, "min"], [172800, 3600, "h"]]) if (s < limit) return `${Math.round(s / each)} ${unit} ago`;
  return `${Math.round(s / 86400)} days ago`;
};
export const count = (n) => Number(n).toLocaleString("en");
export const bytes = (n) => { for (const u of ["B", "kB", "MB"]) { if (n < 1000) return `${u === "B" ? n : n.toFixed(1)} ${u}`; n /= 1000; } return `${n.toFixed(1)} GB`; };
export const late = (ms, doing) => { let timer; return (...given) => { clearTimeout(timer); timer = setTimeout(() => doing(...given), ms); }; };

/** A link that opens a file in the editor of one's choice, or plain text where none is wanted. */
export function inEditor(path, line, text) {
  const editor = localStorage.getItem("editor") ?? "vscode";
  const address = encodeURI(path).replace(/[?#]/g, encodeURIComponent);
  const urls = { idea: `idea://open?file=${encodeURIComponent(path)}&line=${line}`, zed: `zed://file${address}:${line}` };
  if (!editor) return el("span", {}, text);
  return el("a", { href: urls[editor] ?? `${editor}://file${address}:${line}`, title: `open ${path} in the editor` }, text);
}
