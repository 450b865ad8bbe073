// The files of the page: beside it on the server, or inside it in standalone.html.

const SCRIPT = "text/javascript";
const standalone = () => document.querySelector("script[data-file]") !== null;

export async function bytesOf(name) {
  if (!standalone()) {
    const answer = await fetch(name.split("/").map(encodeURIComponent).join("/"));
    if (!answer.ok) {
      const why = `${answer.status} ${answer.statusText}`.trim();
      throw new Error(`cannot load ${name} (${why}): serve the whole folder, or embed it again`);
    }
    return answer.arrayBuffer();
  }
  const held = [...document.querySelectorAll("script[data-file]")];
  const text = held.find((element) => element.dataset.file === name)?.textContent;
  if (!text) throw new Error(`standalone.html lacks ${name}: build it again`);
  const packed = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}

export async function textOf(name) {
  return new TextDecoder().decode(await bytesOf(name));
}

// A module, loaded when it is wanted.
export async function moduleOf(name) {
  if (!standalone()) {
    return import(new URL(name, document.baseURI)).catch(() => {
      throw new Error(`cannot load ${name}: run npm install and node build.mjs first`);
    });
  }
  const url = URL.createObjectURL(new Blob([await bytesOf(name)], { type: SCRIPT }));
  return import(url);
}

// A worker, from a module: its text is here where there is no server, and then it is no module.
export async function workerOf(name) {
  if (!standalone()) return new Worker(new URL(name, document.baseURI), { type: "module" });
  return new Worker(URL.createObjectURL(new Blob([await bytesOf(name)], { type: SCRIPT })));
}

// Where an AudioContext finds a module; it takes no blob of a page without a server.
export async function workletOf(name) {
  if (!standalone()) return new URL(name, document.baseURI).href;
  return `data:${SCRIPT},${encodeURIComponent(await textOf(name))}`;
}
