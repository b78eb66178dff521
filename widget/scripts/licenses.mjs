// The licences of the packages whose code is inside the built files: they ask to be passed on with it.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

import { ROOT } from "./files.mjs";

const read = (folder, name) => readFileSync(join(ROOT, folder, name), "utf8");

export function licenses() {
  const names = Object.keys(JSON.parse(read(".", "package.json")).dependencies).sort();
  return names
    .map((name) => {
      const folder = join("node_modules", name);
      const { version, license } = JSON.parse(read(folder, "package.json"));
      const file = readdirSync(join(ROOT, folder)).find((entry) => /^licen[cs]e/i.test(entry));
      return `${name} ${version} (${license})\n\n${read(folder, file).trim()}\n`;
    })
    .join("\n\n");
}
