// Pictures of an architecture: a cell of tss as a graph, the sizes of sss as bars.

import { el, svg } from "./dom.js";

const X = 190;
const Y = [30, 140, 250, 360];
// Edges in the order of the official string: to, from, how far the arc bends to the right, where its label is.
const EDGES = [
  { to: 1, from: 0, bend: 0, at: [X, 85] },
  { to: 2, from: 0, bend: 130, at: [X + 97, 118] },
  { to: 2, from: 1, bend: 0, at: [X, 195] },
  { to: 3, from: 0, bend: 250, at: [X + 135, 230] },
  { to: 3, from: 1, bend: -160, at: [X - 115, 250] },
  { to: 3, from: 2, bend: 0, at: [X, 305] },
];
const ROLES = ["input", "", "", "output"];

/** The graph of a cell: nodes 0 (input) to 3 (output), an edge an operation. */
export function cell(ops) {
  const said = EDGES.map(({ to, from }, n) => `${from} to ${to}: ${ops[n]}`).join("; ");
  const paths = EDGES.map(({ to, from, bend }, n) => {
    const [a, b] = [Y[from], Y[to]];
    const d = bend ? `M${X},${a} C${X + bend},${a + 40} ${X + bend},${b - 40} ${X},${b}` : `M${X},${a} L${X},${b}`;
    return svg("path", { d, class: ops[n] === "none" ? "edge none" : "edge" });
  });
  const labels = EDGES.map(({ at }, n) =>
    svg("text", { x: at[0], y: at[1] + 4, "text-anchor": "middle", class: ops[n] === "none" ? "halo soft" : "halo" }, ops[n]));
  const nodes = Y.flatMap((y, n) => [
    svg("circle", { cx: X, cy: y, r: 16, class: "node" }),
    svg("text", { x: X, y: y + 5, "text-anchor": "middle" }, String(n)),
    svg("text", { x: X - 26, y: y + 5, "text-anchor": "end", class: "soft halo" }, ROLES[n]),
  ]);
  return el("figure", {},
    svg("svg", { viewBox: "0 0 390 390", role: "img", "aria-label": `Cell. ${said}` }, ...paths, ...labels, ...nodes),
    el("figcaption", {}, "The cell: node 0 is its input, node 3 its output; an edge that is none is dashed."));
}

const LAYERS = ["stem, cell 1", "reduction 1", "cell 2", "reduction 2", "cell 3"];

/** Bars of the five layers' output channels. */
export function sizes(channels) {
  const high = 64;
  const y = (value) => 20 + (1 - value / high) * 200;
  const grid = [0, 16, 32, 48, 64].flatMap((tick) => [
    svg("line", { x1: 50, x2: 385, y1: y(tick), y2: y(tick), class: "grid" }),
    svg("text", { x: 44, y: y(tick) + 4, "text-anchor": "end" }, String(tick)),
  ]);
  const bars = channels.flatMap((value, n) => {
    const middle = 84 + n * 67;
    const words = LAYERS[n].split(/,? (?=cell|\d)/);
    return [
      svg("rect", { x: middle - 20, y: y(value), width: 40, height: y(0) - y(value), class: "bar" }),
      svg("text", { x: middle, y: y(value) - 5, "text-anchor": "middle" }, String(value)),
      ...words.map((word, k) => svg("text", { x: middle, y: 238 + k * 15, "text-anchor": "middle", class: "soft" }, word)),
    ];
  });
  const title = svg("text", { x: 0, y: 0, transform: "translate(12,120) rotate(-90)", "text-anchor": "middle" }, "output channels");
  return el("figure", {},
    svg("svg", { viewBox: "0 0 390 262", role: "img", "aria-label": `Output channels: ${channels.map((value, n) => `${LAYERS[n]} ${value}`).join("; ")}` },
      ...grid, ...bars, title),
    el("figcaption", {}, "Output channels of the five layers."));
}
