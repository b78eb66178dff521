// The budget of the widget: prints the sizes of a build and says what is over. `npm run budget` reads the present build.

import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

import { BUILT, LOADERS, LOADER_BYTES, WHOLE_BYTES } from "./files.mjs";

const row = (name, bytes, gzip, limit) =>
  [name.padEnd(18), String(bytes).padStart(9), String(gzip).padStart(9), String(limit).padStart(9)].join("");

// Returns the lines of a table and what breaks the budget. A page loads one of the two loaders: the larger counts.
export function budget(inventory) {
  const over = [];
  const lines = [row("file", "bytes", "gzip", "limit")];
  const loader = Math.max(...inventory.files.filter(({ name }) => LOADERS.includes(name)).map(({ gzip }) => gzip));
  let whole = loader;
  for (const { name, bytes, gzip } of inventory.files) {
    const isLoader = LOADERS.includes(name);
    lines.push(row(name, bytes, gzip, isLoader ? `< ${LOADER_BYTES}` : ""));
    if (!isLoader) whole += gzip;
    else if (gzip >= LOADER_BYTES) over.push(`${name} has ${gzip} bytes of gzip; a loader must have less than ${LOADER_BYTES}`);
  }
  lines.push(row("whole widget", "", whole, WHOLE_BYTES));
  if (whole > WHOLE_BYTES) over.push(`the whole widget has ${whole} bytes of gzip; ${WHOLE_BYTES} are allowed`);
  return { lines, over };
}

export function report(inventory) {
  const { lines, over } = budget(inventory);
  console.log(lines.join("\n"));
  for (const line of over) console.error(`error: ${line}`);
  if (over.length > 0) process.exitCode = 1;
  return over.length === 0;
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  report(JSON.parse(readFileSync(`${BUILT}inventory.json`, "utf8")));
}
