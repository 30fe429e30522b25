// The leaderboard and the scatter: one selection, made by the filters or by brushing.

import { showBoard } from "./board.js";
import { costs } from "./axis.js";
import { byId, count, el } from "./dom.js";
import { scatter } from "./scatter.js";
import { archString, index, measured, parts, points } from "./site.js";

const NAMES = ["space", "dataset", "hp", "source", "split"];
const LOADING = [...NAMES, "axis"];
const form = () => byId("filters");
let plot = null;
let shown = null; // the rows of the chosen points and split, best first
let pending = 0;

export async function showExplore() {
  const site = await index();
  if (!site.points.length) {
    byId("count").textContent = "The database holds the catalogue only: no architecture was trained in it.";
    return;
  }
  if (plot) return plot.draw();
  plot = scatter(byId("scatter"), byId("hover"), {
    select: (box) => {
      for (const [name, value] of Object.entries(box)) form().elements[name].value = value;
      update();
    },
    open: (row) => (location.hash = `#/${shown.space}/${row.arch}`),
  });
  form().addEventListener("change", (event) => (LOADING.includes(event.target.name) ? load() : update()));
  form().addEventListener("input", (event) => LOADING.includes(event.target.name) || update());
  byId("clear").addEventListener("click", clear);
  await load();
}

function clear() {
  for (const input of form().querySelectorAll("input")) input.value = "";
  update();
}

/** Offers, select by select, what there is for the choices before it; gives the points' entry and the split. */
function choose(site) {
  let left = site.points;
  for (const name of NAMES) {
    const select = form().elements[name];
    const values = name === "split" ? left[0].splits : [...new Set(left.map((entry) => entry[name]))];
    // Validation accuracy is what searches see; that of training is no result.
    const first = (name === "split" && ["x-valid", "x-test", "ori-test"].find((split) => values.includes(split))) || values[0];
    const value = values.includes(select.value) ? select.value : first;
    select.replaceChildren(...values.map((text) => el("option", { value: text }, text)));
    select.value = value;
    if (name !== "split") left = left.filter((entry) => entry[name] === value);
  }
  return [left[0], form().elements.split.value];
}

/** Offers what an architecture of the chosen points costs; of another one the fields' limits would mean nothing. */
function chooseAxis(groups) {
  const select = form().elements.axis;
  const every = groups.flatMap((group) => group.axes);
  const axis = every.find(({ name }) => name === select.value) ?? every[0];
  const option = ({ name, short }) => el("option", { value: name }, short);
  select.replaceChildren(
    ...groups.flatMap(({ table, axes }) => (table ? [el("optgroup", { label: table }, ...axes.map(option))] : axes.map(option))),
  );
  select.value = axis.name;
  if (shown && shown.axis.name !== axis.name) for (const end of ["low", "high"]) form().elements[`cost-${end}`].value = "";
  byId("cost-legend").textContent = axis.title;
  return axis;
}

async function load() {
  const site = await index();
  const [entry, split] = choose(site);
  const axis = chooseAxis(costs(site, entry));
  const asked = (pending += 1);
  byId("count").textContent = "Loading …";
  const [columns, { list }, values] = await Promise.all([
    points(entry.file), parts(entry.space), axis.file ? measured(axis.file) : null,
  ]);
  if (asked !== pending) return; // another choice came after this one
  const rows = [];
  columns.arch.forEach((arch, n) => {
    const accuracy = columns[split][n];
    if (accuracy === null) return;
    const cost = values ? values.get(arch) : columns[axis.name][n];
    // A rank is among all, whether they have a value on this axis or not.
    rows.push({ arch, accuracy, cost, flops: columns.flops[n], params: columns.params[n], runs: columns.runs[n] });
  });
  rows.sort((a, b) => b.accuracy - a.accuracy || a.arch - b.arch);
  rows.forEach((row, n) => (row.rank = n && rows[n - 1].accuracy === row.accuracy ? rows[n - 1].rank : n + 1));
  const size = site.sizes[entry.space];
  const there = rows.filter((row) => row.cost !== undefined && row.cost !== null);
  shown = { space: entry.space, size, rows: there, split, entry, axis, string: (arch) => archString(entry.space, list(arch)) };
  update();
}

function limits() {
  const number = (name, otherwise) => (form().elements[name].value === "" ? otherwise : Number(form().elements[name].value));
  return {
    cost: [number("cost-low", -Infinity), number("cost-high", Infinity)],
    accuracy: [number("accuracy-low", -Infinity), number("accuracy-high", Infinity)],
  };
}

function update() {
  if (!shown) return;
  const { cost, accuracy } = limits();
  const inside = (row) =>
    row.cost >= cost[0] && row.cost <= cost[1] && row.accuracy >= accuracy[0] && row.accuracy <= accuracy[1];
  const selected = shown.rows.filter(inside);
  const partial = shown.rows.length < shown.size ? ` (the space has ${count(shown.size)})` : "";
  byId("count").textContent = `${count(selected.length)} of ${count(shown.rows.length)} architectures${partial}`;
  const { dataset, hp, source } = shown.entry;
  plot.show(shown.rows, new Set(selected), { cost, accuracy }, shown.axis, `${shown.split} accuracy (percent)`);
  byId("scatter").setAttribute(
    "aria-label",
    `Scatter of ${shown.split} accuracy over ${shown.axis.title}: ${shown.space}, ${dataset}, hp ${hp}, ${source}; ` +
      `${selected.length} of ${shown.rows.length} selected`,
  );
  showBoard(selected, shown);
}

form().addEventListener("submit", (event) => event.preventDefault());
