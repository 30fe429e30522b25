// Learning curves: a chart for each data set, schedule and source; a line a run and split, told apart by dash.

import { el, svg, ticks } from "./dom.js";

const BOX = { left: 48, right: 352, top: 12, bottom: 196 };

export function legend(splits) {
  return el("ul", { class: "legend" }, ...splits.map((split) =>
    el("li", {}, svg("svg", { viewBox: "0 0 44 10", "aria-hidden": "true" }, svg("path", { d: "M0,5 L44,5", class: `curve ${split}` })), split)));
}

/** Charts of rows with source, hp, dataset, seed, split, epoch and accuracy, sorted by these. */
export function curveCharts(rows, splits) {
  const groups = Map.groupBy(rows, (row) => `${row.dataset}, hp ${row.hp}, ${row.source}`);
  return el("div", { class: "charts" }, ...Array.from(groups, ([title, group]) => chart(title, group, splits)));
}

function chart(title, rows, splits) {
  const epochs = Math.max(...rows.map((row) => row.epoch));
  const low = Math.min(...rows.map((row) => row.accuracy));
  const high = Math.max(...rows.map((row) => row.accuracy));
  const pad = (high - low || 1) * 0.05;
  const x = (epoch) => BOX.left + (epoch / (epochs || 1)) * (BOX.right - BOX.left);
  const y = (value) => BOX.bottom - ((value - low + pad) / (high - low + 2 * pad)) * (BOX.bottom - BOX.top);
  const grid = ticks(low, high).flatMap((tick) => [
    svg("line", { x1: BOX.left, x2: BOX.right, y1: y(tick), y2: y(tick), class: "grid" }),
    svg("text", { x: BOX.left - 6, y: y(tick) + 4, "text-anchor": "end" }, String(tick)),
  ]);
  const below = ticks(0, epochs).filter(Number.isInteger).map((tick) =>
    svg("text", { x: x(tick), y: BOX.bottom + 17, "text-anchor": "middle" }, String(tick)));
  const runs = Map.groupBy(rows, (row) => `${row.split} ${row.seed}`);
  // A split that was measured at one epoch alone is a dot.
  const lines = Array.from(runs.values(), (run) =>
    run.length === 1
      ? svg("circle", { cx: x(run[0].epoch), cy: y(run[0].accuracy), r: 3, class: `curve ${run[0].split}` })
      : svg("path", { d: "M" + run.map((row) => `${x(row.epoch).toFixed(1)},${y(row.accuracy).toFixed(1)}`).join(" L"), class: `curve ${run[0].split}${run.length > 50 ? " long" : ""}` }));
  const seeds = [...new Set(rows.map((row) => row.seed))];
  const last = splits
    .map((split) => [split, rows.findLast((row) => row.split === split)])
    .filter(([, row]) => row)
    .map(([split, row]) => `${split} ${row.accuracy.toFixed(2)}`);
  return el("figure", {},
    el("figcaption", {}, title),
    svg("svg", { viewBox: "0 0 360 240", role: "img", "aria-label": `Accuracy over epochs, seeds ${seeds.join(", ")}; at the end ${last.join(", ")} percent` },
      ...grid, ...below, svg("path", { d: `M${BOX.left},${BOX.top} V${BOX.bottom} H${BOX.right}`, class: "axis" }), ...lines,
      svg("text", { x: (BOX.left + BOX.right) / 2, y: 235, "text-anchor": "middle" }, "epoch"),
      svg("text", { transform: `translate(11,${(BOX.top + BOX.bottom) / 2}) rotate(-90)`, "text-anchor": "middle" }, "accuracy (percent)")));
}
