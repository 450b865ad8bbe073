// A line plot in SVG: a crosshair by pointer and by arrow keys, and the values below it.

import { el } from "./dom.mjs";

const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 260,
  LEFT = 52,
  RIGHT = 12,
  TOP = 12,
  BOTTOM = 28;

function svg(tag, attributes, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

export class Plot {
  constructor() {
    this.svg = svg("svg", { height: HEIGHT, role: "img", tabindex: 0 });
    this.legend = el("ul", { className: "legend" });
    this.readout = el("output", { className: "facts" });
    this.element = el(
      "div",
      { className: "plot", hidden: true },
      this.svg,
      this.legend,
      this.readout,
    );
    this.at = null;
    new ResizeObserver(() => this.draw()).observe(this.element);
    this.svg.addEventListener("pointermove", (event) => this.point(event));
    this.svg.addEventListener("pointerdown", (event) => this.point(event));
    this.svg.addEventListener("keydown", (event) => this.key(event));
  }

  // lines: [{name, values}], a value may be null; labels: of the steps; unit: of the values;
  // length: of the axis, where more is to come; more: a remark in the legend.
  show({ title, lines, labels, unit = "", length, more = "" }) {
    this.said = { title, lines, labels, unit, more };
    this.length = length ?? Math.max(1, ...lines.map((line) => line.values.length));
    if (this.at !== null) this.at = Math.min(this.at, this.length - 1);
    this.element.hidden = false;
    this.draw();
  }

  draw() {
    const width = this.element.clientWidth;
    if (!this.said || width === 0) return;
    const { title, lines, labels, unit, more } = this.said;
    const values = lines.flatMap((line) => line.values).filter(Number.isFinite);
    const ticks = ticksOf(values);
    const [low, high] = [ticks[0], ticks.at(-1)];
    this.x = (i) => LEFT + (width - LEFT - RIGHT) * (this.length > 1 ? i / (this.length - 1) : 0.5);
    this.y = (v) => TOP + (HEIGHT - TOP - BOTTOM) * (1 - (v - low) / (high - low));
    this.svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    this.svg.setAttribute("aria-label", `${title}. Arrow keys move along it.`);
    this.svg.replaceChildren(
      ...ticks.map((tick) =>
        svg("path", { class: "axis", d: `M${LEFT} ${this.y(tick)}H${width - RIGHT}` }),
      ),
      ...ticks.map((tick) =>
        svg("text", { x: LEFT - 6, y: this.y(tick) + 4, "text-anchor": "end" }, shown(tick)),
      ),
      ...this.steps(width).map(({ i, anchor }) =>
        svg(
          "text",
          { x: this.x(i), y: HEIGHT - 8, "text-anchor": anchor },
          labels?.[i] ?? String(i + 1),
        ),
      ),
      ...lines.map((line, k) => svg("path", { class: `k${k % 8}`, d: this.path(line.values) })),
      ...lines
        .filter((line) => this.length === 1 || line.values.length === 1)
        .map((line, k) =>
          svg("circle", {
            class: `k${k % 8}`,
            fill: "currentColor",
            r: 3,
            cx: this.x(0),
            cy: this.y(line.values[0] ?? low),
          }),
        ),
    );
    this.legend.replaceChildren(
      ...lines.map((line, k) => el("li", {}, el("i", { className: `k${k % 8}` }), line.name)),
      more,
    );
    if (this.at !== null) {
      this.svg.append(
        svg("path", { class: "cross", d: `M${this.x(this.at)} ${TOP}V${HEIGHT - BOTTOM}` }),
      );
      const parts = lines.filter((line) => Number.isFinite(line.values[this.at]));
      const text = parts
        .map((line) => `${line.name} ${line.values[this.at].toPrecision(4)} ${unit}`.trim())
        .join(", ");
      this.readout.textContent = `${labels?.[this.at] ?? `step ${this.at + 1}`}: ${text || "nothing"}`;
    } else {
      this.readout.textContent =
        "Point at the plot, or focus it and use the arrow keys, to read values.";
    }
  }

  path(values) {
    let pen = "M",
      path = "";
    values.forEach((value, i) => {
      if (Number.isFinite(value))
        path += `${pen}${this.x(i).toFixed(1)} ${this.y(value).toFixed(1)}`;
      pen = Number.isFinite(value) ? "L" : "M";
    });
    return path;
  }

  steps(width) {
    const wanted = Math.max(2, Math.min(this.length, Math.floor(width / 130)));
    const places = Array.from({ length: wanted }, (_, k) =>
      Math.round((k * (this.length - 1)) / Math.max(1, wanted - 1)),
    );
    const last = this.length - 1;
    return [...new Set(places)].map((i) => ({
      i,
      anchor: last === 0 ? "middle" : i === 0 ? "start" : i === last ? "end" : "middle",
    }));
  }

  point(event) {
    const box = this.svg.getBoundingClientRect();
    const share = (event.clientX - box.left - LEFT) / (box.width - LEFT - RIGHT);
    this.move(Math.round(share * (this.length - 1)));
  }

  key(event) {
    const from = this.at ?? this.length - 1;
    const to = { ArrowLeft: from - 1, ArrowRight: from + 1, Home: 0, End: this.length - 1 }[
      event.key
    ];
    if (to === undefined) return;
    event.preventDefault();
    this.move(to);
  }

  move(to) {
    this.at = Math.max(0, Math.min(this.length - 1, to));
    this.draw();
  }
}

function ticksOf(values) {
  let low = values.reduce((a, b) => Math.min(a, b), Infinity);
  let high = values.reduce((a, b) => Math.max(a, b), -Infinity);
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
