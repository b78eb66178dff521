// The packages whose code is in a built file, as the bundler says: not those that were merely installed.

import { readFileSync } from "node:fs";
import { join } from "node:path";

import { ROOT } from "./files.mjs";

const INSTALLED = /\/node_modules\/((?:@[^/]+\/)?[^/]+)\//;
const RUNTIME = /^\0(rolldown)\//; // a few lines that the bundler adds by itself

const version = (name) => JSON.parse(readFileSync(join(ROOT, "node_modules", name, "package.json"), "utf8")).version;

// Name and version of each package that gave at least one line. A style has no modules.
export function packagesIn({ modules = {} }) {
  const used = Object.entries(modules).filter(([, { renderedLength }]) => renderedLength > 0);
  const names = used.map(([path]) => (INSTALLED.exec(path) ?? RUNTIME.exec(path))?.[1]).filter(Boolean);
  return [...new Set(names)].sort().map((name) => ({ name, version: version(name) }));
}
