// The inventory of a build: hashes for integrity attributes and content policies, sizes, reasons.

import { createHash } from "node:crypto";
import { gzipSync } from "node:zlib";

import { FILES } from "./files.mjs";

const hash = (algorithm, bytes) => `${algorithm}-${createHash(algorithm).update(bytes).digest("base64")}`;

// The version follows from the bytes alone: the same sources give the same addresses on every machine.
export function inventoryOf(bodies) {
  const version = createHash("sha256");
  const files = FILES.map(({ name, page, reason }) => {
    const bytes = bodies.get(name);
    version.update(bytes);
    return {
      name,
      integrity: hash("sha384", bytes),
      sha256: hash("sha256", bytes),
      bytes: bytes.length,
      gzip: gzipSync(bytes, { level: 9 }).length,
      page,
      reason,
    };
  });
  return { version: version.digest("hex").slice(0, 12), files };
}
