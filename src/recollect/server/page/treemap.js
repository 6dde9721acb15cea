// Squarified treemaps (Bruls, Huizing and van Wijk, 2000): tiles as near to squares as they can be.

/** items [{weight}] and a rectangle → [{item, x, y, w, h}], largest first. */
export function squarified(items, x, y, w, h) {
  const sorted = items.filter((item) => item.weight > 0).sort((a, b) => b.weight - a.weight);
  const total = sorted.reduce((sum, item) => sum + item.weight, 0);
  const tiles = [];
  let row = [], rest = { x, y, w, h }, scale = total ? (w * h) / total : 0;
  const worst = (list, side) => {
    const sum = list.reduce((all, item) => all + item.weight * scale, 0);
    const big = list[0].weight * scale, small = list[list.length - 1].weight * scale;
    return Math.max((side * side * big) / (sum * sum), (sum * sum) / (side * side * small));
  };
  const lay = () => {
    const sum = row.reduce((all, item) => all + item.weight * scale, 0);
    const upright = rest.w >= rest.h, side = upright ? rest.h : rest.w, thick = side ? sum / side : 0;
    let along = upright ? rest.y : rest.x;
    for (const item of row) {
      const length = thick ? (item.weight * scale) / thick : 0;
      tiles.push(upright ? { item, x: rest.x, y: along, w: thick, h: length } : { item, x: along, y: rest.y, w: length, h: thick });
      along += length;
    }
    rest = upright ? { x: rest.x + thick, y: rest.y, w: rest.w - thick, h: rest.h } : { x: rest.x, y: rest.y + thick, w: rest.w, h: rest.h - thick };
    row = [];
  };
  for (const item of sorted) {
    const side = Math.min(rest.w, rest.h);
    if (row.length && worst([...row, item], side) > worst(row, side)) lay();
    row.push(item);
  }
  if (row.length) lay();
  return tiles;
}

/** Files [{path, size_bytes, importance}] below a folder → what lies directly in it: files and folders, with sums. */
export function inside(files, folder) {
  const prefix = folder ? `${folder}/` : "";
  const found = new Map();
  for (const file of files) {
    if (!file.path.startsWith(prefix)) continue;
    const [first, ...more] = file.path.slice(prefix.length).split("/");
    const known = found.get(first) ?? { name: first, path: prefix + first, weight: 0, importance: 0, files: 0, folder: more.length > 0, file: more.length ? null : file };
    known.weight += Math.max(file.size_bytes, 1);
    known.importance = Math.max(known.importance, file.importance);
    known.files += 1;
    found.set(first, known);
  }
  return [...found.values()];
}

/** The folder to begin with: the first one, from here down, that holds more than one folder. */
export function meaningful(files, folder) {
  for (;;) {
    const held = inside(files, folder);
    if (held.length !== 1 || !held[0].folder) return folder;
    folder = held[0].path;
  }
}
