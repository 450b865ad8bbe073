// Tables of text: fields between commas, semicolons or tabs, quoted ones may hold anything.

// {header, rows}: rows of texts. A first line of numbers only is no header: the columns are 1, 2, ...
export function readTable(text) {
  const plain = text.replace(/^\ufeff/, "");
  const mark = [",", ";", "\t"].reduce((best, one) =>
    count(plain, one) > count(plain, best) ? one : best,
  );
  const lines = [...linesOf(plain, mark)].filter((line) => line.some((field) => field !== ""));
  if (lines.length === 0) throw new Error("no rows: give a CSV with a header, and rows below it");
  const bare = lines[0].every((field) => field !== "" && Number.isFinite(Number(field)));
  const header = bare ? lines[0].map((_, i) => String(i + 1)) : lines[0];
  const rows = bare ? lines : lines.slice(1);
  if (rows.length === 0) throw new Error("no rows: give a CSV with a header, and rows below it");
  return { header, rows: rows.map((row) => header.map((_, i) => row[i] ?? "")) };
}

// Rows as objects by the names of the header.
export function readCsv(text) {
  const { header, rows } = readTable(text);
  return rows.map((row) => Object.fromEntries(header.map((name, i) => [name, row[i]])));
}

export function writeCsv(rows) {
  const field = (value) =>
    /[",;\n\r\t]/.test(String(value)) ? `"${String(value).replaceAll('"', '""')}"` : String(value);
  return rows.map((row) => `${row.map(field).join(",")}\n`).join("");
}

// A field as a number; row and name say where, in the error.
export function number(text, name, row) {
  const value = text === "" ? NaN : Number(text);
  if (!Number.isFinite(value))
    throw new Error(`row ${row + 1}, column ${name}: “${text}” is not a number`);
  return value;
}

function count(text, mark) {
  return text.split("\n", 1)[0].split(mark).length;
}

function* linesOf(text, mark) {
  let line = [],
    field = "",
    quoted = false;
  for (let i = 0; i < text.length; i++) {
    const c = text[i];
    if (quoted) {
      if (c !== '"') field += c;
      else if (text[i + 1] === '"') field += text[++i];
      else quoted = false;
    } else if (c === '"' && field.trim() === "") [field, quoted] = ["", true];
    else if (c === mark || c === "\n") {
      line.push(field.trim());
      field = "";
      if (c === "\n") {
        yield line;
        line = [];
      }
    } else field += c;
  }
  if (field !== "" || line.length) yield [...line, field.trim()];
}
