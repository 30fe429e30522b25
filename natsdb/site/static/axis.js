// What the scatter's horizontal axis can be: costs by formula or as recorded, and every measure of attached tables.

const OWN = [
  { name: "flops", short: "FLOPs", title: "FLOPs (millions)", column: null },
  { name: "params", short: "Parameters", title: "Parameters (millions)", column: null },
];

/** Groups of axes for an entry of points: `table` (null: natsdb's own) and `axes`: name, title, the board's column, file. */
export function costs(site, entry) {
  const tables = new Map();
  for (const { space, name, meaning, unit, files } of site.measures ?? []) {
    const file = files[entry.dataset];
    if (space !== entry.space || !file) continue;
    const [table, ...rest] = name.split(".");
    const short = rest.join(".");
    const of = unit ? ` (${unit})` : "";
    const axis = { name, short: `${short}${of}`, title: `${meaning || name}${of}`, column: `${short}${of}`, file };
    tables.set(table, [...(tables.get(table) ?? []), axis]);
  }
  return [{ table: null, axes: OWN }, ...[...tables].map(([table, axes]) => ({ table, axes }))];
}
