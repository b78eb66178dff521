// What merchants may not say about the look of the form.

import { describe, expect, it, test } from "vitest";

import { ALLOWED, readLook } from "../../src/rules/appearance";
import { contrast, readColour } from "../../src/rules/contrast";

function refusedRule(property: string, value: string): readonly string[] {
  return readLook({ rules: { ".Input": { [property]: value } } }).refused;
}

describe("a rule", () => {
  test.each([
    "position", "opacity", "visibility", "display", "transform", "z-index", "pointer-events", "content", "clip-path", "filter",
    "background", "background-image", "width", "height", "margin", "top", "inset", "animation", "mask", "cursor", "zoom", "translate",
    "mix-blend-mode", "text-indent", "-webkit-text-security", "--primary", "__proto__", "constructor", "overflow",
  ])("cannot set %s", (property) => expect(refusedRule(property, "0")).toHaveLength(1));

  test.each([
    ["color", "url(https://x.example)"], ["font-family", "x; } body { display: none"], ["color", "red /* x"], ["font-family", "\\75rl"],
    ["color", "var(--x)"], ["color", "transparent"], ["background-color", "currentcolor"], ["color", "#0000"], ["color", "rgb(0 0 0 / 0)"],
    ["color", "rgba(0,0,0,0)"], ["font-size", "4px"], ["font-size", "0.75em"], ["font-size", "200px"], ["padding", "40em"],
    ["padding", "900px"], ["padding", "-9px"], ["border-width", "10em"], ["letter-spacing", "4em"], ["border", "500px solid red"],
    ["line-height", "0"], ["transition", "expression(1)"], ["font-family", "@import 'x'"], ["color", "x".repeat(300)],
  ])("cannot set %s to %s, and the refusal does not repeat it", (property, value) => {
    const [refusal = ""] = refusedRule(property, value);
    expect(refusal).toContain(property);
    expect(refusal).not.toContain(value);
  });

  it("says what it may in its own class", () => {
    const look = readLook({
      theme: "dark",
      variables: { colorPrimary: "#0a7", borderRadius: "12px", fontFamily: "'Open Sans', sans-serif" },
      rules: { ".Input:focus": { borderColor: "rgb(0 100 200)", boxShadow: "0 0 0 3px #0a73" }, ".Button": { "font-weight": "700", padding: "12px 20px" } },
    });
    expect(look.refused).toEqual([]);
    expect(look.variables.get("--primary")).toBe("#0a7");
    expect(look.rules.get(".input:focus")?.get("border-color")).toBe("rgb(0 100 200)");
  });

  test.each(["body", ".frame", ".Input, body", ".Input::after", "*", "__proto__", "iframe"])("reaches nothing by the selector %s", (selector) => {
    const look = readLook({ rules: { [selector]: { color: "red" } } });
    expect([...look.rules]).toEqual([]);
    expect(look.refused).toHaveLength(1);
  });

  it("has names for its words", () => {
    for (const names of Object.values(ALLOWED)) expect(new Set(names).size).toBe(names.length);
  });
});

test("contrast is that of WCAG", () => {
  expect(contrast([0, 0, 0], [255, 255, 255])).toBeCloseTo(21, 5);
  expect(contrast([119, 119, 119], [255, 255, 255])).toBeCloseTo(4.48, 2);
  expect(readColour("rgb(1, 2, 3)")).toEqual([1, 2, 3]);
  expect(readColour("rgba(1, 2, 3, 0.5)")).toBeNull();
});
