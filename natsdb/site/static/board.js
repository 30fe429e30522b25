// The leaderboard's table: sortable, 50 rows at a time.

import { byId, digits, el, fixed } from "./dom.js";

const STEP = 50;
const COLUMNS = [
  { key: "rank", title: "Rank", number: true, cell: (row) => String(row.rank) },
  { key: "arch", title: "Architecture", number: false },
  { key: "accuracy", title: "Accuracy (%)", number: true, down: true, cell: (row) => fixed(row.accuracy, 2) },
  { key: "flops", title: "FLOPs (M)", number: true, cell: (row) => fixed(row.flops, 2) },
  { key: "params", title: "Params (M)", number: true, wide: true, cell: (row) => fixed(row.params, 3) },
  { key: "runs", title: "Runs", number: true, wide: true, down: true, cell: (row) => String(row.runs) },
];

/** The columns, with one for the scatter's axis where it has none yet. */
function columns() {
  const { column } = about.axis;
  if (!column) return COLUMNS;
  const chosen = { key: "cost", title: column, number: true, cell: (row) => digits(row.cost) };
  return [...COLUMNS.slice(0, 3), chosen, ...COLUMNS.slice(3)];
}

let sorted = { key: "rank", down: false };
let rows = [];
let about = null;
let visible = STEP;

/** Shows rows of one space; `about.string` gives an architecture's official string. */
export function showBoard(selected, of) {
  rows = selected;
  about = of;
  visible = STEP;
  if (!columns().some(({ key }) => key === sorted.key)) sorted = { key: "rank", down: false };
  draw();
}

function draw() {
  const { key, down } = sorted;
  rows = [...rows].sort((a, b) => (down ? b[key] - a[key] : a[key] - b[key]) || a.rank - b.rank || a.arch - b.arch);
  const table = byId("board");
  const focused = document.activeElement?.dataset?.key;
  table.tHead.replaceChildren(el("tr", {}, ...columns().map(head), el("th", { scope: "col", class: "wide" }, "String")));
  if (focused) table.tHead.querySelector(`[data-key="${focused}"]`)?.focus();
  table.tBodies[0].replaceChildren(...rows.slice(0, visible).map(line));
  byId("more").hidden = rows.length <= visible;
}

function classes(column) {
  return [column.number ? "number" : "", column.wide ? "wide" : ""].join(" ").trim() || null;
}

function head(column) {
  const button = el("button", { type: "button", "data-key": column.key }, column.title);
  button.addEventListener("click", () => {
    const again = sorted.key === column.key;
    sorted = { key: column.key, down: again ? !sorted.down : Boolean(column.down) };
    draw();
  });
  const sort = sorted.key === column.key ? (sorted.down ? "descending" : "ascending") : null;
  return el("th", { scope: "col", class: classes(column), "aria-sort": sort }, button);
}

function line(row) {
  const cells = columns().map((column) =>
    column.cell
      ? el("td", { class: classes(column) }, column.cell(row))
      : el("td", {}, el("a", { href: `#/${about.space}/${row.arch}` }, `${about.space}/${row.arch}`)),
  );
  return el("tr", {}, ...cells, el("td", { class: "string wide" }, about.string(row.arch)));
}

byId("more").addEventListener("click", () => {
  visible += STEP;
  draw();
  // The button moves away, or goes: focus stays with the first row that came.
  byId("board").tBodies[0].rows[visible - STEP]?.querySelector("a")?.focus();
});
