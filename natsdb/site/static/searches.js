// Searches: the table of results, curves over time, mean ranks, and everything that is kept of each search.

import { byId, count, el, fixed, svg, ticks } from "./dom.js";
import { searches } from "./site.js";

const LINES = 24; // kinds of lines: twelve by colour and dash, then the same, bold
const ROLES = { test: "test", valid: "validation", both: "validation and test" };
const BOX = { left: 52, right: 352, top: 12, bottom: 196 };
const form = () => byId("which");
let found = null;

export async function showSearches() {
  if (found) return;
  const all = await searches().catch(() => null);
  if (!all) {
    byId("searches-state").textContent = "The database holds no search: natsdb search makes them.";
    return;
  }
  found = all;
  form().hidden = false;
  form().addEventListener("change", draw);
  draw();
}

/** Offers values in a select, and keeps what is chosen if it is there. */
function choose(name, values, text = (value) => value) {
  const select = form().elements[name];
  const value = values.includes(select.value) ? select.value : values[0];
  select.replaceChildren(...values.map((one) => el("option", { value: one }, text(one))));
  select.value = value;
  return value;
}

function draw() {
  const space = choose("space", Object.keys(found));
  const { table: results, regrets, curves, ranks, searches: every } = found[space];
  const dataset = choose("dataset", unique(every.map((one) => one.dataset)));
  const here = (rows) => rows.filter((row) => row.dataset === dataset);
  const judged = unique([...here(curves), ...here(regrets)].map((row) => row.role));
  const role = choose("role", Object.keys(ROLES).filter((one) => judged.includes(one)), (one) => ROLES[one]);
  const own = (rows) => rows.filter((row) => row.role === role);
  const labels = unique(every.map((one) => one.label)).sort();
  const lines = (rows, x, y) =>
    rows.map((row) => ({ label: row.label, kind: labels.indexOf(row.label) % LINES, points: row[y].map((value, n) => [row[x] ? row[x][n] : n, value]) }));
  const seconds = new Map(own(here(regrets)).map((row) => [row.label, row.seconds]));
  const placed = own(here(ranks)).map((row) => ({ ...row, seconds: seconds.get(row.label) }));
  const timed = own(here(curves)).filter((row) => row.timed);
  const shared = own(here(curves)).filter((row) => !row.timed);
  const shown = unique([...own(here(regrets)), ...shared].map((row) => row.label));
  const time = here(every).some(trains) ? "seconds, simulated or of trainings" : "simulated seconds";
  const where = role ? `${dataset}, judged on ${ROLES[role]}` : dataset;
  byId("searches-shown").replaceChildren(
    el("h2", {}, `Accuracy at full training (percent), all of ${space}`),
    resultTable(results),
    el("h2", {}, `Over time: ${where}`),
    role ? "" : el("p", {}, "What these searches found cannot be judged: the database lacks its accuracies at full training."),
    el("ul", { class: "legend" }, ...shown.map((label) => el("li", {}, sample(labels.indexOf(label) % LINES), label))),
    el("div", { class: "charts" },
      chart("Regret to the best of the space", "regret (points)", time, lines(own(here(regrets)), "seconds", "regret"), { logX: true, logY: true }),
      chart("Mean rank, 1 is best", "mean rank", time, lines(placed, "seconds", "mean_rank"), { logX: true }),
      chart("Accuracy of the best so far", "accuracy (percent)", time, lines(timed, "at", "accuracy"), { late: true }),
      chart("Accuracy over epochs, shared weights", "accuracy (percent)", "epoch of the search", lines(shared, "at", "accuracy"), {})),
    placed.length ? el("h2", {}, `Ranks: ${where}`) : "",
    placed.length ? rankTable(placed, own(ranks).filter((row) => row.dataset === "all")) : "",
    el("h2", {}, `Every search on ${dataset}`),
    ...here(every).map((one) => details(space, one)),
  );
}

/** Whether a search trained what the database lacked: seconds are those of trainings, of rows that were there too. */
const trains = (one) => "trained" in JSON.parse(one.provenance);
const unique = (values) => [...new Set(values)];
const look = (kind) => `curve line-${kind % 12}${kind < 12 ? "" : " bold"}`;
const sample = (kind) => svg("svg", { viewBox: "0 0 44 10", "aria-hidden": "true" }, svg("path", { d: "M0,5 L44,5", class: look(kind) }));

function table(name, heads, rows) {
  const kind = (n) => (n ? "number" : null);
  return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": name },
    el("table", {},
      el("thead", {}, el("tr", {}, ...heads.map((head, n) => el("th", { scope: "col", class: kind(n) }, head)))),
      el("tbody", {}, ...rows.map((row) => el("tr", {}, ...row.map((text, n) => el("td", { class: kind(n) }, text)))))));
}

/** Names of columns are those of the view: cifar100_valid. */
function resultTable({ columns, rows }) {
  const heads = columns.map((name) => (name === "label" ? "search" : name.replace("_", " ")));
  return table("Results", heads, rows.map((row) => row.map((value) => (typeof value === "number" ? count(value) : value ?? ""))));
}

function rankTable(rows, overall) {
  const last = (row) => fixed(row?.mean_rank.at(-1), 2);
  const all = new Map(overall.map((row) => [row.label, row]));
  const heads = ["search", "mean rank", "on all data sets", "regret (points)", "area", "mean rank by area", "runs"];
  const lines = [...rows]
    .sort((a, b) => a.mean_rank.at(-1) - b.mean_rank.at(-1))
    .map((row) => [row.label, last(row), last(all.get(row.label)), fixed(row.regret, 2), fixed(row.area, 2), fixed(row.area_rank, 2), count(row.runs)]);
  return el("div", {},
    table("Ranks", heads, lines),
    el("p", { class: "quiet" }, "Ranked run by run at the budget, equal ones sharing the mean of their ranks; area: mean regret over the logarithm of time."));
}

function details(space, one) {
  const options = Object.entries(JSON.parse(one.options)).map(([name, value]) => `${name} ${value}`).join(", ");
  const timed = one.hp !== null;
  const places = one.found.map(([arch, times]) =>
    el("span", {}, el("a", { href: `#/${space}/${arch}` }, `${space}/${arch}`), ` (${count(times)})  `));
  const lines = [
    ["algorithm", one.algorithm],
    ["options", options || "as published"],
    ["schedule (hp)", one.hp ?? "shared weights"],
    ["budget", one.budget !== null ? `${count(one.budget)} ${trains(one) ? "seconds of training" : "simulated seconds"}` : "none"],
    ["seed", String(one.seed)],
    ["runs", count(one.runs)],
    [timed ? "evaluations" : "epochs", `${fixed(one.steps, 1)} a run`],
    ["seconds", `${count(one.seconds)} ${trains(one) ? "of training" : timed ? "simulated" : "on the device"}, a run`],
    ["found most often", el("span", {}, ...places)],
    ...Object.entries(JSON.parse(one.provenance)).map(([name, value]) => [name, typeof value === "string" ? value : JSON.stringify(value)]),
  ].filter(([, value]) => value !== "");
  return el("details", {},
    el("summary", {}, `${one.label}: ${count(one.runs)} ${one.runs === 1 ? "run" : "runs"} (search ${one.search})`),
    el("dl", {}, ...lines.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)])));
}

/** Values of 1, 2 and 5 times a power of ten from low to high; powers alone where there is no room for so many. */
function decades(low, high) {
  const powers = Array.from({ length: 40 }, (_, n) => 10 ** (n - 20));
  const within = (times) => powers.flatMap((power) => times.map((n) => n * power)).filter((value) => value >= low * 0.999 && value <= high * 1.001);
  const every = within([1, 2, 5]);
  return every.length > 10 ? within([1]) : every;
}

const short = (value) => (value >= 1000 ? `${Number((value / 1000).toPrecision(3))}k` : String(Number(value.toPrecision(3))));

/** A chart of lines; nothing where there are none. `late`: from a tenth of the time on, since the first climb flattens the rest. */
function chart(title, yTitle, xTitle, lines, { logX = false, logY = false, late = false }) {
  if (!lines.length) return "";
  const xs = lines.flatMap(({ points }) => points.map(([x]) => x));
  const [x0, x1] = [late ? Math.max(...xs) / 10 : Math.min(...xs), Math.max(...xs)];
  const kept = lines.map((line) => ({ ...line, points: line.points.filter(([x]) => x >= x0) }));
  const ys = kept.flatMap(({ points }) => points.map(([, y]) => y));
  // A regret of 0 has no logarithm.
  const logarithmic = logY && Math.min(...ys) > 0;
  const scaled = (value, log) => (log ? Math.log(value) : value);
  const place = (value, low, high, log) => (scaled(value, log) - scaled(low, log)) / (scaled(high, log) - scaled(low, log) || 1);
  const pad = logarithmic ? 0 : (Math.max(...ys) - Math.min(...ys) || 1) * 0.05;
  const [y0, y1] = [Math.min(...ys) - pad, Math.max(...ys) + pad];
  const x = (value) => BOX.left + place(value, x0, x1, logX && x0 > 0) * (BOX.right - BOX.left);
  const y = (value) => BOX.bottom - place(value, y0, y1, logarithmic) * (BOX.bottom - BOX.top);
  const left = logarithmic ? decades(y0, y1) : ticks(y0, y1, 6);
  const below = logX && x0 > 0 ? decades(x0, x1) : ticks(x0, x1, 5);
  const ends = kept.map(({ label, points }) => `${label} ${fixed(points.at(-1)?.[1], 2)}`).join(", ");
  return el("figure", {},
    el("figcaption", {}, title),
    svg("svg", { viewBox: "0 0 360 240", role: "img", "aria-label": `${title}; at the end ${ends}` },
      ...left.flatMap((tick) => [
        svg("line", { x1: BOX.left, x2: BOX.right, y1: y(tick), y2: y(tick), class: "grid" }),
        svg("text", { x: BOX.left - 6, y: y(tick) + 4, "text-anchor": "end" }, short(tick)),
      ]),
      ...below.map((tick) => svg("text", { x: x(tick), y: BOX.bottom + 17, "text-anchor": "middle" }, short(tick))),
      svg("path", { d: `M${BOX.left},${BOX.top} V${BOX.bottom} H${BOX.right}`, class: "axis" }),
      ...kept.filter(({ points }) => points.length).map(({ kind, points }) =>
        svg("path", { d: "M" + points.map(([a, b]) => `${x(a).toFixed(1)},${y(b).toFixed(1)}`).join(" L"), class: look(kind) })),
      svg("text", { x: (BOX.left + BOX.right) / 2, y: 235, "text-anchor": "middle" }, xTitle),
      svg("text", { transform: `translate(11,${(BOX.top + BOX.bottom) / 2}) rotate(-90)`, "text-anchor": "middle" }, yTitle)));
}
