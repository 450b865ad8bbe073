// Elements, and who may use the model. Text from files becomes text nodes only, never markup.

export function el(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(props)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key in element) element[key] = value;
    else element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}

export function labelled(text, control, wide = false) {
  return el("label", { className: wide ? "wide" : "" }, text, control);
}

export function fail(output, error) {
  output.classList.add("error");
  output.textContent = String(error.message ?? error).split("\n")[0];
}

export function say(output, text) {
  output.classList.remove("error");
  output.textContent = text;
}

export function duration(seconds) {
  if (seconds < 1e-3) return `${(1e6 * seconds).toFixed(seconds < 1e-5 ? 1 : 0)} µs`;
  return seconds < 1 ? `${(1e3 * seconds).toPrecision(3)} ms` : `${seconds.toFixed(1)} s`;
}

// The next picture; at once where motion is not wanted.
export function frame() {
  if (matchMedia("(prefers-reduced-motion: reduce)").matches) return Promise.resolve();
  return new Promise(requestAnimationFrame);
}

// One at a time uses the model: whoever comes stops the one before, and waits until it has ended.
let stop = new AbortController();
let ended = Promise.resolve();

export function alone(work) {
  stop.abort();
  const mine = (stop = new AbortController());
  const result = ended.then(() => (mine.signal.aborted ? undefined : work(mine.signal)));
  ended = result.catch(() => {});
  return result;
}

export function halt() {
  stop.abort();
}

// Calls `use` with the files that are dropped on the element, or chosen.
export function dropZone(text, accept, multiple, use) {
  const input = el("input", {
    type: "file",
    accept,
    multiple,
    onchange: () => use([...input.files]),
  });
  const zone = el("div", { className: "drop" }, labelled(text, input));
  zone.addEventListener("dragover", (event) => {
    event.preventDefault();
    zone.classList.add("over");
  });
  zone.addEventListener("dragleave", () => zone.classList.remove("over"));
  zone.addEventListener("drop", (event) => {
    event.preventDefault();
    zone.classList.remove("over");
    use([...event.dataTransfer.files]);
  });
  return zone;
}

// Saves a file as the browser does.
export function offer(name, blob) {
  const url = URL.createObjectURL(blob);
  el("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}
