// Code as people read it: line numbers, colours by a few rules that fit most languages, and the words that were asked for marked.
import { el, visible } from "/assets/base.js";

const KEYWORDS = new Set(("abstract and as async await break case catch class const continue def default defer delete do elif else end enum except export extends false final finally fn for from func function go if impl implements import in include instanceof interface is lambda let loop match mod module mut namespace new nil none not null or override package pass private protected pub public raise return self static struct super switch template then this throw trait true try type typedef typeof union unless until use using var virtual void when where while with yield None True False").split(" "));
const HASH = new Set("python ruby bash perl r yaml toml make cmake dockerfile elixir julia nix powershell hcl".split(" "));
const DASH = new Set("lua haskell sql".split(" "));

function parts(language) {
  const line = HASH.has(language) ? "#.*" : DASH.has(language) ? "--.*" : "\\/\\/.*|\\/\\*.*?(?:\\*\\/|$)|^\\s*\\*.*";
  return new RegExp(`(?<c>${line})|(?<s>"(?:[^"\\\\]|\\\\.)*"|'(?:[^'\\\\]|\\\\.)*'|\`(?:[^\`\\\\]|\\\\.)*\`)|(?<d>\\b\\d[\\w.]*)|(?<w>[\\p{L}_$][\\p{L}\\p{N}_$]*)`, "gu");
}

/** Text with the words that were asked for in <mark>. */
function marked(text, words) {
  if (!words.length) return [text];
  const found = new RegExp(words.map((word) => (word.length < 4 ? "(?<![\\p{L}])" : "") + word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")).join("|"), "giu");
  const nodes = [];
  let at = 0;
  for (const match of text.matchAll(found)) {
    nodes.push(text.slice(at, match.index), el("mark", {}, match[0]));
    at = match.index + match[0].length;
  }
  return [...nodes, text.slice(at)];
}

export function coloured(snippet, first, language, words) {
  const rule = parts(language), box = el("pre", { tabindex: "0", "aria-label": `code from line ${first}` });
  visible(snippet.replaceAll("\r\n", "\n"), true).split("\n").forEach((line, number) => {
    box.append(el("span.n", { "aria-hidden": "true" }, String(first + number)));
    let at = 0;
    for (const match of line.matchAll(rule)) {
      const { c, s, d, w } = match.groups, kind = c ? "c" : s ? "s" : d ? "d" : w && KEYWORDS.has(w) ? "k" : null;
      if (!kind) continue;
      box.append(...marked(line.slice(at, match.index), words), el(`span.${kind}`, {}, ...marked(match[0], words)));
      at = match.index + match[0].length;
    }
    box.append(...marked(line.slice(at), words), "\n");
  });
  return box;
}
