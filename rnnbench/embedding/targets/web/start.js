// Where modules cannot be loaded (opened from a folder, or a server that does not know .mjs), the
// page with everything in it takes over.
const standalone = () => location.replace(`standalone.html${location.hash}`);
if (location.protocol === "file:") standalone();
addEventListener(
  "error",
  (event) => {
    if (event.target instanceof HTMLScriptElement) standalone();
  },
  true,
);
