// A plot in SVG: lines, or a heat map where they are many; a crosshair by pointer and by arrow
// keys, and the values below it.

import { el } from "./dom.mjs";
import { LEAST_ROWS, paint } from "./heat.mjs";

const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 294,
  LEFT = 56,
  RIGHT = 12,
  TOP = 30,
  BOTTOM = 46;

function svg(tag, attributes, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

export class Plot {
  constructor() {
    this.svg = svg("svg", { height: HEIGHT, role: "img", tabindex: 0 });
    this.canvas = el("canvas", { hidden: true });
    this.legend = el("ul", { className: "legend" });
    this.readout = el("output", { className: "facts" });
    const frame = el("div", { className: "frame" }, this.canvas, this.svg);
    this.element = el("div", { className: "plot", hidden: true }, frame, this.legend, this.readout);
    this.at = null;
    this.row = 0;
    new ResizeObserver(() => this.draw()).observe(this.element);
    this.svg.addEventListener("pointermove", (event) => this.point(event));
    this.svg.addEventListener("pointerdown", (event) => this.point(event));
    this.svg.addEventListener("keydown", (event) => this.key(event));
  }

  // lines: [{name, values}], a value may be null; labels: of the steps; unit: of the values;
  // length: of the axis, where more is to come; more: a remark in the legend; x, y: names of the axes.
  show({ title, lines, labels, unit = "", length, more = "", x = "step", y = "" }) {
    this.said = { title, lines, labels, unit, more, names: { x, y: y || unit || "value" } };
    this.many = lines.length >= LEAST_ROWS;
    this.length = length ?? longest(lines);
    if (this.at !== null) this.at = Math.min(this.at, this.length - 1);
    this.row = Math.max(0, Math.min(this.row, lines.length - 1));
    this.element.hidden = false;
    this.draw();
  }

  draw() {
    const width = this.element.clientWidth;
    if (!this.said || width === 0) return;
    const { title, labels, names } = this.said;
    this.width = width;
    this.inner = width - LEFT - RIGHT;
    this.svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    this.svg.setAttribute("aria-label", `${title}. Arrow keys move along it.`);
    this.canvas.hidden = !this.many;
    const body = this.many ? this.heat() : this.lines();
    this.svg.replaceChildren(
      ...body,
      ...this.steps(width).map(({ i, anchor }) =>
        svg(
          "text",
          { x: this.x(i), y: HEIGHT - BOTTOM + 18, "text-anchor": anchor },
          labels?.[i] ?? String(i + 1),
        ),
      ),
      svg("text", { class: "name", x: 0, y: 14 }, names.y),
      svg(
        "text",
        { class: "name", x: LEFT + this.inner / 2, y: HEIGHT - 6, "text-anchor": "middle" },
        names.x,
      ),
    );
    this.read();
  }

  lines() {
    const { lines, more } = this.said;
    const ticks = ticksOf(rangeOf(lines));
    const [low, high] = [ticks[0], ticks.at(-1)];
    this.x = (i) => LEFT + this.inner * (this.length > 1 ? i / (this.length - 1) : 0.5);
    this.y = (v) => TOP + (HEIGHT - TOP - BOTTOM) * (1 - (v - low) / (high - low));
    this.legend.replaceChildren(
      ...lines.map((line, k) => el("li", {}, el("i", { className: `k${k % 8}` }), line.name)),
      more,
    );
    const dots = lines.filter((line) => this.length === 1 || line.values.length === 1);
    return [
      ...ticks.map((tick) =>
        svg("path", { class: "axis", d: `M${LEFT} ${this.y(tick)}h${this.inner}` }),
      ),
      ...ticks.map((tick) => this.side(this.y(tick), shown(tick))),
      ...lines.map((line, k) => svg("path", { class: `k${k % 8}`, d: this.path(line.values) })),
      ...dots.map((line, k) => {
        const place = { cx: this.x(0), cy: this.y(line.values[0] ?? low) };
        return svg("circle", { class: `k${k % 8}`, fill: "currentColor", r: 3, ...place });
      }),
    ];
  }

  heat() {
    const { lines, more } = this.said;
    const range = rangeOf(lines),
      inside = HEIGHT - TOP - BOTTOM;
    this.x = (i) => LEFT + (this.inner * (i + 0.5)) / this.length;
    this.y = (row) => TOP + inside * (1 - (row + 0.5) / lines.length);
    Object.assign(this.canvas.style, {
      left: `${LEFT}px`,
      top: `${TOP}px`,
      width: `${this.inner}px`,
      height: `${inside}px`,
    });
    paint(this.canvas, lines, this.length, range);
    const [low, high] = range.map((value) => (Number.isFinite(value) ? value.toPrecision(3) : ""));
    const scale = el("li", {}, low, el("i", { className: "scale" }), high);
    this.legend.replaceChildren(scale, `${lines.length} values, a row each`, more);
    const rows = [0, Math.floor(lines.length / 2), lines.length - 1];
    return rows.map((row) => this.side(this.y(row), `[${row}]`));
  }

  side(y, text) {
    return svg("text", { x: LEFT - 6, y: y + 4, "text-anchor": "end" }, text);
  }

  // The crosshair, and what it points at in words.
  read() {
    this.cross?.remove();
    const { lines, labels, unit } = this.said;
    if (this.at === null) {
      this.readout.textContent =
        "Point at the plot, or focus it and use the arrow keys, to read values.";
      return;
    }
    const across = this.many ? `M${LEFT} ${this.y(this.row)}h${this.inner}` : "";
    this.cross = svg("path", {
      class: "cross",
      d: `M${this.x(this.at)} ${TOP}V${HEIGHT - BOTTOM}${across}`,
    });
    this.svg.append(this.cross);
    const text = (this.many ? [lines[this.row]] : lines)
      .filter((line) => Number.isFinite(line.values[this.at]))
      .map((line) => `${line.name} ${line.values[this.at].toPrecision(4)} ${unit}`.trim())
      .join(", ");
    this.readout.textContent = `${labels?.[this.at] ?? `step ${this.at + 1}`}: ${text || "nothing"}`;
  }

  // Where a pixel has several values, from the least to the greatest of them.
  path(values) {
    const dense = Math.floor(this.length / Math.max(1, this.inner));
    let pen = "M",
      path = "";
    const go = (i, value) => {
      if (Number.isFinite(value))
        path += `${pen}${this.x(i).toFixed(1)} ${this.y(value).toFixed(1)}`;
      pen = Number.isFinite(value) ? "L" : "M";
    };
    if (dense < 4) values.forEach((value, i) => go(i, value));
    else {
      for (let i = 0; i < values.length; i += dense) {
        const [low, high] = rangeOf([{ values: values.slice(i, i + dense) }]);
        go(i, low);
        go(i, high);
      }
    }
    return path;
  }

  steps(width) {
    const wanted = this.wanted(width);
    const places = Array.from({ length: wanted }, (_, k) =>
      Math.round((k * (this.length - 1)) / Math.max(1, wanted - 1)),
    );
    const last = this.length - 1;
    const middle = last === 0 || (this.many && this.length < 20);
    return [...new Set(places)].map((i) => ({
      i,
      anchor: middle ? "middle" : i === 0 ? "start" : i === last ? "end" : "middle",
    }));
  }

  // How many steps are named below: all, where their names have room.
  wanted(width) {
    const { labels } = this.said;
    const size =
      14 + 7.5 * (labels ?? [`${this.length}`]).reduce((n, l) => Math.max(n, l.length), 1);
    if (this.length <= 24 && this.length * size <= this.inner) return this.length;
    return Math.max(2, Math.min(this.length, Math.floor(width / Math.max(130, size))));
  }

  point(event) {
    const box = this.svg.getBoundingClientRect();
    const share = (event.clientX - box.left - LEFT) / (box.width - LEFT - RIGHT);
    const up = 1 - (event.clientY - box.top - TOP) / (HEIGHT - TOP - BOTTOM);
    const row = Math.floor(up * this.said.lines.length);
    this.move(
      this.many ? Math.floor(share * this.length) : Math.round(share * (this.length - 1)),
      row,
    );
  }

  key(event) {
    const from = this.at ?? this.length - 1;
    const [to, row] = {
      ArrowLeft: [from - 1, this.row],
      ArrowRight: [from + 1, this.row],
      ArrowUp: [from, this.row + 1],
      ArrowDown: [from, this.row - 1],
      Home: [0, this.row],
      End: [this.length - 1, this.row],
    }[event.key] ?? [null];
    if (to === null || (event.key.match(/Up|Down/) && !this.many)) return;
    event.preventDefault();
    this.move(to, row);
  }

  move(to, row) {
    this.at = Math.max(0, Math.min(this.length - 1, to));
    this.row = Math.max(0, Math.min(this.said.lines.length - 1, row));
    this.read();
  }
}

function longest(lines) {
  return lines.reduce((most, { values }) => Math.max(most, values.length), 1);
}

// The least and the greatest of all numbers; infinite where there are none.
function rangeOf(lines) {
  let [low, high] = [Infinity, -Infinity];
  for (const { values } of lines) {
    for (const value of values) {
      if (!Number.isFinite(value)) continue;
      if (value < low) low = value;
      if (value > high) high = value;
    }
  }
  return [low, high];
}

function ticksOf([low, high]) {
  if (!(low < high)) [low, high] = Number.isFinite(low) ? [low - 1, high + 1] : [0, 1];
  const rough = (high - low) / 4,
    power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough);
  const first = Math.floor(low / step),
    last = Math.ceil(high / step);
  return Array.from({ length: last - first + 1 }, (_, k) => (first + k) * step);
}

function shown(value) {
  const size = Math.abs(value);
  if (size !== 0 && (size >= 1e5 || size < 1e-3)) return value.toExponential(0);
  return String(Number(value.toPrecision(6)));
}
