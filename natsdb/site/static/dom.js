// Elements from values: `el("a", { href }, "text", child)`, and numbers as text.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) if (value !== null) node.setAttribute(name, value);
  node.append(...children.filter((child) => child !== null));
  return node;
}

export const el = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);
export const svg = (tag, attributes = {}, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);
export const byId = (id) => document.getElementById(id);

export const count = (number) => number.toLocaleString("en");

/** A number with as many decimals, or nothing. */
export const fixed = (number, decimals) => (number === null || number === undefined ? "" : number.toFixed(decimals));

/** A number with five significant digits. */
export const digits = (number) => String(Number(number.toPrecision(5)));

/** Some four to eight round values from low to high. */
export function ticks(low, high, about = 8) {
  if (!(high > low)) return [low];
  const rough = (high - low) / about;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough);
  const first = Math.ceil(low / step - 1e-9);
  return Array.from({ length: Math.floor(high / step + 1e-9) - first + 1 }, (_, n) => Number(((first + n) * step).toPrecision(12)));
}
