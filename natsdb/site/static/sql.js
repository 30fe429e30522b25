// The SQL box: examples, an answer as a table, DuckDB's error as it says it.

import { byId, count, el } from "./dom.js";
import { ask } from "./engine.js";
import { index } from "./site.js";

const MOST = 500; // rows shown
let ready = false;
let asked = 0;

export async function showSql() {
  if (ready) return;
  ready = true;
  const site = await index().catch((error) => {
    ready = false;
    throw error;
  });
  if (!site.sql) {
    byId("question").hidden = true;
    byId("state").textContent = "This site was written without DuckDB-WASM: natsdb site without --no-sql adds it.";
    return;
  }
  const example = byId("example");
  example.replaceChildren(...site.examples.map(({ title }, n) => el("option", { value: n }, title)));
  const take = () => (byId("statement").value = site.examples[example.value].sql);
  example.addEventListener("change", take);
  // Who was quicker than the index has written a statement already.
  if (!byId("statement").value) take();
  byId("tables").replaceChildren(
    ...Object.entries(site.tables).flatMap(([name, columns]) => [el("dt", {}, name), el("dd", {}, columns.join(", "))]),
    el("dt", {}, "views and macros"), el("dd", {}, site.views.join(", ")));
}

// From the start: a form without a listener would load the page anew.
byId("question").addEventListener("submit", (event) => {
  event.preventDefault();
  run();
});
byId("statement").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    run();
  }
});

async function run() {
  const mine = (asked += 1);
  byId("error").textContent = "";
  byId("answer").replaceChildren();
  byId("state").textContent = "Asking; the first question loads DuckDB-WASM (18 MB) …";
  const started = performance.now();
  try {
    const { columns, rows } = await ask(byId("statement").value);
    if (mine !== asked) return;
    const seconds = ((performance.now() - started) / 1000).toFixed(2);
    const more = rows.length > MOST ? `; the first ${MOST} are shown` : "";
    byId("state").textContent = `${count(rows.length)} ${rows.length === 1 ? "row" : "rows"} in ${seconds} s${more}`;
    byId("answer").replaceChildren(table(columns, rows.slice(0, MOST)));
  } catch (error) {
    if (mine !== asked) return;
    byId("state").textContent = "";
    byId("error").textContent = error.message;
  }
}

function table(columns, rows) {
  const numeric = columns.map((name) => rows.some((row) => typeof row[name] === "number"));
  const cell = (tag, text, n) => el(tag, { class: numeric[n] ? "number" : null, scope: tag === "th" ? "col" : null }, text);
  return el("table", {},
    el("thead", {}, el("tr", {}, ...columns.map((name, n) => cell("th", name, n)))),
    el("tbody", {}, ...rows.map((row) => el("tr", {}, ...columns.map((name, n) => cell("td", said(row[name]), n))))));
}

/** A value as text: numbers with six significant digits, lists in brackets. */
function said(value) {
  if (value === null || value === undefined) return "";
  if (typeof value === "number") return Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(6)));
  if (typeof value === "object" && Symbol.iterator in value) return `[${Array.from(value, said).join(", ")}]`;
  return String(value);
}
