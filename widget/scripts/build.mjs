// Builds the widget into the Python package. The same sources give the same bytes; nothing is written when the budget
// is broken.

import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "vite";

import { report } from "./budget.mjs";
import { BUILT, FILES, ROOT } from "./files.mjs";
import { inventoryOf } from "./inventory.mjs";
import { licenses } from "./licenses.mjs";
import { packagesIn } from "./packages.mjs";

async function made({ name, source }) {
  const isScript = name.endsWith(".js");
  const { output } = await build({
    root: ROOT,
    configFile: false,
    logLevel: "warn",
    publicDir: false,
    oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
    build: {
      write: false,
      target: "es2020",
      cssTarget: ["chrome111", "firefox114", "safari16.4"],
      sourcemap: false,
      modulePreload: false,
      reportCompressedSize: false,
      rolldownOptions: {
        input: join(ROOT, source),
        preserveEntrySignatures: isScript ? false : "strict",
        output: { format: isScript ? "iife" : "es", codeSplitting: false },
      },
    },
  });
  const wanted = name.endsWith(".css") ? ({ fileName }) => fileName.endsWith(".css") : ({ type }) => type === "chunk";
  const found = output.filter(wanted);
  if (found.length !== 1) throw new Error(`${source} must give one file, not ${found.length}`);
  return { body: Buffer.from(found[0].code ?? found[0].source), packages: packagesIn(found[0]) };
}

// The inventory goes last: where it is, the files are complete.
function write(bodies, packages, inventory) {
  rmSync(BUILT, { recursive: true, force: true });
  mkdirSync(BUILT, { recursive: true });
  for (const [name, body] of bodies) writeFileSync(join(BUILT, name), body);
  writeFileSync(join(BUILT, "licenses.txt"), licenses());
  writeFileSync(join(BUILT, "packages.json"), `${JSON.stringify(packages, null, 2)}\n`);
  writeFileSync(join(BUILT, "inventory.json"), `${JSON.stringify(inventory, null, 2)}\n`);
}

const bodies = new Map();
const packages = {};
for (const file of FILES) {
  const { body, packages: inside } = await made(file);
  bodies.set(file.name, body);
  packages[file.name] = inside;
}
const inventory = inventoryOf(bodies);
if (report(inventory)) write(bodies, packages, inventory);
