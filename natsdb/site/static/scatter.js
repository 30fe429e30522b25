// Accuracy over a cost on a canvas: up to 32,768 points, a brush, the Pareto front.

import { digits, fixed, ticks } from "./dom.js";

const EDGE = { left: 62, right: 12, top: 10, bottom: 46 };
const NEAR = 14; // pixels within which a point is under the pointer

/** `does.select(box)` is told what was brushed, by names of the filters' fields; `does.open(row)` which point was clicked. */
export function scatter(canvas, label, does) {
  let rows = [];
  let selected = new Set();
  let box = { cost: [-Infinity, Infinity], accuracy: [-Infinity, Infinity] };
  let title = "";
  let axis = null;
  let scale = null;
  let start = null;

  /** From the lowest to the highest; but where a few lie far from all others, as -1e8 may stand for what could not be
   * computed, those are drawn at the ends of an axis that shows the rest. */
  function domain(key) {
    const values = Float64Array.from(rows, (row) => row[key]).sort();
    const at = (share) => values[Math.round(share * (values.length - 1))];
    let [low, high] = [at(0), at(1)];
    const [few, most] = [at(0.01), at(0.99)];
    const reach = 20 * (most - few);
    if (reach > 0 && few - low > reach) low = few;
    if (reach > 0 && high - most > reach) high = most;
    const pad = (high - low || 1) * 0.04;
    return [low - pad, high + pad];
  }

  function scales() {
    const { width, height } = canvas.getBoundingClientRect();
    const [x0, x1] = domain("cost");
    const [y0, y1] = domain("accuracy");
    const w = width - EDGE.left - EDGE.right;
    const h = height - EDGE.top - EDGE.bottom;
    return {
      width, height, x: [x0, x1], y: [y0, y1],
      toX: (cost) => EDGE.left + Math.min(Math.max((cost - x0) / (x1 - x0), 0), 1) * w,
      toY: (accuracy) => EDGE.top + (1 - (accuracy - y0) / (y1 - y0)) * h,
      fromX: (px) => x0 + ((Math.min(Math.max(px, EDGE.left), EDGE.left + w) - EDGE.left) / w) * (x1 - x0),
      fromY: (py) => y0 + (1 - (Math.min(Math.max(py, EDGE.top), EDGE.top + h) - EDGE.top) / h) * (y1 - y0),
    };
  }

  function draw(brush = null) {
    if (!rows.length || !canvas.clientWidth) return;
    scale = scales();
    const { width, height, toX, toY } = scale;
    const ratio = devicePixelRatio || 1;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    const c = canvas.getContext("2d");
    c.scale(ratio, ratio);
    const style = getComputedStyle(canvas);
    const colour = (name) => style.getPropertyValue(`--${name}`).trim();
    axes(c, colour);
    const size = rows.length > 5000 ? 2 : rows.length > 500 ? 3 : 5;
    const dots = (which, fill, alpha) => {
      c.fillStyle = fill;
      c.globalAlpha = alpha;
      for (const row of rows) {
        if (selected.has(row) === which) c.fillRect(toX(row.cost) - size / 2, toY(row.accuracy) - size / 2, size, size);
      }
      c.globalAlpha = 1;
    };
    dots(false, colour("line"), 0.5);
    dots(true, colour("accent"), rows.length > 500 ? 0.55 : 0.9);
    front(c, colour);
    const kept = brush ?? limits();
    if (kept) {
      c.strokeStyle = colour("ink");
      c.setLineDash([5, 3]);
      c.strokeRect(kept.x, kept.y, kept.w, kept.h);
      c.setLineDash([]);
    }
  }

  function limits() {
    const all = [...box.cost, ...box.accuracy];
    if (!all.some(Number.isFinite)) return null;
    const clamp = (value, [low, high]) => Math.min(Math.max(value, low), high);
    const [x0, x1] = box.cost.map((value) => scale.toX(clamp(value, scale.x)));
    const [y1, y0] = box.accuracy.map((value) => scale.toY(clamp(value, scale.y)));
    return { x: x0, y: y0, w: x1 - x0, h: y1 - y0 };
  }

  function axes(c, colour) {
    const { width, height, x, y, toX, toY } = scale;
    c.font = "13px system-ui, sans-serif";
    c.lineWidth = 1;
    c.strokeStyle = colour("faint");
    c.fillStyle = colour("ink");
    c.textAlign = "center";
    for (const tick of ticks(...x)) {
      line(c, toX(tick), EDGE.top, toX(tick), height - EDGE.bottom);
      c.fillText(String(tick), toX(tick), height - EDGE.bottom + 17);
    }
    c.textAlign = "right";
    for (const tick of ticks(...y)) {
      line(c, EDGE.left, toY(tick), width - EDGE.right, toY(tick));
      c.fillText(String(tick), EDGE.left - 6, toY(tick) + 4);
    }
    c.textAlign = "center";
    c.fillText(axis.title, (EDGE.left + width - EDGE.right) / 2, height - 8, width - EDGE.left - EDGE.right);
    c.save();
    c.translate(15, (EDGE.top + height - EDGE.bottom) / 2);
    c.rotate(-Math.PI / 2);
    c.fillText(title, 0, 0);
    c.restore();
  }

  // Rows are best first: those that no cheaper row precedes are the front.
  function front(c, colour) {
    const steps = [];
    let least = Infinity;
    for (const row of rows) {
      if (row.cost < least) steps.push(row);
      least = Math.min(least, row.cost);
    }
    c.strokeStyle = colour("ink");
    c.fillStyle = colour("ink");
    c.lineWidth = 1.5;
    c.beginPath();
    steps.reverse().forEach((row, n) => {
      if (n) c.lineTo(scale.toX(row.cost), scale.toY(steps[n - 1].accuracy));
      c.lineTo(scale.toX(row.cost), scale.toY(row.accuracy));
    });
    c.stroke();
    for (const row of steps) {
      c.beginPath();
      c.arc(scale.toX(row.cost), scale.toY(row.accuracy), 3, 0, 7);
      c.fill();
    }
    c.lineWidth = 1;
  }

  function line(c, x0, y0, x1, y1) {
    c.beginPath();
    c.moveTo(x0, y0);
    c.lineTo(x1, y1);
    c.stroke();
  }

  function nearest(x, y) {
    let best = null;
    let least = NEAR * NEAR;
    for (const row of rows) {
      const far = (scale.toX(row.cost) - x) ** 2 + (scale.toY(row.accuracy) - y) ** 2;
      if (far < least) [best, least] = [row, far];
    }
    return best;
  }

  const at = (event) => {
    const frame = canvas.getBoundingClientRect();
    return [event.clientX - frame.left, event.clientY - frame.top];
  };
  const rectangle = ([x0, y0], [x1, y1]) => ({ x: Math.min(x0, x1), y: Math.min(y0, y1), w: Math.abs(x1 - x0), h: Math.abs(y1 - y0) });

  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || !scale) return;
    start = at(event);
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!scale) return;
    if (start) return draw(rectangle(start, at(event)));
    const row = nearest(...at(event));
    label.textContent = row ? `${row.arch}: ${fixed(row.accuracy, 2)} percent, ${axis.title} ${digits(row.cost)}, rank ${row.rank}` : "";
  });
  canvas.addEventListener("pointerup", (event) => {
    if (!start) return;
    const { x, y, w, h } = rectangle(start, at(event));
    const end = at(event);
    start = null;
    if (w < 4 && h < 4) {
      const row = nearest(...end);
      return row ? does.open(row) : draw();
    }
    does.select({
      "cost-low": digits(scale.fromX(x)), "cost-high": digits(scale.fromX(x + w)),
      "accuracy-low": fixed(scale.fromY(y + h), 2), "accuracy-high": fixed(scale.fromY(y), 2),
    });
  });
  canvas.addEventListener("pointercancel", () => {
    start = null;
    draw();
  });
  addEventListener("resize", () => draw());
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => draw());

  return {
    draw,
    show: (all, chosen, limitsOfBox, xAxis, yTitle) => {
      [rows, selected, box, axis, title] = [all, chosen, limitsOfBox, xAxis, yTitle];
      draw();
    },
  };
}
