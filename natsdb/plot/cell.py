"""An architecture drawn: a cell as a graph, other architectures as bars; for the terminal, and as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

from natsdb.schema.errors import NatsdbError
from natsdb.schema.space import Space
from natsdb.schema.spaces import arch_str, space_of

# Pixels between the nodes of a cell, and of a picture's margins and type.
_GAP, _MARGIN, _SIZE = 110, 40, 14
_FONT = f'font-family="sans-serif" font-size="{_SIZE}"'
# Columns that the widest bar of a terminal has.
_BAR = 40


@dataclass(frozen=True)
class Drawing:
    """A picture that `natsdb.plot.save` writes, as it writes charts. `svg`: its text."""

    svg: str

    def save(self, path: str, format: str, ppi: int = 72) -> None:
        """Write it as svg, html or png (with vl-convert).

        Raises:
            NatsdbError: vl-convert is not installed.
        """
        if format == "png":
            try:
                import vl_convert
            except ImportError as error:
                raise NatsdbError(
                    "drawing a PNG needs vl-convert", remedy="pip install 'natsdb[plot]', or draw .svg"
                ) from error
            Path(path).write_bytes(vl_convert.svg_to_png(self.svg, ppi=ppi))
        else:
            page = f'<!doctype html><meta charset="utf-8">\n{self.svg}\n' if format == "html" else self.svg
            Path(path).write_text(page, encoding="utf-8")


def cell(space: str, arch: int) -> Drawing:
    """The cell of an architecture as a graph, from its input at the top to its output, or bars of its channels.

    Raises:
        NatsdbError: there is no such space or architecture.
    """
    title = f"{space}/{arch}: {arch_str(space, arch)}"
    of = space_of(space)
    return _graph(of, of.every[arch], title) if of.edges else _bars(of, of.every[arch], title)


def cell_text(space: str, arch: int) -> str:
    """The same in characters: a line for the edges between neighbouring nodes, one for each longer edge, dotted where
    it is `none`.

    Raises:
        NatsdbError: there is no such space or architecture.
    """
    arch_str(space, arch)
    of = space_of(space)
    parts = of.every[arch]
    if not of.edges:
        most = max(of.choices)
        wide = max(map(len, of.positions))
        return "\n".join(
            f"{name:{wide}}  {'█' * max(1, round(_BAR * value / most))} {value}"
            for name, value in zip(of.positions, parts, strict=True)
        )
    operations = dict(zip(of.edges, parts, strict=True))
    nodes = 1 + max(to for to, _ in of.edges)
    wide = max(len(op) for op in of.choices) + 6

    def line(op: str, length: int) -> str:
        return f" {op} ".center(length, "┄" if op == "none" else "─")

    step = wide + 4  # from a node to the next: a digit, the line and its arrow
    first = "0" + "".join(f" {line(operations.get((n + 1, n), 'none'), wide)}▶ {n + 1}" for n in range(nodes - 1))
    longer = [
        " " * (step * start) + "╰─" + line(op, step * (to - start) - 4) + f"▶ {to}"
        for (to, start), op in sorted(operations.items(), key=lambda one: (one[0][1], one[0][0]))
        if to - start > 1
    ]
    return "\n".join([first, *longer])


def _graph(space: Space, ops: Sequence[str], title: str) -> Drawing:
    nodes = 1 + max(to for to, _ in space.edges)
    middle, radius = 300, 16
    down = [_MARGIN + 35 + _GAP * node for node in range(nodes)]
    # Longer edges bend aside, in turn to the right and to the left, the longer the further.
    lines, labels = [], []
    sides = {edge: side for side, edge in enumerate(e for e in sorted(space.edges) if e[0] - e[1] > 1)}
    for (to, start), op in zip(space.edges, ops, strict=True):
        aside = (to - start - 0.6) * 100 * (-1 if sides[to, start] % 2 else 1) if (to, start) in sides else 0.0
        a, b = down[start], down[to] - radius
        dashes = ' stroke-dasharray="3 5" stroke="#999"' if op == "none" else ' stroke="#333"'
        curve = f"C{middle + aside:.0f},{a + 30} {middle + aside:.0f},{b - 30}" if aside else "L"
        path = f"M{middle},{a} {curve} {middle},{b}"
        lines.append(f'<path d="{path}" fill="none" stroke-width="1.6"{dashes} marker-end="url(#to)"/>')
        share = 0.75 if aside else 0  # where a cubic curve is in its middle
        at = (a + b) / 2 + (0 if not aside else (to - start - 2) * 24)
        labels.append(
            f'<text x="{middle + share * aside:.0f}" y="{at + 5:.0f}" text-anchor="middle" stroke="white" '
            f'stroke-width="5" paint-order="stroke" fill="{"#999" if op == "none" else "#111"}">{escape(op)}</text>'
        )
    circles = []
    for node, y in enumerate(down):
        circles.append(f'<circle cx="{middle}" cy="{y}" r="{radius}" fill="#e8eef7" stroke="#333"/>')
        circles.append(f'<text x="{middle}" y="{y + 5}" text-anchor="middle">{node}</text>')
    for role, y in (("input", down[0] - 22), ("output", down[-1] + 32)):
        circles.append(f'<text x="{middle}" y="{y}" text-anchor="middle" fill="#555">{role}</text>')
    return _svg(2 * middle, down[-1] + _MARGIN, title, [*lines, *labels, *circles])


def _bars(space: Space, values: Sequence[int], title: str) -> Drawing:
    most, high, step = max(space.choices), 200, 80
    floor = _MARGIN + 30 + high
    shapes = [f'<line x1="{_MARGIN}" x2="{_MARGIN + step * len(values)}" y1="{floor}" y2="{floor}" stroke="#333"/>']
    for at, (name, value) in enumerate(zip(space.positions, values, strict=True)):
        left, tall = _MARGIN + step * at + 15, high * value / most
        middle = left + step / 2 - 15
        shapes.append(
            f'<rect x="{left}" y="{floor - tall:.1f}" width="{step - 30}" height="{tall:.1f}" fill="#4c78a8"/>'
            f'<text x="{middle:.0f}" y="{floor - tall - 6:.1f}" text-anchor="middle">{value}</text>'
            f'<text x="{middle:.0f}" y="{floor + 20}" text-anchor="middle" fill="#555">{escape(name)}</text>'
        )
    return _svg(max(2 * _MARGIN + step * len(values), 500), floor + _MARGIN, title, shapes)


def _svg(width: int, height: int, title: str, shapes: Sequence[str]) -> Drawing:
    marker = (
        '<defs><marker id="to" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0,0 L8,4 L0,8 z" fill="#333"/></marker></defs>'
    )
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'role="img" {_FONT}><title>{escape(title)}</title><rect width="100%" height="100%" fill="white"/>'
    )
    named = f'<text x="{width // 2}" y="20" text-anchor="middle" font-size="11" fill="#555">{escape(title)}</text>'
    return Drawing("\n".join([head, marker, named, *shapes, "</svg>\n"]))
