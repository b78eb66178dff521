// What merchants may say of each property and variable, to its limits, and that no text gets past them.

import fc from "fast-check";
import { describe, expect, it, test } from "vitest";

import { ALLOWED, readLook } from "../../src/rules/appearance";

function isTaken(property: string, value: string): boolean {
  const look = readLook({ rules: { ".Input": { [property]: value } } });
  expect(look.refused.length + (look.rules.get(".input")?.size ?? 0)).toBe(1);
  return look.refused.length === 0;
}

function isVariableTaken(name: string, value: string): boolean {
  return readLook({ variables: { [name]: value } }).refused.length === 0;
}

const VALUES: Record<string, { taken: string[]; refused: string[] }> = {
  color: {
    taken: ["red", "#abc", "#aabbcc", "rgb(1, 2, 3)", "rgb(1 2 3)", "hsl(120deg 50% 50%)", "hwb(120 10% 10%)", "Canvas"],
    refused: ["", "#ab", "#abcd", "#aabbccdd", "rgba(1,2,3,1)", "hsla(1,2%,3%,1)", "rgb(1 2 3 / 50%)", "rgb(1,2,3,0)", "hsl(1,2%,3%,0)",
      "transparent", "TRANSPARENT", "currentColor", "inherit", "unset", "color-mix(in srgb, red, transparent)", "light-dark(red, blue)"],
  },
  "border-color": { taken: ["red", "#abcd", "rgba(0,0,0,0.2)"], refused: ["transparent", "red blue", "url(x)"] },
  border: {
    taken: ["none", "1px solid red", "0 solid", "2px dashed rgb(1, 2, 3)", "10px dotted #abc"],
    refused: ["11px solid red", "thick solid red", "1em solid red", "1px groove red", "1px solid red; color: red", "-1px solid red"],
  },
  "border-width": { taken: ["0", "1px", "1px 2px 3px 10px"], refused: ["11px", "1em", "1px 1px 1px 1px 1px", "thin", "-1px", "1e3px"] },
  "border-style": { taken: ["solid", "none"], refused: ["inset", "solid dashed", "hidden"] },
  "border-radius": { taken: ["0", "8px", "100px"], refused: ["50%", "101px", "8px / 9px"] },
  "font-family": { taken: ["Arial", "'Open Sans', sans-serif", '"Noto Sans", Arial', "Шрифт"], refused: ["", "a;b", "url(x)", "a{b", "a\\62"] },
  "font-size": { taken: ["12px", "16px", "14.5px", "32px"], refused: ["0", "11px", "11.99px", "33px", "1em", "100%", "small", "16", "16px !important", "-16px"] },
  "font-style": { taken: ["normal", "italic"], refused: ["oblique 90deg"] },
  "font-weight": { taken: ["100", "700", "bold"], refused: ["1", "1000", "lighter"] },
  "letter-spacing": { taken: ["normal", "0", "4px"], refused: ["5px", "-1px", "1em"] },
  "line-height": { taken: ["normal", "1", "1.45", "2"], refused: ["0", "0.5", "3", "10px", "-1"] },
  padding: { taken: ["0", "8px", "8px 40px", "1px 2px 3px 4px"], refused: ["41px", "999px", "-1px", "10%", "calc(1px + 99px)", "1px 2px 3px 4px 5px"] },
  "text-decoration": { taken: ["none", "underline"], refused: ["line-through", "underline 100px"] },
  transition: {
    taken: ["none", "all 0.2s ease", "background-color 150ms ease-in-out", "color 1s", "color .5s 0s linear"],
    refused: ["color 1.1s", "color 2000ms", "all 9999s", "color 1e9s", "all 0.2s cubic-bezier(0,0,1,1)", "", "1"],
  },
  "text-transform": { taken: ["none", "uppercase", "capitalize"], refused: ["full-size-kana", "lowercase x"] },
};

describe("the value of", () => {
  test.each(Object.entries(VALUES).flatMap(([property, { taken }]) => taken.map((value) => [property, value])))("%s may be %j", (property, value) => {
    expect(isTaken(property!, value!)).toBe(true);
  });

  test.each(Object.entries(VALUES).flatMap(([property, { refused }]) => refused.map((value) => [property, value])))("%s may not be %j", (property, value) => {
    expect(isTaken(property!, value!)).toBe(false);
  });

  test.each(ALLOWED.properties)("%s may not load, compute, escape, end its declaration or comment", (property) => {
    const bad = ["url(x)", "URL (x)", "u\\72l(x)", "image-set(x)", "-webkit-image-set(x)", "cross-fade(x)", "element(#x)", "attr(x)", "env(x)",
      "var(--x)", "expression(x)", "@import x", "red;", "red}", "{red", "red/**/", "/* red", "red !important", "<!--", "-->", "x".repeat(201), "a\0b", "a\nb{"];
    for (const value of bad) expect(isTaken(property, value), value).toBe(false);
  });

  test.each(ALLOWED.variables)("the variable %s may not either", (name) => {
    for (const value of ["url(x)", "var(--x)", "red;", "/**/", "\\72", "transparent", "0 0", "", "1e9px", "expression(1)", "-1px", "calc(1px)"]) {
      const isWord = name === "fontFamily" && /^[a-z0-9 -]+$/.test(value); // a font may be called so
      expect(isVariableTaken(name, value), value).toBe(isWord);
    }
  });
});

describe("a look", () => {
  it("takes property names in both spellings, and blanks around values are nothing", () => {
    const { rules, refused } = readLook({ rules: { ".Input": { fontSize: " 16px ", "background-color": "red" } } });
    expect(refused).toEqual([]);
    expect([...rules.get(".input")!]).toEqual([["font-size", "16px"], ["background-color", "red"]]);
  });

  it("keeps what is allowed beside what is not, and names each refusal", () => {
    const { rules, variables, refused } = readLook({
      variables: { colorText: "#000", colorSecret: "red", spacing: "999px" },
      rules: { ".Input": { color: "red", opacity: "0", fontSize: "1px" }, "body": { color: "red" } },
    });
    expect([...variables]).toEqual([["--text", "#000"]]);
    expect([...rules].map(([selector, kept]) => [selector, [...kept]])).toEqual([[".input", [["color", "red"]]]]);
    expect(refused).toEqual([
      "variable colorSecret: there is no such variable",
      "variable spacing: this value is not allowed",
      "rule .Input: the property opacity is not allowed",
      "rule .Input: this font-size is not allowed",
      "rule body: there is no such class",
    ]);
  });

  it("of nothing is the usual one", () => {
    expect(readLook({})).toEqual({ theme: "auto", variables: new Map(), rules: new Map(), refused: [] });
  });

  test.each(["__proto__", "constructor", "toString", "hasOwnProperty", ""])("knows no name %j", (name) => {
    const table = Object.fromEntries([[name, "red"]]);
    expect(readLook({ variables: table }).refused).toHaveLength(1);
    expect(readLook({ rules: { ".Input": table } }).refused).toHaveLength(1);
    expect(readLook({ rules: Object.fromEntries([[name, { color: "red" }]]) }).refused).toHaveLength(1);
  });

  it("lets nothing through that could do more than a value, whatever is tried, and repeats none of it", () => {
    const part = fc.constantFrom("url(", "var(", ")", "red", "1px", "solid", "#fff", "rgb(", "0", ",", "/", "*", ";", "}", "\\", "@", "!important", " ", "inset", "'", '"');
    const value = fc.oneof(fc.array(part, { maxLength: 12 }).map((parts) => parts.join("")), fc.string({ unit: "binary", maxLength: 60 }));
    fc.assert(
      fc.property(fc.constantFrom(...ALLOWED.properties), value, (property, text) => {
        const { rules, refused } = readLook({ rules: { ".Form": { [property]: `~${text}` } } });
        for (const refusal of refused) expect(refusal).not.toContain("~");
        const kept = [...(rules.get(".form")?.values() ?? []), ...(readLook({ rules: { ".Form": { [property]: text } } }).rules.get(".form")?.values() ?? [])];
        for (const one of kept) expect(one).not.toMatch(/url|var\(|[;{}\\@!<>]|\/\*/i);
      }),
    );
  });
});
