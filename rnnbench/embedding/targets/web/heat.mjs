// Colours for many values: a row each, a column for each step.

export const LEAST_ROWS = 9; // below it, lines are easier to read

// Viridis, which keeps its order in grey and for colour-blind eyes; style.css has it for the legend.
const COLOURS = [
  [68, 1, 84],
  [59, 82, 139],
  [33, 145, 140],
  [94, 201, 98],
  [253, 231, 37],
];

// Paints lines ([{values}]) from the bottom up, `length` steps wide; what is no number stays clear.
export function paint(canvas, lines, length, [low, high]) {
  const scale = Math.min(globalThis.devicePixelRatio || 1, 2);
  const [width, height] = [canvas.clientWidth, canvas.clientHeight].map((size) =>
    Math.max(1, Math.round(size * scale)),
  );
  canvas.width = width;
  canvas.height = height;
  const brush = canvas.getContext("2d"),
    image = brush.createImageData(width, height);
  for (let y = 0; y < height; y++) {
    const { values } = lines[Math.floor(((height - 1 - y) * lines.length) / height)];
    for (let x = 0; x < width; x++) {
      const value = values[Math.floor((x * length) / width)];
      if (!Number.isFinite(value)) continue;
      const share = high > low ? (value - low) / (high - low) : 0.5;
      image.data.set(colour(share), 4 * (y * width + x));
    }
  }
  brush.putImageData(image, 0, 0);
}

function colour(share) {
  const place = share * (COLOURS.length - 1),
    i = Math.min(Math.floor(place), COLOURS.length - 2);
  const part = (k) => COLOURS[i][k] + (place - i) * (COLOURS[i + 1][k] - COLOURS[i][k]);
  return [part(0), part(1), part(2), 255];
}
