// A sound to play and to save, with the controls of the browser.

import { el } from "./dom.mjs";

// {element, give(blob), play(), hide()}; text: what it is.
export function player(text) {
  const audio = el("audio", { controls: true, ariaLabel: text }),
    link = el("a", { className: "hint" }, "Save as WAV");
  const caption = el("p", { className: "hint" }, text);
  const element = el("div", { hidden: true }, caption, audio, link);
  let url = "";
  function give(blob) {
    URL.revokeObjectURL(url);
    url = URL.createObjectURL(blob);
    audio.src = link.href = url;
    link.download = `${text.toLowerCase().replaceAll(" ", "-")}.wav`;
    element.hidden = false;
  }
  function hide() {
    audio.pause();
    element.hidden = true;
  }
  const play = () => audio.play().catch(() => {}); // a browser may want a click for it
  return { element, give, play, hide };
}
