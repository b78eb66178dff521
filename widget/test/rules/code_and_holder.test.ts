import fc from "fast-check";
import { describe, expect, it, test } from "vitest";

import { codeProblem, editCode, holderProblem } from "../../src/rules/others";
import { cardOf } from "../../src/rules/pan";

const VISA = cardOf("4242424242424242");
const AMEX = cardOf("378282246310005");
const UNKNOWN = cardOf("");

describe("a security code", () => {
  test.each([
    ["", "", "", ""],
    ["417", "417", "417", "417"],
    ["4178", "417", "4178", "4178"],
    ["41789", "417", "4178", "4178"],
    [" 4 1-7 ", "417", "417", "417"],
    ["４１７", "417", "417", "417"],
    ["٤١٧", "417", "417", "417"],
    ["abc", "", "", ""],
  ])("typed as %j is %j for most, %j for American Express, %j while the brand is not known", (text, most, amex, unknown) => {
    expect([VISA, AMEX, UNKNOWN].map((card) => editCode(text, card))).toEqual([most, amex, unknown]);
  });

  test.each([
    ["", "required", "required", "required"],
    ["1", "codeIncomplete", "codeIncomplete", "codeIncomplete"],
    ["000", null, "codeIncomplete", null],
    ["4178", "codeIncomplete", null, null],
    ["41789", "codeIncomplete", "codeIncomplete", "codeIncomplete"],
  ])("%j has the problem %j, %j, %j", (code, ...problems) => {
    expect([VISA, AMEX, UNKNOWN].map((card) => codeProblem(code, card))).toEqual(problems);
  });

  it("keeps what is typed in its order, and an edit done twice is done once", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), fc.constantFrom(VISA, AMEX, UNKNOWN), (text, card) => {
        const code = editCode(text, card);
        expect(code).toMatch(/^[0-9]{0,4}$/);
        expect(editCode(code, card)).toBe(code);
      }),
    );
  });
});

describe("a name", () => {
  test.each([
    ["", null],
    ["KAI MUSTER", null],
    ["Zoë Œdipus-O’Neill", null],
    ["李 小龍", null],
    ["محمد", null],
    ["Louis 14", null],
    ["123456", null],
    ["1234567", "holderWrong"],
    ["4242 4242 4242 4242", "holderWrong"],
    ["KAI ４２４２４２４２", "holderWrong"],
    ["٤٢٤٢٤٢٤٢", "holderWrong"],
    ["x".repeat(255), null],
    ["x".repeat(256), "holderWrong"],
  ])("%j: %j", (name, problem) => expect(holderProblem(name)).toBe(problem));

  it("is never one that is made of a PAN, however that is written", () => {
    const pan = fc.string({ unit: fc.constantFrom(..."0123456789"), minLength: 12, maxLength: 19 });
    fc.assert(
      fc.property(pan, fc.constantFrom("", " ", "-", "x"), (digits, gap) => {
        expect(holderProblem([...digits].join(gap))).toBe("holderWrong");
      }),
    );
  });
});
