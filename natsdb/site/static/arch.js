// An architecture's page: its cell or sizes, costs, last accuracies of its runs, and their curves.

import { cell, sizes } from "./cell.js";
import { curveCharts, legend } from "./chart.js";
import { byId, el, fixed } from "./dom.js";
import { ask } from "./engine.js";
import { index, parts, record } from "./site.js";

const BLOCK = 1024; // architectures in a Parquet file
let shown = "";

export async function showArch(space, arch) {
  const name = `${space}/${arch}`;
  if (shown === name) return;
  shown = name;
  const page = byId("arch");
  page.replaceChildren(el("h1", { id: "arch-title" }, name), el("p", { role: "status" }, "Loading …"));
  try {
    await draw(page, space, arch, () => shown === name);
  } catch (error) {
    shown = "";
    throw error;
  }
}

async function draw(page, space, arch, current) {
  const [site, { count, list }] = await Promise.all([index(), parts(space)]);
  const title = el("h1", { id: "arch-title" }, `${space}/${arch}`);
  if (arch >= count) {
    page.replaceChildren(title, el("p", {}, `There is no such architecture: ${space} has 0 to ${count - 1}.`));
    return;
  }
  const found = await record(space, arch);
  if (!current()) return;
  const link = (other, text) => el("a", { href: `#/${space}/${other}` }, text);
  const neighbours = el("p", {}, arch > 0 ? link(arch - 1, `← ${arch - 1}`) : "", arch > 0 && arch < count - 1 ? " · " : "",
    arch < count - 1 ? link(arch + 1, `${arch + 1} →`) : "");
  const same = found.canonical === arch ? null : el("p", {}, "Computes the same function as ", link(found.canonical, `${space}/${found.canonical}`), ".");
  const drawn = space === "tss" ? cell(list(arch)) : sizes(list(arch).map(Number));
  page.replaceChildren(
    title,
    el("div", { class: "top" }, drawn, el("div", {}, neighbours, el("p", { class: "string" }, found.arch_str), same, costTable(found.costs))),
    el("h2", {}, "Accuracy after the last epoch"),
    found.runs.length ? runTable(site, found.runs) : el("p", {}, "The database holds no run of this architecture."),
  );
  if (found.runs.length) page.append(el("h2", {}, "Curves"), curves(site, space, arch, current));
}

/** A table of groups, each { title, lines } with a heading of its own if it has a title; the first column is text. */
function table(caption, heads, groups) {
  const kind = (n) => (n < 1 ? null : "number");
  const body = ({ title, lines }) =>
    el("tbody", {},
      title ? el("tr", {}, el("th", { scope: "rowgroup", colspan: heads.length }, title)) : null,
      ...lines.map((values) => el("tr", { class: values.mean ? "mean" : null }, ...values.map((value, n) => el("td", { class: kind(n) }, value)))));
  return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    el("table", {}, el("caption", {}, caption),
      el("thead", {}, el("tr", {}, ...heads.map((head, n) => el("th", { class: kind(n), scope: "col" }, head)))), ...groups.map(body)));
}

const costTable = (costs) =>
  table("Cost by formula", ["Data set", "FLOPs (millions)", "Parameters (millions)"],
    [{ lines: costs.map(([dataset, flops, params]) => [dataset, fixed(flops, 3), fixed(params, 3)]) }]);

/** A line a run; where a data set and schedule has several, their mean first. */
function runTable(site, runs) {
  const groups = Array.from(Map.groupBy(runs, (run) => run.slice(0, 3).join()).values(), (group) => {
    const [source, hp, dataset] = group[0];
    const lines = group.map((run) => [String(run[3] ?? ""), ...run.slice(4).map((value) => fixed(value, 2))]);
    if (group.length > 1) {
      const means = site.splits.map((_, n) => mean(group.map((run) => run[4 + n])));
      lines.unshift(Object.assign([`mean of ${group.length}`, ...means.map((value) => fixed(value, 2))], { mean: true }));
    }
    return { title: `${site.datasets[dataset]}, hp ${site.hps[hp]}, ${site.sources[source]}`, lines };
  });
  return table("Accuracy (percent) by seed and split", ["Seed", ...site.splits], groups);
}

function mean(values) {
  const known = values.filter((value) => value !== null);
  return known.length ? known.reduce((sum, value) => sum + value, 0) / known.length : null;
}

function curves(site, space, arch, current) {
  if (!site.sql) return el("p", {}, "Curves are read with DuckDB-WASM, which this site was written without.");
  const state = el("p", { role: "status" }, "Loading the curves; DuckDB-WASM (18 MB) comes first, once …");
  const place = el("div", { id: "curves" }, state);
  const question =
    "select source, hp, dataset, seed, split, epoch, accuracy from all_metric " +
    `where space = '${space}' and block = ${Math.floor(arch / BLOCK)} and arch = ${arch} order by source, hp, dataset, seed, split, epoch`;
  ask(question).then(
    ({ rows }) => {
      if (!current()) return;
      if (rows.length) place.replaceChildren(legend(site.splits), curveCharts(rows, site.splits));
      else state.textContent = "The database holds no curves of these runs.";
    },
    (error) => (state.textContent = `The curves cannot be read: ${error.message}`),
  );
  return place;
}
