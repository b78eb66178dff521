import { expect, test } from "vitest";

import { readLook } from "../../src/rules/appearance";

function isTaken(value: string): boolean {
  return readLook({ rules: { ".Input": { boxShadow: value } } }).refused.length === 0;
}

test.each(["none", "0 1px 2px #0003", "inset 0 0 0 1px rgb(0 0 0 / 30%), 0 2px 12px 0 black", "0 1px 2px rgba(0, 0, 0, 0.2)"])(
  "a shadow near its element is taken: %s",
  (value) => expect(isTaken(value)).toBe(true),
);

test.each(["0 -5px white", "0 -4px 0 1px white", "5px 0 red", "0 0 0 5px red", "0 0 red, 0 0 red, 0 0 red, 0 0 red", "0 0 12px -1px url(x)", "0", "0 0 0 0 0 red", "0 0 red blue", "0 0 0 1.1.1px",
  "0 -60px 0 0 white", "0 0 0 500px #fff", "0 0 13px red", "1em 1em red", "0 0 calc(100px) red", "red", "0 1px 2px url(x)"])(
  "a shadow that reaches other elements is refused: %s",
  (value) => expect(isTaken(value)).toBe(false),
);
